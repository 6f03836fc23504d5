"""Work in threads: the first failure is told, and an interruption does not wait for what hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from snapshot_tasks.system import behind
from snapshot_tasks.system.behind import Behind


@pytest.fixture
def hanging() -> Iterator[threading.Event]:
    """Work that waits for this hangs until the end of the test."""
    event = threading.Event()
    yield event
    event.set()


def test_an_interruption_does_not_wait_for_what_hangs(
    monkeypatch: pytest.MonkeyPatch, hanging: threading.Event
) -> None:
    """It is given up after a moment."""
    monkeypatch.setattr(behind, "PARTING_SECONDS", 0.1)
    began = time.monotonic()

    def wait() -> None:
        hanging.wait()

    def interrupted() -> None:
        with Behind(2) as work:
            for _ in range(2):
                work.start(wait)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert time.monotonic() - began < 5


def test_an_interruption_while_a_thread_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told as such: a thread that has not begun cannot be waited for."""

    def interrupted(self: threading.Thread) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt), Behind(2) as work:
        work.start(lambda: None)


def test_the_first_of_two_failures_is_told_also_while_the_caller_waits() -> None:
    """Work that has not begun is left out afterwards."""
    done: list[int] = []
    first_failed = threading.Event()

    def fail() -> None:
        first_failed.set()
        raise ValueError("first")

    def fail_too() -> None:
        first_failed.wait()
        time.sleep(0.05)
        raise ValueError("second")

    def failing() -> None:
        with Behind(2) as behind:
            behind.start(fail_too)
            behind.start(fail)
            for _ in range(3):
                behind.start(lambda: done.append(1))

    with pytest.raises(ValueError, match="first"):
        failing()
    assert done == []
