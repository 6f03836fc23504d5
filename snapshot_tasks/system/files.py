"""Durable, atomic changes to the file system."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from snapshot_tasks.system.errors import StorageError

CHUNK_BYTES = 1 << 20
STAGING_PREFIX = ".staging-"
PUBLIC, PRIVATE, PRIVATE_FOLDER = 0o644, 0o600, 0o700
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def storage_errors(folder: Path, *, setting: str = "QDRANT_SNAPSHOT_DIR") -> Iterator[None]:
    """Turn the operating system's errors about `folder` into a `StorageError` with a remedy.

    `setting` is what chooses the folder.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in NO_SPACE:
            hint = f"Free space there, or choose another folder with {setting}."
        elif error.errno == errno.ELOOP:
            hint = "Remove the link in place of the file: nothing is written through a link."
        elif error.errno == errno.ENAMETOOLONG:
            hint = "The collection's name is too long for a file name on this disk."
        else:
            hint = f"Make it writable for this user, or set {setting} to a folder that is."
        raise StorageError(f"Cannot write in {folder}: {reason}.", hint=hint) from error


def sync_directory(folder: Path) -> None:
    """Make renames inside `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def staging_file(folder: Path) -> Iterator[Path]:
    """Yield a fresh hidden path in `folder`; whatever is still there at the end is removed."""
    descriptor, name = tempfile.mkstemp(prefix=STAGING_PREFIX, dir=folder)
    os.close(descriptor)
    path = Path(name)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def remove_stagings(folder: Path) -> None:
    """Remove what killed runs left half-made. Call it only while holding the folder's lock."""
    for path in folder.glob(f"{STAGING_PREFIX}*"):
        path.unlink(missing_ok=True)


def publish(staging: Path, final: Path, *, mode: int = PUBLIC) -> None:
    """Give a complete staging file its final name in one rename, after syncing it.

    The mode defaults to world-readable, since a Qdrant server of another user must read it.
    """
    descriptor = os.open(staging, os.O_RDONLY)
    try:
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(staging, final)


def write_text(path: Path, text: str, *, mode: int = PUBLIC) -> None:
    """Write a small file so that it is either absent, as it was, or whole.

    The rename replaces a link of that name; it is never followed.
    """
    with staging_file(path.parent) as staging:
        staging.write_text(text, encoding="utf-8")
        publish(staging, path, mode=mode)
    sync_directory(path.parent)


def by_umask() -> int:
    """Return the mode that this user gives to files of their own, such as reports."""
    umask = os.umask(0o077)
    os.umask(umask)
    return 0o666 & ~umask


def point_link(link: Path, target_name: str) -> None:
    """Point the relative symlink `link` at a sibling, swapping it atomically."""
    with staging_file(link.parent) as staging:
        staging.unlink()
        staging.symlink_to(target_name)
        os.replace(staging, link)
    sync_directory(link.parent)


def append_line(path: Path, line: str) -> None:
    """Append one line durably; O_APPEND keeps concurrent writers' lines whole.

    A line that a crash cut short stays as it is: the new one begins on a line of its own. A link
    is not followed.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, PUBLIC)
    try:
        end = os.lseek(descriptor, 0, os.SEEK_END)
        cut = end > 0 and os.pread(descriptor, 1, end - 1) != b"\n"
        data = b"\n" * cut + line.encode() + b"\n"
        while data:
            data = data[os.write(descriptor, data) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path, *, advance: Callable[[int], None] = lambda count: None) -> str:
    """Return the hex SHA-256 of a file, read in chunks; `advance` gets each chunk's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            advance(len(chunk))
    return digest.hexdigest()


def tail(path: Path, lines: int) -> list[str]:
    """Return the last `lines` lines of a text file, reading at most its last MiB."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - CHUNK_BYTES))
        text = file.read().decode("utf-8", errors="replace")
    return text.splitlines()[-lines:] if lines else []
