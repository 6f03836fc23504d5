"""Durations as people write them: 90min, 26h, 8d, 2w."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {
    "s": timedelta(seconds=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_SPAN = re.compile(rf"(?P<number>\d{{1,6}})\s*(?P<unit>{'|'.join(_UNITS)})")


def parse_span(text: str) -> timedelta:
    """Parse a duration such as `26h` or `8d`.

    There is no unit for months or years, because their length varies.

    Raises:
        ValueError: if the text is not a duration; the message says what was expected.
    """
    match = _SPAN.fullmatch(text.strip())
    if match is None or int(match["number"]) == 0:
        raise ValueError("a duration such as 90min, 26h, 8d or 2w")
    return int(match["number"]) * _UNITS[match["unit"]]


def format_span(span: timedelta) -> str:
    """Return a duration in the format of `parse_span`, in the largest unit that divides it."""
    for unit, length in reversed(_UNITS.items()):
        if span >= length and span % length == timedelta(0):
            return f"{span // length}{unit}"
    return f"{span // _UNITS['s']}s"
