"""The flags of our tasks: numbers, durations, names that must not be empty, and files.

Whatever is wrong with one is a `SettingsError` that says the flag, its value and what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from invoke.exceptions import ParseError
from invoke.parser.argument import Argument
from invoke.parser.parser import ParseMachine

from snapshot_tasks.system.errors import SettingsError
from snapshot_tasks.system.nearest import meant, nearest
from snapshot_tasks.system.spans import parse_span
from snapshot_tasks.system.untrusted import printable

COLLECTION, SHORT_COLLECTION = "collection", "c"
# This flag also takes each word that stands alone after its task.
FILES = "files"
# What the user writes about a snapshot, stored as JSON.
TEXTS = ("label", "note")
MAX_VALUE = 100


class Count(int):
    """A flag for a whole number, 0 or greater."""

    def __new__(cls, value: int | str) -> Count:
        """Raise `ValueError` with what was expected if the text is not such a number."""
        if isinstance(value, str) and not (value.isascii() and value.isdigit()):
            raise ValueError("a whole number, 0 or greater")
        return super().__new__(cls, value)


class Seconds(float):
    """A flag for a number of seconds, 0 or greater."""

    def __new__(cls, value: float | str) -> Seconds:
        """Raise `ValueError` with what was expected if the text is not such a number."""
        if isinstance(value, str) and not re.fullmatch(r"[0-9]*\.?[0-9]+", value):
            raise ValueError("a number of seconds, 0 or greater")
        return super().__new__(cls, value)


class Percent(float):
    """A flag for a share such as 10%, more than nothing and at most everything, as 0 to 1."""

    def __new__(cls, value: float | str) -> Percent:
        """Raise `ValueError` with what was expected if the text is not such a share."""
        if isinstance(value, str):
            match = re.fullmatch(r"([0-9]*\.?[0-9]+)%", value)
            value = float(match[1]) / 100 if match else 0.0
            if not 0 < value <= 1:
                raise ValueError("a percentage such as 10%, at most 100%")
        return super().__new__(cls, value)


class Span(str):
    """A flag for a duration such as 26h; the value of an empty one is None."""

    __slots__ = ("value",)

    def __init__(self, text: str = "") -> None:
        """Raise `ValueError` with what was expected if the text is not a duration."""
        self.value: timedelta | None = parse_span(text) if text else None


class Moment(str):
    """A flag for a past time such as 2026-11-30T06:00Z, in UTC; not given, its value is None."""

    __slots__ = ("value",)

    def __init__(self, *texts: str) -> None:
        """Raise `ValueError` with what was expected if the text is not such a time."""
        self.value: datetime | None = _past(*texts) if texts else None


def _past(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
        at = at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("a time such as 2026-11-30T06:00Z") from None
    if at > datetime.now(UTC):
        raise ValueError("a time in the past")
    return at


class Given(str):
    """A text that was given on the command line, unlike a default; it may be empty."""

    __slots__ = ()


class Flag(Argument):
    """A flag of a task, whose wrong value is refused by its name."""

    def set_value(self, value: Any, cast: bool = True) -> None:
        """Keep the value. Raises Invoke's `ParseError`, caused by the `SettingsError` to show."""
        try:
            super().set_value(value, cast)
        except ValueError as error:
            wrong = wrong_value(self.names[0], value, expected=str(error))
            raise ParseError(wrong.message) from wrong


class NameFlag(Flag):
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


def as_ours(flag: Argument) -> Flag:
    """Return a flag as one of ours; one that names things also knows whether it was given.

    Only `--collection` has a short form.
    """
    is_collection = flag.names[0] == COLLECTION
    kind = NameFlag if flag.kind is list or is_collection else Flag
    return kind(
        names=(*flag.names, SHORT_COLLECTION) if is_collection else flag.names,
        kind=flag.kind,
        default=flag.default,
        help=flag.help,
        attr_name=flag.attr_name,
    )


def wrong_value(
    flag: str, value: str, *, expected: str = "", choices: Sequence[str] = ()
) -> SettingsError:
    """Return the error for a value that a flag cannot have: what is allowed, and the nearest."""
    if choices:
        expected = f"one of {', '.join(choices)}"
        hint = f"{meant(nearest(value, choices)[:1])}Use {expected}."
    else:
        hint = f"Use {expected}."
    shown = printable(repr(value), limit=MAX_VALUE)
    return SettingsError(f"--{flag} {shown} is not valid.", hint=hint)


def only_one(**flags: object) -> None:
    """Refuse several of these flags together. Raises `SettingsError`."""
    given = [flag_name(name) for name, value in flags.items() if value]
    if len(given) > 1:
        raise SettingsError(
            f"{' and '.join(given)} cannot be combined.", hint="Use only one of them."
        )


def flag_name(parameter: str) -> str:
    """Return a flag as it is typed for a parameter of a task, such as --dry-run for dry_run."""
    return f"--{parameter.rstrip('_').replace('_', '-')}"


def only_collection(flags: Mapping[str, object]) -> str:
    """Return the one collection that was given; empty if there is none, or several."""
    given = flags.get(COLLECTION)
    names = given if isinstance(given, list) else [given]
    return str(names[0]) if len(names) == 1 and isinstance(names[0], Given) else ""


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
                f"{flag_name(name)} is empty.",
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
            return
        try:
            handle(machine, token)
        except ParseError as error:
            # A flag that refuses its value does not know whose flag it is.
            error.context = error.context or machine.context
            raise

    ParseMachine.handle = handle_or_take  # type: ignore[method-assign,assignment]


take_files()
