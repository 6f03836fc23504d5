"""A lost answer is no failure: Qdrant does what it was asked, so look whether it is done."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx

from snapshot_tasks.system.errors import Unreachable

LOOKING_SECONDS = 10.0
POLL_SECONDS = 0.5


def was_sent(error: Unreachable) -> bool:
    """Return whether the request may have reached Qdrant before the connection was lost."""
    cause = error.__cause__
    return isinstance(cause, httpx.TransportError) and not isinstance(cause, httpx.ConnectError)


def or_look(send: Callable[[], object], is_done: Callable[[], bool]) -> None:
    """Send a request; if its answer is lost, look for a while whether it is done.

    Raises:
        Unreachable: if it is not.
    """
    try:
        send()
    except Unreachable as lost:
        if not (was_sent(lost) and _becomes(is_done)):
            raise


def _becomes(is_done: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + LOOKING_SECONDS
    while True:
        try:
            if is_done():
                return True
        except Unreachable:
            pass
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
