"""Compare the search results of two collections. Pure: no I/O.

The results of the source come from the reader that seals a file, those of the restore from a
server. For most vectors, their scores are equal to the bit. For float16, the reader rounds the
query and the server does not; the reader also adds up sparse products in a different order. So
each kind has a tolerance, and ids may only swap places, or drop off the end, if their scores are
that close. With the idf modifier, both weight by their own statistics, and a sparse index of bytes
rounds by the values in its segment, so these results cannot be compared. The fingerprint compares
the vectors bit by bit.

A score may be no finite number: a product or a distance that is too large for 32 bits, or anything
times NaN. JSON has no such number, so a server sends null, and a manifest contains null. The reader
and the server do not agree on where such points belong, or whether they belong to the results.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any
from zlib import crc32

from snapshot_tasks.domain.fingerprint import id_bytes

QUERIES = 50
LIMIT = 10
EXACT_TOLERANCE = 1e-5
ROUNDED_TOLERANCE = 1e-3
_VALUE_BYTES = {None: 4, "float32": 4, "float16": 2, "uint8": 1}

PointId = int | str
# None: the score is no finite number.
Hit = tuple[PointId, float | None]


class Agreement(Enum):
    """Whether two exact results are equal; `UNCLEAR` if they cannot be compared."""

    SAME = "same"
    DIFFERENT = "different"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A stored vector as a query: its point, the source's exact result, and its HNSW recall."""

    vector: str
    id: PointId
    exact: tuple[Hit, ...]
    recall: float

    def as_json(self) -> dict[str, Any]:
        """Return the probe as it is stored in a manifest."""
        return {
            "vector": self.vector,
            "id": self.id,
            "exact": [list(hit) for hit in self.exact],
            "recall": self.recall,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Probe:
        """Parse the output of `as_json`. Raises KeyError, TypeError or ValueError."""
        try:
            return cls(
                vector=str(document["vector"]),
                id=_point_id(document["id"]),
                exact=tuple((_point_id(hit), _score(score)) for hit, score in document["exact"]),
                recall=float(document["recall"]),
            )
        except OverflowError as error:
            raise ValueError(str(error)) from error


def _score(value: Any) -> float | None:
    """Return a score; None for any that is no finite number, however it is written."""
    score = math.nan if value is None else float(value)
    return score if math.isfinite(score) else None


def _point_id(value: Any) -> PointId:
    """Return the id of a point. Raises ValueError if a request cannot ask for it."""
    if not isinstance(value, int | str) or isinstance(value, bool):
        raise ValueError(f"{value!r} is not a point id")
    if isinstance(value, int) and not 0 <= value < 1 << 64:
        raise ValueError("a point id is out of range")
    return value


def sample_key(identity: PointId) -> int:
    """Return the sort key that chooses the sampled points, so the sample is always the same."""
    return crc32(b"probe" + id_bytes(identity))


def merge_hits(answers: Iterable[Sequence[tuple[PointId, float]]]) -> tuple[Hit, ...]:
    """Merge the results of several shards; distances ascend, all other scores descend."""
    lists = [list(answer) for answer in answers]
    longest = max(lists, key=len, default=[])
    numbers = [score for _, score in longest if not math.isnan(score)]
    descending = not numbers or numbers[0] >= numbers[-1]

    def key(hit: tuple[PointId, float]) -> float:
        # Qdrant, too, sorts NaN above every number.
        return math.inf if math.isnan(hit[1]) else hit[1]

    merged = sorted((hit for answer in lists for hit in answer), key=key, reverse=descending)
    return tuple((identity, _score(score)) for identity, score in merged[:LIMIT])


def recall(approximate: Sequence[Hit], exact: Sequence[Hit]) -> float:
    """Return the share of the exact result that the approximate search found."""
    wanted = {identity for identity, _ in exact}
    return len(wanted & {identity for identity, _ in approximate}) / len(wanted) if wanted else 1.0


def tolerance_of(config: Mapping[str, Any], vector: str) -> float | None:
    """Return the relative tolerance for scores of a vector; None if they cannot be compared."""
    params = _object(config.get("params"))
    sparse = _object(params.get("sparse_vectors")).get(vector)
    if sparse is not None:
        by_index = _object(_object(sparse).get("index")).get("datatype") == "uint8"
        by_statistics = _object(sparse).get("modifier") == "idf"
        return None if by_index or by_statistics else ROUNDED_TOLERANCE
    dense = _object(params.get("vectors"))
    described = _object(dense.get(vector, dense)) if vector else dense
    rounded = described.get("datatype") not in (None, "float32")
    return ROUNDED_TOLERANCE if rounded else EXACT_TOLERANCE


def is_sparse(config: Mapping[str, Any], vector: str) -> bool:
    """Return whether the vectors with this name are sparse."""
    return vector in _object(_object(config.get("params")).get("sparse_vectors"))


def unused_index(
    config: Mapping[str, Any], vector: str, *, points_count: int, indexed_count: int
) -> str | None:
    """Return why no search uses the HNSW graph of a vector; None if some may use it.

    Below `full_scan_threshold`, which is compared with the size of a segment's vectors, Qdrant
    compares with all of them, whatever state the graph is in.
    """
    params = _object(config.get("params"))
    if is_sparse(config, vector):
        return None
    dense = _object(params.get("vectors"))
    described = _object(dense.get(vector, dense)) if vector else dense
    hnsw = {**_object(config.get("hnsw_config")), **_set_in(described.get("hnsw_config"))}
    if hnsw.get("m") == 0 and not hnsw.get("payload_m"):
        return "m is 0"
    if not indexed_count:
        return "no segment is large enough for an index"
    size, bytes_each = described.get("size"), _VALUE_BYTES.get(described.get("datatype"))
    threshold = hnsw.get("full_scan_threshold")
    if not (isinstance(size, int) and isinstance(threshold, int) and size > 0 and bytes_each):
        return None
    needed = threshold * 1024 // (size * bytes_each)
    # The rows of a multi-vector only lower what is needed, by how much is unknown.
    if points_count < needed and not described.get("multivector_config"):
        return f"full_scan_threshold of {threshold:,} kB means {needed:,} vectors in a segment"
    return None


def _set_in(config: Any) -> Mapping[str, Any]:
    """Return what a vector's own configuration sets."""
    return {key: value for key, value in _object(config).items() if value is not None}


def _object(value: Any) -> Mapping[str, Any]:
    """Return an object of a manifest, which is untrusted, or an empty object."""
    return value if isinstance(value, Mapping) else {}


def compare_answers(
    expected: Sequence[Hit],
    actual: Sequence[Hit],
    tolerance: float,
    *,
    is_odd: bool = False,
) -> Agreement:
    """Compare two exact results; the scores that are numbers decide.

    If some are not, or if the collection has vectors with NaN or infinity (`is_odd`), a
    difference says nothing: NaN has no place in an order, and may push others out of the results.
    """
    numbers, found = _numbers(expected), _numbers(actual)
    is_clear = len(numbers) == len(expected) and len(found) == len(actual) and not is_odd
    shared = max(len(numbers), len(found)) if is_clear else min(len(numbers), len(found))
    if (shared or is_clear) and _same(numbers[:shared], found[:shared], tolerance):
        return Agreement.SAME
    return Agreement.DIFFERENT if is_clear else Agreement.UNCLEAR


def _numbers(answer: Sequence[Hit]) -> list[tuple[PointId, float]]:
    return [(identity, score) for identity, score in answer if score is not None]


def _same(
    expected: Sequence[tuple[PointId, float]],
    actual: Sequence[tuple[PointId, float]],
    tolerance: float,
) -> bool:
    """Return whether two results are equal, except that close scores may swap places."""

    def close(first: float, second: float) -> bool:
        return abs(first - second) <= tolerance * max(1.0, abs(first), abs(second))

    if len(expected) != len(actual):
        return False
    pairs = zip(expected, actual, strict=True)
    if not all(close(first, second) for (_, first), (_, second) in pairs):
        return False
    if not expected:
        return True
    last = expected[-1][1]
    found = {identity for identity, _ in actual}
    return all(identity in found or close(score, last) for identity, score in expected)
