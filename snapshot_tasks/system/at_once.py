"""Do work in several threads at once, of which none goes on if another fails."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from snapshot_tasks.system import process

_K = TypeVar("_K")
_T = TypeVar("_T")
GoOn = Callable[[], None]


class _Stopped(Exception):
    """Another thread has failed, or this run was interrupted."""


def at_once(work: Callable[[_K, GoOn], _T], keys: Collection[_K]) -> list[_T]:
    """Do some work for each key, each in a thread of its own; return the results in their order.

    All threads have ended afterwards, also after a failure or an interruption. So that this does
    not take long, the work calls the function that it is given, between its steps: that raises if
    it must not go on.
    """
    stop = threading.Event()

    def go_on() -> None:
        if stop.is_set():
            raise _Stopped

    def one(key: _K) -> _T:
        try:
            return work(key, go_on)
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(max_workers=max(1, len(keys))) as pool:
        try:
            # A signal while a thread starts would leave one that is not waited for.
            with process.shielded():
                futures = [pool.submit(one, key) for key in keys]
            wait(futures)
        except BaseException:
            stop.set()
            raise
    _raise_first(futures)
    return [future.result() for future in futures]


def _raise_first(futures: list[Future[_T]]) -> None:
    """Raise the failure of a thread that was not only stopped because of another."""
    for future in futures:
        error = future.exception()
        if error and not isinstance(error, _Stopped):
            raise error
