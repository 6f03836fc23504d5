"""Read one unpacked shard with Qdrant's in-process engine. Runs as a process of its own.

A damaged file may panic the engine or exhaust memory; here that ends this process and nothing else.
It prints JSON lines: `{"points": n}` as it goes, at the end `{"result": …}` or `{"failure": …}`.
Given buckets, it prints which points lie in them instead of adding all of them up.
"""

from __future__ import annotations

import json
import math
import resource
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

from snapshot_tasks import fingerprint as canon
from snapshot_tasks.fingerprint import PAYLOAD_NAME, VECTOR, Accumulator, Name

BATCH = 1000
# Private memory only: the files that the engine maps do not count.
MAX_MEMORY_BYTES = 8 << 30


class Sanity:
    """What is suspicious about a collection, counted while it is read."""

    def __init__(self) -> None:
        self.zero_vectors: Counter[str] = Counter()
        self.nan_vectors: Counter[str] = Counter()
        self.without_vector = 0
        self.payload_keys: Counter[str] = Counter()

    def take(self, payload: Any, vectors: dict[str, Any]) -> None:
        """Count one point."""
        self.payload_keys.update(list(payload or ()))
        self.without_vector += not vectors
        for name, vector in vectors.items():
            if isinstance(vector, list) and vector and not isinstance(vector[0], list):
                self.zero_vectors[name] += not any(vector)
                self.nan_vectors[name] += not math.isfinite(math.fsum(vector))

    def as_json(self) -> dict[str, Any]:
        """Return the counts."""
        return {
            "zero_vectors": dict(+self.zero_vectors),
            "nan_vectors": dict(+self.nan_vectors),
            "without_vector": self.without_vector,
            "payload_keys": dict(self.payload_keys),
        }


def read_shard(folder: str) -> dict[str, Any]:
    """Return the fingerprint and the sanity counts of an unpacked shard."""
    total, sanity = Accumulator(), Sanity()
    for batch in _points(folder):
        for identity, payload, vectors in batch:
            sanity.take(payload, vectors)
            total.add(identity, _components(payload, vectors))
        _say({"points": len(batch)})
    return {"fingerprint": total.result().as_json(), "sanity": sanity.as_json()}


def locate(folder: str, buckets: frozenset[int]) -> dict[str, Any]:
    """Print the id and the leaf of each point in these buckets, batch by batch."""
    for batch in _points(folder):
        found = [
            (identity, canon.point_leaf(identity, _components(payload, vectors)).hex())
            for identity, payload, vectors in batch
            if canon.bucket_of(canon.id_bytes(identity)) in buckets
        ]
        _say({"points": len(batch), "found": found})
    return {}


def main(folder: str, buckets: str = "") -> int:
    """Read the shard, print what came of it, and return the exit code."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    try:
        wanted = frozenset(map(int, filter(None, buckets.split(","))))
        _say({"result": locate(folder, wanted) if wanted else read_shard(folder)})
    except KeyboardInterrupt:
        return 130
    except BaseException as error:  # a Rust panic is no Exception
        _say({"failure": f"{type(error).__name__}: {str(error)[:300]}"})
        return 1
    return 0


def _points(folder: str) -> Iterator[list[tuple[int | str, Any, dict[str, Any]]]]:
    """Yield id, payload and vectors of every point, and insist that they are as many as counted."""
    import qdrant_edge as edge

    shard = edge.EdgeShard.load(folder)
    try:
        expected, seen, offset = shard.count(edge.CountRequest(exact=True)), 0, None
        while True:
            request = edge.ScrollRequest(
                offset=offset, limit=BATCH, with_payload=True, with_vector=True
            )
            records, offset = shard.scroll(request)
            seen += len(records)
            yield [(_identity(r.id), r.payload, _named(r.vector)) for r in records]
            if offset is None:
                break
        if seen != expected:
            raise ValueError(f"counted {expected:,} points, read {seen:,}")
    finally:
        shard.close()


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


def _say(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
