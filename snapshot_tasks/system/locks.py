"""The kernel's lock on an open file (`flock`), held until the file is closed.

The kernel releases it when the process that holds it ends for any reason, so there are no stale
locks. Each opening of a file counts separately, even within one process.
"""

from __future__ import annotations

import fcntl
import os
import time
from typing import Protocol

_POLL_SECONDS = 0.02


class OpenFile(Protocol):
    """A file object that has a descriptor."""

    def fileno(self) -> int:
        """Return the descriptor."""


def lock(file: int | OpenFile) -> None:
    """Take the exclusive lock for this opening of the file, waiting until it is free."""
    fcntl.flock(file, fcntl.LOCK_EX)


def try_lock(file: int | OpenFile, *, shared: bool = False, wait_seconds: float = 0.0) -> bool:
    """Take the lock if it becomes free within the time, and return whether it was taken.

    A `shared` lock is compatible with other shared locks.

    Raises:
        OSError: if the file system has no locks.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_SECONDS)
        else:
            return True


def is_writable(descriptor: int) -> bool:
    """Return whether a file was opened for writing."""
    return fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
