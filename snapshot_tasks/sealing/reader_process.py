"""Reads an unpacked shard, or a slice of it, with Qdrant Edge in a separate process.

A damaged file can make Qdrant Edge panic or exhaust memory, which ends only this process. It
reports its progress as `{"points": n}` after each batch.
"""

from __future__ import annotations

import gc
import heapq
import json
import math
import resource
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from snapshot_tasks.domain import fingerprint as canon
from snapshot_tasks.domain import outline as outlines
from snapshot_tasks.domain.fingerprint import PAYLOAD_NAME, VECTOR, Accumulator, Name
from snapshot_tasks.domain.index_counts import IndexCounter
from snapshot_tasks.domain.search_parity import LIMIT, QUERIES, sample_key
from snapshot_tasks.system.children import say

BATCH = 1000
ID_BATCH = 10_000
# Private memory only; the files that Qdrant Edge maps do not count.
MAX_MEMORY_BYTES = 8 << 30
MAX_KEY_SETS = 1000

# The number of a slice of a shard's points, and the number of slices.
Slice = tuple[int, int]


class Sanity:
    """Counts suspicious points while a collection is read."""

    def __init__(self) -> None:
        self.zero_vectors: Counter[str] = Counter()
        self.nan_vectors: Counter[str] = Counter()
        self.without_vector = 0
        self.payload_keys: Counter[str] = Counter()
        # Most points have the same payload keys, so counting whole sets of keys is cheap.
        self._key_sets: Counter[tuple[str, ...]] = Counter()

    def take(self, payload: Any, vectors: dict[str, Any]) -> None:
        """Count one point."""
        self._key_sets[tuple(payload or ())] += 1
        if len(self._key_sets) > MAX_KEY_SETS:
            self._count_keys()
        self.without_vector += not vectors
        for name, vector in vectors.items():
            if isinstance(vector, list) and vector and not isinstance(vector[0], list):
                self.zero_vectors[name] += not any(vector)
                self.nan_vectors[name] += not math.isfinite(sum(vector))
            else:
                self.nan_vectors[name] += not math.isfinite(sum(_values(vector)))

    def as_json(self) -> dict[str, Any]:
        """Return the counts."""
        self._count_keys()
        return {
            "zero_vectors": dict(+self.zero_vectors),
            "nan_vectors": dict(+self.nan_vectors),
            "without_vector": self.without_vector,
            "payload_keys": dict(self.payload_keys),
        }

    def _count_keys(self) -> None:
        for keys, count in self._key_sets.items():
            self.payload_keys.update(dict.fromkeys(keys, count))
        self._key_sets.clear()


class Sample:
    """Samples the vectors for the searches: for each name, the points with the smallest keys."""

    def __init__(self) -> None:
        self._kept: dict[str, list[tuple[int, int | str, Any]]] = {}

    def take(self, identity: int | str, vectors: dict[str, Any]) -> None:
        """Keep the point's vectors if its key is among the smallest so far."""
        key = -sample_key(identity)
        for name, vector in vectors.items():
            kept = self._kept.setdefault(name, [])
            if len(kept) < QUERIES:
                heapq.heappush(kept, (key, identity, vector))
            elif key > kept[0][0]:
                heapq.heapreplace(kept, (key, identity, vector))

    def as_json(self) -> list[dict[str, Any]]:
        """Return the sampled vectors that can be searched for: finite and not empty."""
        return [
            {"vector": name, "key": -key, "id": identity, "query": query}
            for name, kept in self._kept.items()
            for key, identity, vector in kept
            if (query := _query(vector)) is not None
        ]


def _query(vector: Any) -> Any:
    """Return a vector as a JSON query, or None if it cannot be one."""
    query = vector
    if not isinstance(vector, list):
        query = {"indices": vector.indices, "values": vector.values}
    values = _values(vector)
    return query if values and all(map(math.isfinite, values)) else None


def _values(vector: Any) -> list[float]:
    """Return the numbers of any kind of vector."""
    if not isinstance(vector, list):
        values: list[float] = vector.values
        return values
    if vector and isinstance(vector[0], list):
        return [value for row in vector for value in row]
    return vector


def read_shard(folder: str, part: Slice, schema: str) -> dict[str, Any]:
    """Return the fingerprint and other counts of a slice, and the count of the whole shard.

    `schema` is the path of a JSON file with the payload indexes whose filters are counted.
    """
    import qdrant_edge as edge

    total, sanity, sample, seen = Accumulator(), Sanity(), Sample(), 0
    indexes = IndexCounter(json.loads(Path(schema).read_text(encoding="utf-8")))
    with _opened(folder) as shard:
        counted = shard.count(edge.CountRequest(exact=True))
        for records in _batches(shard, part):
            for identity, payload, vectors in map(_point, records):
                sanity.take(payload, vectors)
                indexes.take(payload)
                sample.take(identity, vectors)
                total.add(identity, _components(payload, vectors))
            seen += len(records)
            say(points=len(records))
    return {
        "seen": seen,
        "counted": counted,
        "fingerprint": total.result().as_json(),
        "sanity": sanity.as_json(),
        "sample": sample.as_json(),
        "indexes": indexes.as_json(),
    }


def answer(folder: str, part: Slice, path: str) -> dict[str, Any]:
    """Run this part's share of the queries in a JSON file, each exactly and by HNSW."""
    import qdrant_edge as edge

    index, of = part
    queries = json.loads(Path(path).read_text(encoding="utf-8"))[index::of]
    if not queries:
        return {"answers": []}

    def ask(shard: Any, *, exact: bool) -> list[list[tuple[int | str, float]]]:
        # Sending them together takes half the time.
        asked = edge.QueryBatchRequest([_request(query, exact=exact) for query in queries])
        return [
            [(_identity(hit.id), hit.score) for hit in hits] for hits in shard.query_batch(asked)
        ]

    with _opened(folder) as shard:
        pairs = zip(ask(shard, exact=True), ask(shard, exact=False), strict=True)
        return {"answers": [{"exact": exact, "hnsw": hnsw} for exact, hnsw in pairs]}


def _request(query: dict[str, Any], *, exact: bool) -> Any:
    import qdrant_edge as edge

    given = query["query"]
    if isinstance(given, dict):
        given = edge.SparseVector(indices=given["indices"], values=given["values"])
    return edge.QueryRequest(
        limit=LIMIT,
        query=edge.Query.Nearest(given, using=query["vector"] or None),
        params=edge.SearchParams(exact=exact),
    )


def locate(folder: str, part: Slice, text: str) -> dict[str, Any]:
    """Print the id and the leaf of each point in these buckets, batch by batch."""

    def found(identity: int | str, payload: Any, vectors: dict[str, Any]) -> tuple[int | str, str]:
        return identity, canon.point_leaf(identity, _components(payload, vectors)).hex()

    return _each_in(folder, part, text, found)


def outline(folder: str, part: Slice, text: str, by: str) -> dict[str, Any]:
    """Print the outline of each point in these buckets, with the value of a payload field."""

    def found(identity: int | str, payload: Any, vectors: dict[str, Any]) -> list[Any]:
        components = _components(payload, vectors)
        return outlines.outline(identity, components, payload, by).as_json()

    return _each_in(folder, part, text, found)


def retrieve(folder: str, part: Slice, path: str) -> dict[str, Any]:
    """Print each of the points whose ids are in a JSON file, with its payload and vectors."""
    wanted = json.loads(Path(path).read_text(encoding="utf-8"))
    index, of = part
    with _opened(folder) as shard:
        for start in range(index * BATCH, len(wanted), of * BATCH):
            records = shard.retrieve(wanted[start : start + BATCH], True, True)
            say(found=[_document(*_point(record)) for record in records])
    return {}


def _document(identity: int | str, payload: Any, vectors: dict[str, Any]) -> dict[str, Any]:
    plain = {
        name: vector
        if isinstance(vector, list)
        else {"indices": list(vector.indices), "values": list(vector.values)}
        for name, vector in vectors.items()
    }
    return {"id": identity, "payload": payload or {}, "vectors": plain}


def _each_in(
    folder: str, part: Slice, text: str, found: Callable[[int | str, Any, dict[str, Any]], Any]
) -> dict[str, Any]:
    """Print what is found of each point in these buckets, batch by batch."""
    buckets = frozenset(map(int, text.split(",")))

    def lies_there(record: Any) -> bool:
        return canon.bucket_of(canon.id_bytes(_identity(record.id))) in buckets

    with _opened(folder) as shard:
        for ids in _batches(shard, part, limit=ID_BATCH, whole=False):
            wanted = [record.id for record in ids if lies_there(record)]
            for start in range(0, len(wanted), BATCH):
                records = shard.retrieve(wanted[start : start + BATCH], True, True)
                say(found=[found(*_point(record)) for record in records])
            say(points=len(ids))
    return {}


TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    "read": read_shard,
    "answer": answer,
    "locate": locate,
    "outline": outline,
    "retrieve": retrieve,
}


def main(task: str, folder: str, index: str, of: str, *rest: str) -> int:
    """Do one task on a slice of a shard, print its result, and return the exit code."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    # Nothing here creates cycles, and looking for them takes a fifth of the time.
    gc.disable()
    try:
        say(result=TASKS[task](folder, (int(index), int(of)), *rest))
    except KeyboardInterrupt:
        return 130
    except BaseException as error:  # a Rust panic is not an Exception
        say(failure=f"{type(error).__name__}: {str(error)[:300]}")
        return 1
    return 0


@contextmanager
def _opened(folder: str) -> Iterator[Any]:
    import qdrant_edge as edge

    shard = edge.EdgeShard.load(folder)
    try:
        yield shard
    finally:
        shard.close()


def _batches(
    shard: Any, part: Slice, *, limit: int = BATCH, whole: bool = True
) -> Iterator[list[Any]]:
    """Yield the record of every point of a slice, and check their number."""
    import qdrant_edge as edge

    index, of = part
    chosen = None
    if of > 1:
        # It is missing in the type stubs.
        slice_of = edge.SliceCondition(total=of, index=index)  # type: ignore[attr-defined]
        chosen = edge.Filter(must=[slice_of])
    expected = shard.count(edge.CountRequest(exact=True, filter=chosen))
    seen, offset = 0, None
    while True:
        request = edge.ScrollRequest(
            offset=offset, limit=limit, filter=chosen, with_payload=whole, with_vector=whole
        )
        records, offset = shard.scroll(request)
        seen += len(records)
        yield records
        if offset is None:
            break
    if seen != expected:
        raise ValueError(f"counted {expected:,} points, but read {seen:,}")


def _point(record: Any) -> tuple[int | str, Any, dict[str, Any]]:
    """Return the id, payload and vectors of a record.

    Each point is only unpacked when it is needed. So its values stay in the processor's cache,
    which makes reading 1.5 times as fast.
    """
    return _identity(record.id), record.payload, _named(record.vector)


def _components(payload: Any, vectors: dict[str, Any]) -> list[tuple[Name, bytes]]:
    return [
        (PAYLOAD_NAME, canon.payload(payload)),
        *(((VECTOR, name), _vector(vector)) for name, vector in vectors.items()),
    ]


def _named(vector: Any) -> dict[str, Any]:
    if vector is None:
        return {}
    return vector if isinstance(vector, dict) else {"": vector}


def _vector(vector: Any) -> bytes:
    if isinstance(vector, list):
        return canon.vector(vector)
    return canon.sparse(vector.indices, vector.values)


def _identity(identity: Any) -> int | str:
    return identity if isinstance(identity, int) else str(identity)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
