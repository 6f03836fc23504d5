"""What filters on an indexed field must find, counted in the payloads themselves. Pure.

An index that lost its contents still exists, and the points are whole; only filters, facets and
deletions by filter miss points. So the pass that seals a file also counts, for each index, what a
few filters must find: the k values whose hashes are smallest (such a value is kept from its first
occurrence on, so its count is exact and the counts of several readers can be added), ranges with
fixed bounds, quarters of the map, and `is_empty`. How words are found, what is null and how many
values a point has is the business of each index, so filters for these are only compared with what
the source found.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any
from zlib import crc32

from snapshot_tasks.domain.index_values import EXACT, HELD, MAX_TEXT, held_of, is_empty, moment_text
from snapshot_tasks.domain.payload_path import Unsure, parse_path, values_at
from snapshot_tasks.system.untrusted import optional, typed

VALUES = 32
TEXT = "text"
# Qdrant parses numbers of up to 15 digits exactly; others may differ in their last bit.
_SHORT = 15
_INTEGER_BOUNDS = (-EXACT + 1, -1_000_000, -1000, 0, 1, 10, 1000, 1_000_000, 10**9, 10**12)
_FLOAT_BOUNDS = (-1e300, -1e6, -1000.0, -1.0, 0.0, 0.25, 0.5, 0.75, 1.0, 10.0, 1000.0, 1e6, 1e9)
_TIME_BOUNDS = {
    -62_135_596_800_000_000: "0001-01-01T00:00:00Z",
    0: "1970-01-01T00:00:00Z",
    946_684_800_000_000: "2000-01-01T00:00:00Z",
    1_577_836_800_000_000: "2020-01-01T00:00:00Z",
    1_704_067_200_000_000: "2024-01-01T00:00:00Z",
    1_735_689_600_000_000: "2025-01-01T00:00:00Z",
    1_767_225_600_000_000: "2026-01-01T00:00:00Z",
}
# The map is divided where hardly a point lies exactly on the line.
_LON, _LAT = 0.000_123_4, 0.000_432_1


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexCount:
    """What a filter on an indexed field finds.

    `condition` is Qdrant's own filter condition; without one, it is the number of points that the
    index holds. `file` is the number of points according to the payloads in the file, None if only
    the index knows. `source` is the number that the live collection found, None if it was not asked
    or was changing. `is_wrong` says that the live payloads also contradict the source's index.
    """

    field: str
    condition: Mapping[str, Any]
    file: int | None
    source: int | None = None
    is_wrong: bool = False

    @property
    def words(self) -> str:
        """What is counted, for a message."""
        if not self.condition:
            return "all its points"
        return json.dumps(self.condition, ensure_ascii=False)

    @property
    def expected(self) -> int | None:
        """What it must be: what the payloads say, else what the source found, if that is known."""
        return self.source if self.file is None else self.file

    def differs(self, expected: int | None, found: int) -> bool:
        """Return whether two answers differ; of sizes, only one of an index that holds nothing.

        Measured on 1.16.3 and 1.17.0: the size of a good index on disk, of text or of places, can
        be a quarter too small, and while an optimizer runs some points are counted twice.
        """
        if expected is None:
            return False
        return found != expected if self.condition else found == 0 < expected

    def as_json(self) -> dict[str, Any]:
        """Return the count as it is stored."""
        plain = {"field": self.field, "condition": dict(self.condition), "file": self.file}
        return plain | {"source": self.source} | ({"is_wrong": True} if self.is_wrong else {})

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> IndexCount:
        """Parse the output of `as_json`. Raises KeyError, TypeError or ValueError."""
        return cls(
            field=typed(document, "field", str),
            condition=typed(document, "condition", dict),
            file=optional(document, "file", int),
            source=optional(document, "source", int),
            is_wrong=bool(document.get("is_wrong")),
        )


class FieldCounter:
    """Counts the points of one indexed field; see the module for what is counted."""

    def __init__(self, field: str, index: Mapping[str, Any]) -> None:
        self.field = field
        self.kind = str(index.get("data_type"))
        self._params: Mapping[str, Any] = index.get("params") or {}
        self._held = HELD.get(self.kind, HELD["keyword"])
        self._values: dict[Any, int] = {}
        self._worst: tuple[int, Any] | None = None
        self._highest: Counter[int] = Counter()
        self._empty = 0
        self._held_points = 0
        self._unsure: set[str] = {"values"} if self.kind not in HELD else set()
        self._bounds, self._bucket = _buckets(self.kind)
        try:
            self._path = parse_path(field)
        except Unsure:
            self._path = ()

    def take(self, payload: Any) -> None:
        """Count one point."""
        if not self._path:
            return
        try:
            found = values_at(payload, self._path)
        except Unsure:
            self._unsure |= {"values", "empty"}
            return
        self._take_empty(found)
        self._take_values(found)

    def as_json(self) -> dict[str, Any]:
        """Return the counts, to be merged with those of other readers."""
        return {
            "values": [[value, count] for value, count in self._values.items()],
            "buckets": [[bucket, count] for bucket, count in self._highest.items()],
            "empty": self._empty,
            "held": self._held_points,
            "unsure": sorted(self._unsure),
        }

    def merge(self, document: Mapping[str, Any]) -> None:
        """Add what another reader counted."""
        for value, count in document["values"]:
            self._values[value] = self._values.get(value, 0) + count
        self._keep_smallest()
        for bucket, count in document["buckets"]:
            self._highest[bucket] += count
        self._empty += document["empty"]
        self._held_points += document["held"]
        self._unsure.update(document["unsure"])

    def counts(self) -> Iterator[IndexCount]:
        """Yield what each filter must find, as far as that is certain."""
        if not self._path:
            return
        if not self._is_unsure:
            yield self._count({}, self._held_points)
        if "empty" not in self._unsure:
            yield IndexCount(
                field=self.field, condition={"is_empty": {"key": self.field}}, file=self._empty
            )
        yield from self._only_of_source()
        if self.kind == TEXT:
            yield from self._words()
        else:
            yield from self._matches()
            yield from self._ranges()

    def _take_empty(self, found: list[Any]) -> None:
        try:
            self._empty += is_empty(found)
        except Unsure:
            self._unsure.add("empty")

    def _take_values(self, found: list[Any]) -> None:
        try:
            held = held_of(found, self._held)
        except Unsure:
            self._unsure.add("values")
            return
        if not held:
            return
        self._held_points += 1
        for value in held:
            if self.kind != "geo":
                self._keep(value)
        for bucket in self._bucket(held):
            self._highest[bucket] += 1

    def _keep(self, value: Any) -> None:
        if value in self._values:
            self._values[value] += 1
            return
        if self._worst is None or _rank(value) < self._worst:
            self._values[value] = 1
            self._keep_smallest()

    def _keep_smallest(self) -> None:
        kept = sorted(self._values, key=_rank)[:VALUES]
        self._values = {value: self._values[value] for value in kept}
        self._worst = _rank(kept[-1]) if len(kept) == VALUES else None

    def _only_of_source(self) -> Iterator[IndexCount]:
        several = {"key": self.field, "values_count": {"gte": 2}}
        for condition in ({"is_null": {"key": self.field}}, several):
            yield IndexCount(field=self.field, condition=condition, file=None)

    def _words(self) -> Iterator[IndexCount]:
        for word in sorted(self._values, key=_rank):
            yield self._count({"key": self.field, "match": {"text": word}}, 0)

    def _matches(self) -> Iterator[IndexCount]:
        if self._params.get("lookup") is False:
            return
        for value in sorted(self._values, key=_rank):
            if self.kind in ("float", "datetime"):
                condition = _exactly(self.kind, value)
            else:
                condition = {"match": {"value": value}}
            if condition and not (isinstance(value, str) and len(value) > MAX_TEXT):
                yield self._count({"key": self.field, **condition}, self._values[value])

    def _ranges(self) -> Iterator[IndexCount]:
        if self.kind == "geo":
            for number, box in enumerate(_quarters()):
                condition = {"key": self.field, "geo_bounding_box": box}
                yield self._count(condition, self._highest[number])
            return
        if self._params.get("range") is False:
            return
        found = [
            (sum(n for bucket, n in self._highest.items() if bucket > number), bound)
            for number, bound in enumerate(self._bounds)
        ]
        for count, same in groupby(found, key=itemgetter(0)):
            bounds = [bound for _, bound in same]
            # Of bounds that find the same points, the first and the last say everything.
            for bound in dict.fromkeys((bounds[0], bounds[-1])):
                yield self._count({"key": self.field, "range": {"gte": bound}}, count)

    @property
    def _is_unsure(self) -> bool:
        return self.kind == TEXT or "values" in self._unsure

    def _count(self, condition: dict[str, Any], file: int) -> IndexCount:
        """Return a count of values; what is not certain is only compared with the source."""
        unsure = self._is_unsure
        return IndexCount(field=self.field, condition=condition, file=None if unsure else file)


class IndexCounter:
    """Counts what filters on every indexed field of a collection must find."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._fields = [FieldCounter(field, index) for field, index in sorted(schema.items())]

    def take(self, payload: Any) -> None:
        """Count one point."""
        for field in self._fields:
            field.take(payload)

    def as_json(self) -> dict[str, Any]:
        """Return the counts, to be merged with those of other readers."""
        return {field.field: field.as_json() for field in self._fields}

    def merge(self, document: Mapping[str, Any]) -> None:
        """Add what another reader counted."""
        for field in self._fields:
            field.merge(document[field.field])

    def counts(self) -> tuple[IndexCount, ...]:
        """Return what each filter must find, as far as that is certain."""
        return tuple(count for field in self._fields for count in field.counts())


def _rank(value: Any) -> tuple[int, str]:
    text = repr(value)
    return crc32(text.encode()), text


def _exactly(kind: str, value: Any) -> dict[str, Any] | None:
    """Return a range of one value, if Qdrant parses exactly that value from JSON."""
    if kind == "datetime":
        text = moment_text(value)
        return {"range": {"gte": text, "lte": text}} if text else None
    digits = repr(value).lstrip("-").replace(".", "").partition("e")[0].strip("0")
    if len(digits) > _SHORT or not 1e-15 < abs(value) < 1e15:
        return None
    return {"range": {"gte": value, "lte": value}}


def _buckets(kind: str) -> tuple[tuple[Any, ...], Callable[[set[Any]], Iterable[int]]]:
    """Return the bounds of the ranges, and which buckets a point's values belong to."""
    if kind == "geo":
        return (), lambda held: {2 * (lon > _LON) + (lat > _LAT) for lon, lat in held}
    if kind == "datetime":
        numbers = tuple(_TIME_BOUNDS)
        return tuple(_TIME_BOUNDS.values()), lambda held: (bisect_right(numbers, max(held)),)
    bounds: tuple[Any, ...] = {"integer": _INTEGER_BOUNDS, "float": _FLOAT_BOUNDS}.get(kind, ())
    if not bounds:
        return (), lambda held: ()
    # A point is found by `gte` if its highest value is.
    return bounds, lambda held: (bisect_right(bounds, max(held)),)


def _quarters() -> Iterator[dict[str, Any]]:
    for west, east in ((-180.0, _LON), (_LON, 180.0)):
        for south, north in ((-90.0, _LAT), (_LAT, 90.0)):
            yield {
                "top_left": {"lon": west, "lat": north},
                "bottom_right": {"lon": east, "lat": south},
            }
