"""Lets only one run at a time use a snapshot folder.

The kernel's lock (`system/locks.py`) is released when the process that holds it ends. The file only
shows who holds it.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from snapshot_tasks.system.errors import Locked
from snapshot_tasks.system.files import storage_errors
from snapshot_tasks.system.locks import is_writable, try_lock

LOCK_NAME = ".lock"


@contextmanager
def folder_lock(folder: Path, *, task: str, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold the folder's lock for the block; a folder that cannot be written needs no lock.

    Raises:
        Locked: if another run holds it for longer; the message describes that run.
    """
    descriptor = _open(folder)
    if descriptor is None:
        yield
        return
    try:
        with storage_errors(folder):
            _take(descriptor, folder, wait_seconds)
            if is_writable(descriptor):
                _sign(descriptor, task)
        yield
    finally:
        os.close(descriptor)


def _open(folder: Path) -> int | None:
    with storage_errors(folder):
        try:
            return os.open(
                folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644
            )
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            if error.errno not in (errno.EROFS, errno.EACCES):
                raise
        try:
            # The lock file of another user: locking it does not require write permission.
            return os.open(folder / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None


def _take(descriptor: int, folder: Path, wait_seconds: float) -> None:
    if not try_lock(descriptor, wait_seconds=wait_seconds):
        raise Locked(
            f"Another run is using {folder}: {_holder(descriptor)}.",
            hint="Wait until it ends, then run this again.",
        )


def _sign(descriptor: int, task: str) -> None:
    since = datetime.now(UTC).isoformat("T", "seconds")
    os.ftruncate(descriptor, 0)
    os.pwrite(
        descriptor, json.dumps({"pid": os.getpid(), "task": task, "since": since}).encode(), 0
    )


def _holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        return f"{holder['task']}, process {holder['pid']}, since {holder['since']}"
    except (ValueError, KeyError, TypeError):
        return "it has only just started"
