"""Work behind the back of the caller: in threads, never many at a time, and given up when asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

# How long work may take to end after a failure or an interruption, as in `storage.object_store`.
PARTING_SECONDS = 2.0


class Behind:
    """Runs work in up to `width` threads; the caller goes on, and gets the first failure.

    Used as a context: at its end all work is done. After a failure or an interruption it waits for
    work only shortly, because nothing ends a request that hangs; its thread does not keep Python
    from ending.
    """

    def __init__(self, width: int) -> None:
        self._slots = threading.Semaphore(width)
        self._threads: list[threading.Thread] = []
        self._failures: list[BaseException] = []

    def __enter__(self) -> Behind:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.finish()
            return
        deadline = time.monotonic() + PARTING_SECONDS
        for thread in self._threads:
            # One whose start was interrupted cannot be joined.
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))

    def start(self, work: Callable[[], None]) -> None:
        """Start some work as soon as a thread is free.

        Raises:
            BaseException: the first failure of earlier work.
        """
        self._slots.acquire()
        self.check()
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = threading.Thread(target=self._do, args=(work,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def finish(self) -> None:
        """Wait until all work is done.

        Raises:
            BaseException: the first failure.
        """
        for thread in self._threads:
            thread.join()
        self.check()

    def check(self) -> None:
        """Raise the first failure, if there is any."""
        if self._failures:
            raise self._failures[0]

    def _do(self, work: Callable[[], None]) -> None:
        try:
            if not self._failures:
                work()
        except BaseException as error:  # raised by the caller's thread
            self._failures.append(error)
        finally:
            self._slots.release()
