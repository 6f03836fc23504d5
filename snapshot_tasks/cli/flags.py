"""Flags for numbers and durations; Invoke reports a wrong value like its own errors."""

from __future__ import annotations

import re
from datetime import timedelta

from invoke.exceptions import ParseError

from snapshot_tasks.system.spans import parse_span


class Count(int):
    """A flag for a whole number, 0 or greater; Invoke's own flags would print a traceback."""

    def __new__(cls, value: int | str) -> Count:
        """Raise Invoke's `ParseError` if the text is not such a number."""
        if isinstance(value, str) and not (value.isascii() and value.isdigit()):
            raise ParseError(f"Expected a whole number, 0 or greater, got {value!r}.")
        return super().__new__(cls, value)


class Seconds(float):
    """A flag for a number of seconds, 0 or greater."""

    def __new__(cls, value: float | str) -> Seconds:
        """Raise Invoke's `ParseError` if the text is not such a number."""
        if isinstance(value, str) and not re.fullmatch(r"[0-9]*\.?[0-9]+", value):
            raise ParseError(f"Expected a number of seconds, 0 or greater, got {value!r}.")
        return super().__new__(cls, value)


class Span(str):
    """A flag for a duration such as 26h; the value of an empty one is None."""

    __slots__ = ("value",)

    def __init__(self, text: str = "") -> None:
        """Raise Invoke's `ParseError` if the text is not a duration."""
        try:
            self.value: timedelta | None = parse_span(text) if text else None
        except ValueError as error:
            raise ParseError(f"Expected {error}, got {text!r}.") from error
