"""The interface through which long work reports its progress, and the clock type."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Protocol


class Progress(Protocol):
    """Receives progress reports. A phase's function takes the number of new bytes or points."""

    def phase(
        self, label: str, *, total_bytes: int | None = None, total_points: int | None = None
    ) -> AbstractContextManager[Callable[[int], None]]:
        """Announce a phase that lasts until the end of the block; 0 is an unknown total."""
        ...

    def note(self, message: str) -> None:
        """Show a message that the user should know."""
        ...


class Silent:
    """Ignores all progress reports."""

    @contextmanager
    def phase(
        self, label: str, *, total_bytes: int | None = None, total_points: int | None = None
    ) -> Iterator[Callable[[int], None]]:
        """Do nothing."""
        yield lambda count: None

    def note(self, message: str) -> None:
        """Do nothing."""


Clock = Callable[[], datetime]
