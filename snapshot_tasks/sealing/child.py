"""Read one unpacked shard with Qdrant's in-process engine. Runs as a process of its own.

A damaged file may panic the engine or exhaust memory; here that ends this process and nothing else.
It prints JSON lines: `{"points": n}` as it goes, at the end `{"result": …}` or `{"failure": …}`.
"""

from __future__ import annotations

import json
import math
import resource
import sys
from collections import Counter
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
    import qdrant_edge as edge

    shard = edge.EdgeShard.load(folder)
    try:
        expected = shard.count(edge.CountRequest(exact=True))
        total, sanity, offset, seen = Accumulator(), Sanity(), None, 0
        while True:
            request = edge.ScrollRequest(
                offset=offset, limit=BATCH, with_payload=True, with_vector=True
            )
            records, offset = shard.scroll(request)
            for record in records:
                vectors = _named(record.vector)
                sanity.take(record.payload, vectors)
                total.add(_identity(record.id), _components(record.payload, vectors))
            seen += len(records)
            _say({"points": len(records)})
            if offset is None:
                break
        if seen != expected:
            raise ValueError(f"counted {expected:,} points, read {seen:,}")
        return {"fingerprint": total.result().as_json(), "sanity": sanity.as_json()}
    finally:
        shard.close()


def main(folder: str) -> int:
    """Read the shard, print what came of it, and return the exit code."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    try:
        _say({"result": read_shard(folder)})
    except KeyboardInterrupt:
        return 130
    except BaseException as error:  # a Rust panic is no Exception
        _say({"failure": f"{type(error).__name__}: {str(error)[:300]}"})
        return 1
    return 0


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
    sys.exit(main(sys.argv[1]))
