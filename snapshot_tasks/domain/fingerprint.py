"""One number for the contents of a collection. Pure: no I/O.

Two collections have the same fingerprint exactly when every point agrees in id, payload and every
named vector, bit for bit (docs/fingerprint.md states the odds of a collision). The order of the
points, their split into batches, shards and workers, and the reader that delivered them do not
matter: each point adds hashes to a table of buckets, and tables are added up.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson

ALGORITHM = "qdrant-points-1"
BUCKETS = 4096
PAYLOAD = "payload"
VECTOR = "vector"
_MASK = (1 << 64) - 1
_I64_MIN, _I64_MAX = -(1 << 63), (1 << 63) - 1
_LANES = struct.Struct("<QQ").unpack
_INTEGER_ID = struct.Struct("<cQ").pack
_BUCKET_SHIFT = 20

Name = tuple[str, str]
"""A component of a point: `("payload", "")`, or `("vector", its name)`."""

Point = tuple[int | str, list[tuple[Name, bytes]]]
"""A point as the readers deliver it: its id, and the canonical bytes of each component."""

PAYLOAD_NAME: Name = (PAYLOAD, "")


def id_bytes(identity: int | str) -> bytes:
    """Return the canonical bytes of a point's id: an unsigned 64-bit number or a UUID."""
    if isinstance(identity, str):
        return b"u" + UUID(identity).bytes
    return _INTEGER_ID(b"n", identity)


def bucket_of(identity: bytes) -> int:
    """Return the bucket that a point's canonical id belongs to."""
    return binascii.crc32(identity) >> _BUCKET_SHIFT


def dense(values: Sequence[float]) -> bytes:
    """Return the canonical bytes of a dense vector of any datatype: its float32 bits."""
    return b"d" + _floats(values)


def dense_bits(float32: bytes) -> bytes:
    """Return the same for a reader that already has the little-endian float32 bits."""
    return b"d" + float32


def multi(rows: Sequence[Sequence[float]]) -> bytes:
    """Return the canonical bytes of a multi-vector: its number of rows, then each row's bits."""
    return b"m" + struct.pack("<I", len(rows)) + b"".join(_floats(row) for row in rows)


def multi_bits(rows: int, float32: bytes) -> bytes:
    """Return the same for a reader that already has the bits of all rows."""
    return b"m" + struct.pack("<I", rows) + float32


def sparse(indices: Sequence[int], values: Sequence[float]) -> bytes:
    """Return the canonical bytes of a sparse vector: its elements sorted by index."""
    pairs = sorted(zip(indices, values, strict=True))
    count = len(pairs)
    head = struct.pack(f"<{count + 1}I", count, *(index for index, _ in pairs))
    return b"s" + head + _floats([value for _, value in pairs])


def vector(value: Any) -> bytes:
    """Return the canonical bytes of a JSON vector: a list, a list of lists, or sparse.

    Raises struct.error if a value is not a number, such as the `null` that replaces NaN.
    """
    if isinstance(value, dict):
        return sparse(value["indices"], value["values"])
    return multi(value) if value and isinstance(value[0], list) else dense(value)


def payload(document: Mapping[str, Any] | None) -> bytes:
    """Return the canonical bytes of a payload: compact JSON with sorted keys.

    No payload equals an empty one, as in Qdrant. An integer that does not fit into 64 bits, signed,
    becomes a float, as over gRPC.
    """
    if not document:
        return b"{}"
    try:
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER)
    except orjson.JSONEncodeError:
        # An integer needs more than 53 bits, and perhaps more than 64.
        return orjson.dumps(_narrowed(document), option=orjson.OPT_SORT_KEYS)


class Table:
    """The sums of one component: how many points have it, and two 64-bit lanes, by bucket."""

    __slots__ = ("counts", "high", "low")

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS
        self.low = [0] * BUCKETS
        self.high = [0] * BUCKETS

    def add(self, other: Table) -> None:
        """Add another table's sums."""
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        self.low = [a + b for a, b in zip(self.low, other.low, strict=True)]
        self.high = [a + b for a, b in zip(self.high, other.high, strict=True)]

    def folded(self) -> Table:
        """Return a table of the same sums modulo 2^64, because adding can exceed 64 bits."""
        table = Table()
        table.counts = list(self.counts)
        table.low = [value & _MASK for value in self.low]
        table.high = [value & _MASK for value in self.high]
        return table

    @property
    def count(self) -> int:
        """How many points have this component."""
        return sum(self.counts)

    def as_bytes(self) -> bytes:
        """Return counts and lanes, each as little-endian 64-bit numbers, bucket by bucket."""
        return _u64(self.counts) + _u64(self.low) + _u64(self.high)

    @classmethod
    def from_bytes(cls, data: bytes) -> Table:
        """Parse the output of `as_bytes`. Raises ValueError for anything else."""
        if len(data) != 3 * 8 * BUCKETS:
            raise ValueError(f"a table of {len(data):,} bytes")
        table, numbers = cls(), list(struct.unpack(f"<{3 * BUCKETS}Q", data))
        table.counts = numbers[:BUCKETS]
        table.low = numbers[BUCKETS : 2 * BUCKETS]
        table.high = numbers[2 * BUCKETS :]
        return table


class Accumulator:
    """Adds up points in any order. Its size does not depend on the number of points."""

    def __init__(self) -> None:
        self._sums: dict[Name, tuple[bytes, Table]] = {}

    def add(self, identity: int | str, components: Iterable[tuple[Name, bytes]]) -> None:
        """Add one point: its id, and the canonical bytes of each of its components."""
        key = id_bytes(identity)
        bucket = bucket_of(key)
        for name, content in components:
            head, table = self._sums.get(name) or self._begin(name)
            low, high = _LANES(leaf(key, head, content))
            table.counts[bucket] += 1
            table.low[bucket] += low
            table.high[bucket] += high

    def merge(self, other: Fingerprint) -> None:
        """Add all points of a fingerprint, such as another shard's."""
        for name, table in other.tables.items():
            _, sums = self._sums.get(name) or self._begin(name)
            sums.add(table)

    def result(self) -> Fingerprint:
        """Return the fingerprint of all points added so far."""
        sums = sorted(self._sums.items())
        return Fingerprint(tables={name: table.folded() for name, (_, table) in sums})

    def _begin(self, name: Name) -> tuple[bytes, Table]:
        self._sums[name] = _head(name), Table()
        return self._sums[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """The finished sums of a collection, by component."""

    tables: Mapping[Name, Table]

    @property
    def points_count(self) -> int:
        """The number of points; every point has a payload, even if it is empty."""
        table = self.tables.get(PAYLOAD_NAME)
        return table.count if table else 0

    @property
    def digest(self) -> str:
        """The hex SHA-256 of all components and buckets, equal exactly for equal contents."""
        total = sha256(ALGORITHM.encode())
        for name, table in sorted(self.tables.items()):
            total.update(_head(name) + table.as_bytes())
        return total.hexdigest()

    def differences(self, other: Fingerprint) -> tuple[Difference, ...]:
        """Return the components that differ, each with its differing buckets."""
        names = sorted(self.tables.keys() | other.tables.keys())
        found = (
            Difference(name=name, buckets=_different(self._table(name), other._table(name)))
            for name in names
        )
        return tuple(difference for difference in found if difference.buckets)

    def summary(self) -> dict[str, Any]:
        """Return the part that a manifest contains: everything except the buckets."""
        return {
            "algorithm": ALGORITHM,
            "digest": self.digest,
            "points_count": self.points_count,
            "components": [
                {"kind": kind, "name": name, "points_count": table.count}
                for (kind, name), table in sorted(self.tables.items())
            ],
        }

    def as_json(self) -> dict[str, Any]:
        """Return the whole fingerprint, with 131 kB for each component."""
        document = self.summary()
        for item in document["components"]:
            table = self.tables[item["kind"], item["name"]]
            item["buckets"] = base64.b64encode(table.as_bytes()).decode()
        return document

    @classmethod
    def from_json(cls, document: Any) -> Fingerprint:
        """Parse the output of `as_json`.

        Raises:
            ValueError: if it has another algorithm, or its sums do not match its digest and counts.
        """
        if not isinstance(document, Mapping):
            raise ValueError("it is not a JSON object")
        if document.get("algorithm") != ALGORITHM:
            raise ValueError(f"algorithm {document.get('algorithm')!r} is not {ALGORITHM!r}")
        try:
            tables = {
                (str(item["kind"]), str(item["name"])): Table.from_bytes(
                    base64.b64decode(item["buckets"], validate=True)
                )
                for item in document["components"]
            }
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{error} is missing or has the wrong type") from error
        fingerprint = cls(tables=tables)
        if not tables.keys() <= {PAYLOAD_NAME, *((VECTOR, name) for _, name in tables)}:
            raise ValueError("it has an unknown kind of component")
        if fingerprint.as_json() != document:
            raise ValueError("its sums do not match its digest and counts")
        return fingerprint

    def _table(self, name: Name) -> Table:
        return self.tables.get(name) or Table()


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A component that differs, and the buckets of ids in which it differs."""

    name: Name
    buckets: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A snapshot's seal: the digest decides, the buckets show where contents differ."""

    digest: str
    points_count: int
    buckets: Fingerprint | None


def leaf(key: bytes, head: bytes, content: bytes) -> bytes:
    """Return the 16 bytes that one component of one point adds to its bucket."""
    return sha256(key + head + content).digest()[:16]


def component_leaf(identity: int | str, name: Name, content: bytes) -> bytes:
    """Return the 16 bytes that represent one component of a point."""
    return leaf(id_bytes(identity), _head(name), content)


def point_leaf(identity: int | str, components: Iterable[tuple[Name, bytes]]) -> bytes:
    """Return 16 bytes that represent a whole point, to find the points that differ."""
    key = id_bytes(identity)
    leaves = (leaf(key, _head(name), content) for name, content in sorted(components))
    return sha256(b"".join(leaves)).digest()[:16]


def _head(name: Name) -> bytes:
    kind, text = name
    encoded = text.encode()
    return kind[:1].encode() + struct.pack("<I", len(encoded)) + encoded


def _different(first: Table, second: Table) -> frozenset[int]:
    return frozenset(
        bucket
        for bucket in range(BUCKETS)
        if first.low[bucket] != second.low[bucket]
        or first.high[bucket] != second.high[bucket]
        or first.counts[bucket] != second.counts[bucket]
    )


def _floats(values: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def _u64(values: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(values)}Q", *values)


def _narrowed(value: Any) -> Any:
    """Return the value with each integer that gRPC cannot represent converted to a float."""
    if isinstance(value, dict):
        return {key: _narrowed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_narrowed(item) for item in value]
    if isinstance(value, int) and not _I64_MIN <= value <= _I64_MAX:
        return float(value)
    return value
