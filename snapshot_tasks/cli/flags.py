"""Flags for numbers and durations, those that name things and must not be empty, and files.

Invoke reports a wrong number or duration like its own errors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from invoke.exceptions import ParseError
from invoke.parser.argument import Argument
from invoke.parser.parser import ParseMachine

from snapshot_tasks.system.errors import SettingsError
from snapshot_tasks.system.spans import parse_span

COLLECTION, SHORT_COLLECTION = "collection", "c"
# This flag also takes each word that stands alone after its task.
FILES = "files"
# What the user writes about a snapshot, stored as JSON.
TEXTS = ("label", "note")


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


class Given(str):
    """A text that was given on the command line, unlike a default; it may be empty."""

    __slots__ = ()


class NameFlag(Argument):
    """A flag that names one or several things, and knows whether its value was given."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # Invoke takes a list flag without a value for one that is not there.
        self.raw_value = None

    def set_value(self, value: Any, cast: bool = True) -> None:
        """Keep the value as one that was given."""
        super().set_value(Given(value), cast)
        if self.kind is str:
            self._value = Given(value)


def as_given(flag: Argument) -> Argument:
    """Return a flag that names things as one that knows whether it was given; others stay.

    Only `--collection` has a short form.
    """
    is_collection = flag.names[0] == COLLECTION
    if flag.kind is not list and not is_collection:
        return flag
    return NameFlag(
        names=(*flag.names, SHORT_COLLECTION) if is_collection else flag.names,
        kind=flag.kind,
        default=flag.default,
        help=flag.help,
        attr_name=flag.attr_name,
    )


def refuse_unwritable(flags: Mapping[str, object]) -> None:
    """Refuse texts for a JSON file that are not UTF-8. Raises `SettingsError`."""
    for name in TEXTS:
        try:
            str(flags.get(name, "")).encode()
        except UnicodeEncodeError:
            raise SettingsError(
                f"--{name} is not UTF-8, so it cannot be stored.",
                hint="Write it in UTF-8, or leave it out.",
            ) from None


def refuse_empty(flags: Mapping[str, object]) -> None:
    """Refuse names that are empty, such as those of an unset variable in a script.

    Raises:
        SettingsError: instead of acting on the default, which nobody asked for.
    """
    for name, value in flags.items():
        values = value if isinstance(value, list) else [value]
        if any(isinstance(one, Given) and not one.strip() for one in values):
            raise SettingsError(
                f"--{name.rstrip('_').replace('_', '-')} is empty.",
                hint="Give it a value, or leave the flag out to use the default.",
            )


def take_files() -> None:
    """Let a task with this flag take `FILE…`; in Invoke, a word alone is only ever one value."""
    handle = ParseMachine.handle

    def handle_or_take(machine: ParseMachine, token: str) -> None:
        files = machine.context.args.get(FILES) if machine.context else None
        is_known = token in machine.contexts or token.startswith("-")
        if isinstance(files, NameFlag) and not is_known and not machine.waiting_for_flag_value:
            files.value = token
        else:
            handle(machine, token)

    ParseMachine.handle = handle_or_take  # type: ignore[method-assign,assignment]


take_files()
