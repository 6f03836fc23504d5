"""How long work reports where it is, and the clock it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Protocol


class Progress(Protocol):
    """How long work reports where it is. `advance` takes a number of bytes, or of points."""

    def phase(
        self, label: str, *, total_bytes: int | None = None, total_points: int | None = None
    ) -> AbstractContextManager[Callable[[int], None]]:
        """Announce a phase; the block's end ends it."""
        ...

    def note(self, message: str) -> None:
        """Say one thing the user should know."""
        ...


class Silent:
    """Progress for callers that want none."""

    @contextmanager
    def phase(
        self, label: str, *, total_bytes: int | None = None, total_points: int | None = None
    ) -> Iterator[Callable[[int], None]]:
        """Announce nothing."""
        yield lambda count: None

    def note(self, message: str) -> None:
        """Say nothing."""


Clock = Callable[[], datetime]
