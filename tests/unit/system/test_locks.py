"""One opening of a file holds the lock, which is free again when that is closed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapshot_tasks.system.locks import is_writable, lock, try_lock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file to lock."""
    (tmp_path / "lock").touch()
    return tmp_path / "lock"


@pytest.fixture
def held(path: Path) -> Iterator[int]:
    """An opening of the file that holds its lock."""
    descriptor = os.open(path, os.O_RDWR)
    lock(descriptor)
    yield descriptor
    os.close(descriptor)


def test_a_held_lock_is_not_taken(path: Path, held: int) -> None:
    """No one else can take the lock, shared or not, while it is held."""
    with path.open("rb") as other:
        assert not try_lock(other)
        assert not try_lock(other, shared=True)
    assert try_lock(held)


def test_shared_locks_go_together(path: Path) -> None:
    """Two shared locks do not block each other, but do block an exclusive one."""
    with path.open("rb") as one, path.open("rb") as two, path.open("rb") as third:
        assert try_lock(one, shared=True)
        assert try_lock(two, shared=True)
        assert not try_lock(third)


def test_closing_frees_it(path: Path) -> None:
    """Closing the file is enough to release the lock."""
    with path.open("rb") as one:
        lock(one)
    with path.open("rb") as two:
        assert try_lock(two)


def test_a_lock_that_gets_free_in_time_is_taken(path: Path) -> None:
    """A lock that becomes free within the time is taken."""
    descriptor = os.open(path, os.O_RDWR)
    lock(descriptor)
    timer = threading.Timer(0.1, os.close, (descriptor,))
    timer.start()
    with path.open("rb") as other:
        assert try_lock(other, wait_seconds=10)
    timer.join()


@pytest.mark.usefixtures("held")
def test_waiting_ends(path: Path) -> None:
    """A holder that keeps the lock is not waited for longer than requested."""
    start = time.monotonic()
    with path.open("rb") as other:
        assert not try_lock(other, wait_seconds=0.1)
    assert 0.1 <= time.monotonic() - start < 5


def test_only_what_was_opened_for_writing_is_writable(path: Path) -> None:
    """A lock file of another user is only opened for reading."""
    for flags, writable in ((os.O_RDONLY, False), (os.O_RDWR, True), (os.O_WRONLY, True)):
        descriptor = os.open(path, flags)
        assert is_writable(descriptor) is writable
        os.close(descriptor)
