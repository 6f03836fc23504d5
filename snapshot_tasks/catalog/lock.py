"""Keeps runs that cannot work in one snapshot folder at the same time apart.

The kernel's locks (`system/locks.py`) are released when the process that holds them ends. The files
only show who holds them.

Two locks: that of the folder, which runs share that delete no snapshot; and that of the journal
(`journal.py`), which those of them hold that start something on a server. Whoever holds the folder
alone needs no other lock, so an entry of the journal is never that of a run that is still going on.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

from snapshot_tasks.system.errors import Locked
from snapshot_tasks.system.files import storage_errors
from snapshot_tasks.system.locks import is_writable, try_lock

LOCK_NAME = ".lock"
# The name that it had when only restores took it.
JOURNAL_LOCK_NAME = ".restore.lock"


class Use(Enum):
    """What a run does with the folder: `READ` excludes `WRITE`, `JOURNAL` both and itself."""

    # Changes or deletes snapshots: no other run may be there.
    WRITE = "alone"
    # Starts something on a live server, and may add snapshots: takes one, or restores one.
    JOURNAL = "shared, one at a time"
    # Only reads snapshots, and appends their proofs.
    READ = "shared"


@contextmanager
def folder_lock(
    folder: Path, *, task: str, use: Use = Use.WRITE, wait_seconds: float = 0.0
) -> Iterator[None]:
    """Hold the folder's lock for the block; a folder that cannot be written needs no lock.

    Raises:
        Locked: if another run holds it for longer; the message describes that run.
    """
    deadline = time.monotonic() + wait_seconds
    with ExitStack() as held:
        lock = _opened(folder / LOCK_NAME, held)
        journal = None if use is Use.READ else _opened(folder / JOURNAL_LOCK_NAME, held)
        # Where the second lock cannot be had, such a run keeps all others out instead.
        shared = use is Use.READ or (use is Use.JOURNAL and journal is not None)
        if lock is not None:
            held.enter_context(_taken(lock, folder, task, deadline, shared=shared))
        if journal is not None and use is Use.JOURNAL:
            held.enter_context(_taken(journal, folder, task, deadline))
        yield


def _opened(path: Path, held: ExitStack) -> int | None:
    descriptor = _open(path)
    if descriptor is not None:
        held.callback(os.close, descriptor)
    return descriptor


@contextmanager
def _taken(
    descriptor: int, folder: Path, task: str, deadline: float, *, shared: bool = False
) -> Iterator[None]:
    with storage_errors(folder):
        if not try_lock(descriptor, shared=shared, wait_seconds=deadline - time.monotonic()):
            raise Locked(
                f"Another run is using {folder}: {_holder(descriptor)}.",
                hint="Wait until it ends, then run this again.",
            )
        mine = _sign(descriptor, task) if is_writable(descriptor) else b""
    try:
        yield
    finally:
        # Others may still share it, and must not be taken for this run.
        with suppress(OSError):
            if shared and mine and os.pread(descriptor, 4096, 0) == mine:
                os.ftruncate(descriptor, 0)


def _open(path: Path) -> int | None:
    with storage_errors(path.parent):
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            if error.errno not in (errno.EROFS, errno.EACCES):
                raise
        try:
            # The lock file of another user: locking it does not require write permission.
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None


def _sign(descriptor: int, task: str) -> bytes:
    since = datetime.now(UTC).isoformat("T", "seconds")
    signature = json.dumps({"pid": os.getpid(), "task": task, "since": since}).encode()
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, signature, 0)
    return signature


def _holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        return f"{holder['task']}, process {holder['pid']}, since {holder['since']}"
    except (ValueError, KeyError, TypeError):
        return "it has only just started, or is one of several that read it"
