"""Temporary folders that the next run removes if this one was killed.

All are in one folder of this user. Next to each is a lock file, locked by the process that created
the folder. The kernel releases a lock when its process ends for any reason, so a folder without a
locked lock file is abandoned; nothing is guessed from a name, an age or a process id. Programs
that were started for the work have their working directory in the folder, so they can be found.
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
# Other users can reach a folder that is meant for them, but cannot list the others.
PARENT_MODE = 0o711
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


@contextmanager
def scratch_folder(*, mode: int = 0o700) -> Iterator[Path]:
    """Create an empty folder for the block, after removing leftovers of killed runs.

    Raises:
        StorageError: if the temporary folder cannot be written to, or another user's folder is in
            the place of ours.
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
    """Return a label for resources elsewhere that belong to a scratch folder.

    It consists of the machine, its boot, this user's scratch folders, and this one of them.
    """
    identity = _identity(folder.parent)
    return "/".join((platform.node(), _boot(), identity, folder.name))


def is_gone(owner: str) -> bool:
    """Return whether the run with this `owner_of` label has certainly ended.

    A run on another machine or with another temporary folder may still be active.
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
    """Return whether the run that created this lock has ended."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    try:
        # Shared, so that two runs that check at once do not mistake each other for the owner.
        return try_lock(descriptor, shared=True)
    finally:
        os.close(descriptor)


def _lock_of(folder: Path) -> Path:
    return folder.with_name(folder.name + LOCK_SUFFIX)


def _identity(parent: Path) -> str:
    """Return an id that distinguishes this folder from another container's of the same name."""
    path = parent / IDENTITY
    if not path.exists():
        write_text(path, secrets.token_hex(8), mode=0o600)
    return path.read_text(encoding="utf-8")


def _boot() -> str:
    """Return an id that changes only when the machine restarts."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    import psutil

    return str(int(psutil.boot_time()))


def _parent() -> Path:
    """Return this user's folder for all scratch folders, without following another user's link."""
    parent = Path(tempfile.gettempdir()) / f"qdrant-snapshot-tasks-{os.getuid()}"
    with suppress(FileExistsError):
        parent.mkdir(PARENT_MODE)
        parent.chmod(PARENT_MODE)
    found = parent.lstat()
    writable_for_others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or writable_for_others:
        raise StorageError(
            f"Other users can write to {parent}, or it is not a folder of this user.",
            hint="Remove it, or set TMPDIR to another folder.",
        )
    return parent


@contextmanager
def _mutex(parent: Path) -> Iterator[None]:
    """Let only one run at a time create or remove folders."""
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
