"""Durable, atomic changes to the file system."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from snapshot_tasks.system.errors import UTF_8, StorageError
from snapshot_tasks.system.locks import try_lock

CHUNK_BYTES = 1 << 20
STAGING_PREFIX = ".staging-"
PUBLIC, PRIVATE, PRIVATE_FOLDER = 0o644, 0o600, 0o700
# `cp FILE x_latest.snapshot` would write through the link, into the newest snapshot.
UNCHANGING = 0o444
# What a file system answers that does not have modes, links, or a sync of folders.
NOT_SUPPORTED = (errno.EINVAL, errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY)
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
# A writer holds the lock for one line, unless its process was suspended.
APPEND_SECONDS = 10.0
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def storage_errors(folder: Path, *, setting: str = "QDRANT_SNAPSHOT_DIR") -> Iterator[None]:
    """Turn the operating system's errors about `folder` into a `StorageError` with a remedy.

    `setting` is the setting that chooses the folder.
    """
    try:
        yield
    except UnicodeEncodeError as error:
        name = error.object[:100].encode("ascii", "backslashreplace").decode()
        raise StorageError(
            f"Cannot write to {folder}: the locale of this process ({error.encoding}) cannot write"
            f" the name {name}.",
            hint=UTF_8,
        ) from error
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in NO_SPACE:
            hint = f"Free space there, or choose another folder with {setting}."
        elif error.errno in NO_LOCKS:
            hint = (
                "This disk cannot lock files, and without a lock two runs could spoil each other's"
                f" work. Mount it with locks, or choose another folder with {setting}."
            )
        elif error.errno == errno.EILSEQ:
            hint = "This disk cannot write that name. Choose a folder on another disk."
        elif error.errno == errno.ELOOP:
            hint = "A link is in place of a file, and links are never written through. Remove it."
        elif error.errno == errno.ENAMETOOLONG:
            hint = "The collection's name is too long for a file name on this disk."
        else:
            hint = f"Give this user write permission, or set {setting} to another folder."
        raise StorageError(f"Cannot write to {folder}: {reason}.", hint=hint) from error


def is_in_memory(folder: Path) -> bool:
    """Return whether a folder is on a tmpfs, where even holes take space once they are read."""
    import psutil

    place = folder.resolve()
    disks = {Path(disk.mountpoint): disk.fstype for disk in psutil.disk_partitions(all=True)}
    return next((disks[p] for p in (place, *place.parents) if p in disks), "") == "tmpfs"


def sync_directory(folder: Path) -> None:
    """Make renames in `folder` survive a power failure, if its file system can do that."""
    with suppress_unsupported():
        _sync(folder)


@contextmanager
def suppress_unsupported() -> Iterator[None]:
    """Go on if a file system does not have something that a snapshot can be kept without."""
    try:
        yield
    except OSError as error:
        if error.errno not in NOT_SUPPORTED:
            raise


def lacking(folder: Path) -> tuple[str, ...]:
    """Return what the file system of a writable folder lacks; a snapshot is kept without it."""
    with storage_errors(folder), staging_file(folder) as staging:
        link = staging.with_name(f"{staging.name}-link")
        tries: tuple[tuple[str, Callable[[], None]], ...] = (
            ("symlinks, so there is no latest link", lambda: link.symlink_to(staging.name)),
            ("file modes, so other users may not be able to read", lambda: _chmod(staging)),
            ("a sync of folders, so a power cut may lose the last file", lambda: _sync(folder)),
        )
        try:
            return tuple(what for what, attempt in tries if _is_unsupported(attempt))
        finally:
            link.unlink(missing_ok=True)


def has_links(folder: Path) -> bool:
    """Return whether symlinks can be made in a folder; True if that cannot be tried."""
    try:
        return not any("symlinks" in what for what in lacking(folder))
    except StorageError:
        return True


def _is_unsupported(attempt: Callable[[], None]) -> bool:
    try:
        attempt()
    except OSError as error:
        return error.errno in NOT_SUPPORTED
    return False


def _chmod(path: Path) -> None:
    with path.open("rb") as file:
        os.fchmod(file.fileno(), PUBLIC)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def staging_file(folder: Path) -> Iterator[Path]:
    """Yield a new hidden file in `folder`, and remove it at the end unless it was renamed."""
    descriptor, name = tempfile.mkstemp(prefix=STAGING_PREFIX, dir=folder)
    os.close(descriptor)
    path = Path(name)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def remove_stagings(folder: Path) -> None:
    """Remove unfinished files of killed runs. Call this only while holding the folder's lock."""
    for path in folder.glob(f"{STAGING_PREFIX}*"):
        path.unlink(missing_ok=True)


def publish(staging: Path, final: Path, *, mode: int = PUBLIC) -> None:
    """Sync a complete staging file, then give it its final name in one rename.

    The mode defaults to world-readable, because Qdrant may run as another user and must read it.
    """
    descriptor = os.open(staging, os.O_RDONLY)
    try:
        with suppress_unsupported():
            os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(staging, final)


def write_text(path: Path, text: str, *, mode: int = PUBLIC) -> None:
    """Write a small file atomically: it is absent, unchanged or complete.

    The rename replaces an existing link and never follows it. A device or a pipe is written to
    instead: a rename would put a file in the place of /dev/null, for every program.
    """
    if _is_stream(path):
        with path.open("w", encoding="utf-8") as stream:
            stream.write(text)
        return
    with staging_file(path.parent) as staging:
        staging.write_text(text, encoding="utf-8")
        publish(staging, path, mode=mode)
    sync_directory(path.parent)


def _is_stream(path: Path) -> bool:
    """Return whether a path is a device of characters, a pipe or a socket."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def by_umask() -> int:
    """Return the mode of files that this user creates, such as reports."""
    umask = os.umask(0o077)
    os.umask(umask)
    return 0o666 & ~umask


def point_link(link: Path, target_name: str) -> None:
    """Point the relative symlink `link` to a file next to it, atomically.

    Where no symlinks can be made, an old one is removed, because it would point to another file.
    """
    with staging_file(link.parent) as staging:
        staging.unlink()
        try:
            staging.symlink_to(target_name)
        except OSError as error:
            if error.errno not in NOT_SUPPORTED:
                raise
            if link.is_symlink():
                link.unlink()
        else:
            os.replace(staging, link)
    sync_directory(link.parent)


def append_line(path: Path, line: str) -> None:
    """Append one line durably, and keep the lines of concurrent writers intact.

    A line that a crash cut short stays unchanged, and the new one starts on the next line. A link
    is not followed.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, PUBLIC)
    try:
        # On network disks, O_APPEND alone is not atomic. Without locks, the line still counts more.
        with suppress(OSError):
            try_lock(descriptor, wait_seconds=APPEND_SECONDS)
        end = os.lseek(descriptor, 0, os.SEEK_END)
        cut = end > 0 and os.pread(descriptor, 1, end - 1) != b"\n"
        data = b"\n" * cut + line.encode() + b"\n"
        while data:
            data = data[os.write(descriptor, data) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path, *, advance: Callable[[int], None] = lambda count: None) -> str:
    """Return the hex SHA-256 of a file; `advance` is called with the size of each chunk read."""
    with path.open("rb") as file:
        return sha256_of_open(file, advance=advance)


def sha256_of_open(file: IO[bytes], *, advance: Callable[[int], None] = lambda count: None) -> str:
    """The same for what is left to read of an open file."""
    digest = hashlib.sha256()
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
