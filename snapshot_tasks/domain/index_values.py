"""What a payload index of each type holds of a value. Pure.

The rules are the index's, not those of a filter without an index, which differ: a range finds `1.5`
in an integer field only without an index. They were measured with 2,000 points of mixed types on
Qdrant 1.16.3 and 1.17.0 (`tests/integration/test_index_counts.py` does it again). A value whose
treatment is not known raises `Unsure`, and then nothing is asked that depends on it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from snapshot_tasks.domain.payload_path import Unsure

# Beyond this, not every integer is a float.
EXACT = 1 << 53
# Qdrant may not index or filter longer strings in the same way in every version.
MAX_TEXT = 256
_I64 = 1 << 63
_HEX = "[0-9a-fA-F]"
_UUID = re.compile(
    rf"(?:urn:uuid:)?{_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}"
    rf"|\{{{_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}\}}|{_HEX}{{32}}"
)
_LIKE_UUID = re.compile(rf"(?:{_HEX}[^0-9a-fA-F]*){{32}}")
_MOMENT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?(Z|[+-]\d\d:\d\d)?"
)
_LIKE_MOMENT = re.compile(r"\s*[+-]?\d+-\d{1,2}-\d{1,2}")
_WORD = re.compile("[A-Za-z]{3,20}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Held = Callable[[Any], Any]
"""Returns what an index holds of one value, or None if it holds nothing of it."""


def keyword(value: Any) -> str | None:
    """Strings, as they are."""
    return value if isinstance(value, str) else None


def integer(value: Any) -> int | None:
    """Integers; `1.0` is one from 1.17 on, but not in 1.16."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float):
        if value.is_integer():
            raise Unsure("a float without a fraction")
        return None
    if not -_I64 <= value < _I64:
        raise Unsure("an integer beyond 64 bits")
    return value


def number(value: Any) -> float | None:
    """All numbers, as floats."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def boolean(value: Any) -> bool | None:
    """True and false only."""
    return value if isinstance(value, bool) else None


def moment(value: Any) -> int | None:
    """Times in the formats that Qdrant parses, in microseconds since 1970; UTC without a zone."""
    return _moment(value) if isinstance(value, str) else None


def moment_text(microseconds: int) -> str | None:
    """Return a time as Qdrant parses it exactly; None outside the years 1 to 9999."""
    try:
        return (_EPOCH + timedelta(microseconds=microseconds)).isoformat()
    except OverflowError:
        return None


# Many points share a time, and parsing one takes five times as long as anything else here.
@lru_cache(maxsize=4096)
def _moment(value: str) -> int | None:
    if not _LIKE_MOMENT.match(value):
        return None
    found = _MOMENT.fullmatch(value)
    if found is None or (found[8] and not found[6]):
        raise Unsure("a time in another format")
    try:
        date = datetime(*(int(found[n] or 0) for n in range(1, 7)), tzinfo=UTC)  # type: ignore[misc,arg-type]
    except ValueError as error:
        raise Unsure(str(error)) from error
    microseconds = int((found[7] or "").ljust(6, "0"))
    return (date - _EPOCH - _offset(found[8])) // timedelta(microseconds=1) + microseconds


def identifier(value: Any) -> str | None:
    """UUIDs in any notation; they are one value."""
    if not isinstance(value, str):
        return None
    if _UUID.fullmatch(value):
        return str(UUID(value))
    if _LIKE_UUID.search(value):
        raise Unsure("a UUID in another notation")
    return None


def place(value: Any) -> tuple[float, float] | None:
    """Objects with `lon` and `lat` within their ranges, as (longitude, latitude) in degrees."""
    if not isinstance(value, dict):
        return None
    lon, lat = number(value.get("lon")), number(value.get("lat"))
    if lon is None or lat is None:
        return None
    if abs(lon) >= 180 or abs(lat) >= 90:
        raise Unsure("a place at the edge of the map")
    return lon, lat


def word(value: Any) -> str | None:
    """The first word that any tokenizer would find, as an example of a text."""
    found = _WORD.search(value) if isinstance(value, str) else None
    return found.group() if found else None


HELD: dict[str, Held] = {
    "keyword": keyword,
    "integer": integer,
    "float": number,
    "bool": boolean,
    "datetime": moment,
    "uuid": identifier,
    "geo": place,
    "text": word,
}


def held_of(found: Sequence[Any], held: Held) -> set[Any]:
    """Return what the index holds of one point: arrays are indexed element by element."""
    if len(found) == 1 and not isinstance(found[0], list):
        # Nearly every point, and this runs for each of them.
        kept = held(found[0])
        return set() if kept is None else {kept}
    return {kept for value in _flat(found) if (kept := held(value)) is not None}


def is_empty(found: Sequence[Any]) -> bool:
    """Return whether Qdrant's `is_empty` finds the point."""
    return not any(value is not None and value != [] for value in found)


def _flat(found: Sequence[Any]) -> Iterator[Any]:
    for value in found:
        if isinstance(value, list):
            yield from value
        else:
            yield value


def _offset(zone: str | None) -> timedelta:
    if zone in (None, "Z"):
        return timedelta()
    assert zone is not None
    minutes = int(zone[1:3]) * 60 + int(zone[4:6])
    return timedelta(minutes=-minutes if zone[0] == "-" else minutes)
