"""Flags that take more than a word or a switch; Invoke answers a wrong one as it does its own."""

from __future__ import annotations

import re
from datetime import timedelta

from invoke.exceptions import ParseError

from snapshot_tasks.system.spans import parse_span


class Count(int):
    """A flag that takes a whole number from 0 up; Invoke answers others by a traceback."""

    def __new__(cls, value: int | str) -> Count:
        """Raise Invoke's `ParseError` for what is no such number."""
        if isinstance(value, str) and not (value.isascii() and value.isdigit()):
            raise ParseError(f"Expected a whole number from 0 up, got {value!r}.")
        return super().__new__(cls, value)


class Seconds(float):
    """A flag that takes a number of seconds from 0 up."""

    def __new__(cls, value: float | str) -> Seconds:
        """Raise Invoke's `ParseError` for what is no such number."""
        if isinstance(value, str) and not re.fullmatch(r"[0-9]*\.?[0-9]+", value):
            raise ParseError(f"Expected a number of seconds from 0 up, got {value!r}.")
        return super().__new__(cls, value)


class Span(str):
    """A flag that takes a span of time such as 26h; an empty one is none."""

    __slots__ = ("value",)

    def __init__(self, text: str = "") -> None:
        """Raise Invoke's `ParseError` for what is no such span."""
        try:
            self.value: timedelta | None = parse_span(text) if text else None
        except ValueError as error:
            raise ParseError(f"Expected {error}, got {text!r}.") from error
