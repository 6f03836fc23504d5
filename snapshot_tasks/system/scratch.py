"""Folders for temporary work, which the next run clears when this one was killed.

All lie in one folder of this user's, each with a lock beside it that the process which made it
holds. The kernel frees a lock when its process ends, however that ends. So a folder whose lock is
free is abandoned: no name, age or process id has to be guessed at. Programs that were started for
the work have their working directory in the folder, which is how they are found.
"""

from __future__ import annotations

import os
import platform
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from snapshot_tasks.system import process
from snapshot_tasks.system.errors import StorageError
from snapshot_tasks.system.files import storage_errors, write_text
from snapshot_tasks.system.locks import lock, try_lock

LOCK_SUFFIX = ".lock"
MUTEX, IDENTITY = "mutex", "identity"
_NAME = re.compile(r"[0-9a-f]{16}")
# Others may pass through to a folder that is meant for them, but not look around.
PARENT_MODE = 0o711
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


@contextmanager
def scratch_folder(*, mode: int = 0o700) -> Iterator[Path]:
    """Make an empty folder for the block; first clear what killed runs have left of theirs.

    Raises:
        StorageError: when the temporary folder cannot be written to, or somebody else's folder
            has the name of ours.
    """
    with ExitStack() as stack:
        with storage_errors(Path(tempfile.gettempdir()), setting="TMPDIR"):
            parent = _parent()
            folder = parent / secrets.token_hex(8)
            with _mutex(parent):
                _identity(parent)
                _clear(parent)
                with process.shielded():
                    stack.enter_context(_held(_lock_of(folder)))
                    stack.callback(_remove, folder)
                    folder.mkdir()
                    folder.chmod(mode)
        yield folder


def owner_of(folder: Path) -> str:
    """Return what marks something elsewhere as made for a scratch folder.

    Machine, its start, this user's scratch folders, and the one among them.
    """
    identity = _identity(folder.parent)
    return "/".join((platform.node(), _boot(), identity, folder.name))


def is_gone(owner: str) -> bool:
    """Say whether the run that `owner_of` describes has certainly ended.

    Another machine's, or one whose temporary folder is another than ours, may still be at work.
    """
    parts = owner.split("/")
    if len(parts) != 4 or parts[0] != platform.node():
        return False
    _, boot, identity, name = parts
    if boot != _boot():
        return True
    parent = _parent()
    return identity == _identity(parent) and is_abandoned(_lock_of(parent / name))


def is_abandoned(path: Path) -> bool:
    """Say whether the run that made this lock has ended."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    try:
        # Shared, so that two that look at once do not take each other for the run itself.
        return try_lock(descriptor, shared=True)
    finally:
        os.close(descriptor)


def _lock_of(folder: Path) -> Path:
    return folder.with_name(folder.name + LOCK_SUFFIX)


def _identity(parent: Path) -> str:
    """Return what distinguishes this folder from any other of its name, as in another container."""
    path = parent / IDENTITY
    if not path.exists():
        write_text(path, secrets.token_hex(8), mode=0o600)
    return path.read_text(encoding="utf-8")


def _boot() -> str:
    """Return what changes whenever the machine starts, and with nothing else."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    import psutil

    return str(int(psutil.boot_time()))


def _parent() -> Path:
    """Return this user's folder for all scratch folders; never through somebody else's link."""
    parent = Path(tempfile.gettempdir()) / f"qdrant-snapshot-tasks-{os.getuid()}"
    with suppress(FileExistsError):
        parent.mkdir(PARENT_MODE)
        parent.chmod(PARENT_MODE)
    found = parent.lstat()
    writable_for_others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or writable_for_others:
        raise StorageError(
            f"{parent} is not a folder that only this user can write to.",
            hint="Remove it, or set TMPDIR to another folder.",
        )
    return parent


@contextmanager
def _mutex(parent: Path) -> Iterator[None]:
    """Let one run at a time make or clear folders."""
    descriptor = os.open(parent / MUTEX, _FLAGS, 0o600)
    try:
        lock(descriptor)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _held(path: Path) -> Iterator[None]:
    descriptor = os.open(path, _FLAGS | os.O_EXCL, 0o600)
    try:
        lock(descriptor)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _clear(parent: Path) -> None:
    names = {entry.name.removesuffix(LOCK_SUFFIX) for entry in os.scandir(parent)}
    for name in sorted(name for name in names if _NAME.fullmatch(name)):
        folder, lock_file = parent / name, _lock_of(parent / name)
        if is_abandoned(lock_file):
            process.end_all_in(folder)
            _remove(folder)
            lock_file.unlink(missing_ok=True)


def _remove(folder: Path) -> None:
    with process.shielded():
        shutil.rmtree(folder, ignore_errors=True)
