"""Work in several threads: its results, and how it ends early."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from snapshot_tasks.system.at_once import GoOn, at_once

LONG_SECONDS = 30.0


def until_stopped(go_on: GoOn) -> None:
    """Work in small steps for a long time."""
    deadline = time.monotonic() + LONG_SECONDS
    while time.monotonic() < deadline:
        go_on()
        time.sleep(0.01)


def test_results_have_the_order_of_their_keys() -> None:
    """Whichever is done first."""
    both = threading.Barrier(2, timeout=LONG_SECONDS)

    def work(key: int, go_on: GoOn) -> int:
        both.wait()
        return key * 2

    assert at_once(work, (3, 1)) == [6, 2]
    assert at_once(work, ()) == []


def test_a_failure_ends_the_others() -> None:
    """They do not transfer what is not needed any more, and the cause is what is reported."""
    start = time.monotonic()

    def work(key: int, go_on: GoOn) -> None:
        if key:
            raise ValueError("the cause")
        until_stopped(go_on)

    with pytest.raises(ValueError, match="the cause"):
        at_once(work, (0, 1))
    assert time.monotonic() - start < LONG_SECONDS / 2


def test_an_interruption_ends_all_of_them() -> None:
    """Ctrl-C must not wait until gigabytes were transferred."""
    start, ended = time.monotonic(), []

    def work(key: int, go_on: GoOn) -> None:
        if key:
            os.kill(os.getpid(), signal.SIGINT)
        try:
            until_stopped(go_on)
        finally:
            ended.append(key)

    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            at_once(work, (0, 1))
    finally:
        signal.signal(signal.SIGINT, previous)
    assert sorted(ended) == [0, 1]
    assert time.monotonic() - start < LONG_SECONDS / 2
