"""A collection of every kind of vector, quantization, storage and index that 1.16 and 1.17 have."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from tests.support.collections import Loader
from tests.support.mixed import mixed_points

_DENSE: dict[str, dict[str, Any]] = {
    "cosine": {"distance": "Cosine"},
    "dot": {"distance": "Dot", "hnsw_config": {"m": 24, "ef_construct": 64}},
    "euclid": {"distance": "Euclid", "on_disk": True},
    "manhattan": {"distance": "Manhattan", "hnsw_config": {"m": 0, "payload_m": 8}},
    "half": {"distance": "Cosine", "datatype": "float16"},
    "bytes": {"distance": "Euclid", "datatype": "uint8"},
    "scalar": {
        "distance": "Cosine",
        "quantization_config": {"scalar": {"type": "int8", "quantile": 0.99}},
    },
    "product": {
        "distance": "Dot",
        "quantization_config": {"product": {"compression": "x8", "always_ram": True}},
    },
    "binary": {
        "distance": "Cosine",
        "quantization_config": {"binary": {"encoding": "two_bits", "always_ram": False}},
    },
    "inline": {
        "distance": "Cosine",
        "on_disk": True,
        "hnsw_config": {"inline_storage": True, "on_disk": True},
        "quantization_config": {"scalar": {"type": "int8"}},
    },
    "late": {"distance": "Cosine", "multivector_config": {"comparator": "max_sim"}},
}
_SIZE = 16
CONFIG: dict[str, Any] = {
    "vectors": {name: {"size": _SIZE, **params} for name, params in _DENSE.items()},
    "sparse_vectors": {
        "words": {},
        "idf": {"modifier": "idf"},
        "short": {"index": {"datatype": "float16", "on_disk": True}},
        "tiny": {"index": {"datatype": "uint8", "full_scan_threshold": 10}},
    },
    "shard_number": 2,
    "on_disk_payload": True,
    "hnsw_config": {"full_scan_threshold": 10},
    "optimizers_config": {"default_segment_number": 2, "indexing_threshold": 20},
    "strict_mode_config": {"enabled": True, "max_query_limit": 10_000},
    "metadata": {"made_for": "tests"},
}
INDEXES: dict[str, Any] = {
    "keyword": {"type": "keyword", "on_disk": True},
    "integer": {"type": "integer", "lookup": True, "range": True, "is_principal": True},
    "lookup": {"type": "integer", "lookup": True, "range": False},
    "range": {"type": "integer", "lookup": False, "range": True, "on_disk": True},
    "float": {"type": "float", "on_disk": True},
    "bool": {"type": "bool", "on_disk": True},
    "datetime": {"type": "datetime", "on_disk": True},
    "uuid": {"type": "uuid", "is_tenant": True},
    "geo": {"type": "geo", "on_disk": True},
    "text": {
        "type": "text",
        "tokenizer": "multilingual",
        "lowercase": True,
        "phrase_matching": True,
        "on_disk": True,
    },
    "rows[].name": "keyword",
    "deep.er": "integer",
}


def make_widest(loader: Loader, name: str, *, points: int) -> None:
    """Make the collection and its payload indexes, fill it, and delete some points."""
    loader.request("PUT", f"/collections/{name}", CONFIG)
    for field, schema in INDEXES.items():
        loader.index(name, field, schema)
    loader.fill(name, widest_points(points))
    gone = {"points": list(range(0, points, 11))}
    loader.request("POST", f"/collections/{name}/points/delete", gone)


def widest_points(count: int, *, seed: int = 7) -> Iterator[dict[str, Any]]:
    """Yield points with all kinds of vectors, some of them missing, and mixed payloads."""
    rng = random.Random(seed)
    for point in mixed_points(count, seed=seed):
        number = point["id"]
        vectors: dict[str, Any] = {name: _dense(rng) for name in _DENSE}
        vectors["bytes"] = [rng.randrange(256) for _ in range(_SIZE)]
        vectors["late"] = [_dense(rng) for _ in range(rng.randrange(1, 4))]
        vectors |= {name: _sparse(rng) for name in ("words", "idf", "short", "tiny")}
        for name in rng.sample(sorted(vectors), number % 3):
            del vectors[name]
        identity = number if number % 3 else f"00000000-0000-4000-8000-{number:012d}"
        yield {"id": identity, "vector": vectors, "payload": point["payload"]}


def _dense(rng: random.Random) -> list[float]:
    return [rng.gauss(0, 1) for _ in range(_SIZE)]


def _sparse(rng: random.Random) -> dict[str, Any]:
    indices = sorted(rng.sample(range(1000), 5))
    return {"indices": indices, "values": [float(rng.randrange(1, 200)) for _ in indices]}
