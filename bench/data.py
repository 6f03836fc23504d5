"""The collection that is measured: cosine vectors and a payload of about 350 bytes as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import grpc
import numpy as np
from qdrant_client import grpc as wire

from bench.growth import Size
from snapshot_tasks.domain.endpoint import Endpoint

NAME = "bench"
# The same with fewer points, on a cluster.
SMALL, SMALLER = "bench-small", 10
BATCH = 1000
OPTIONS = (
    ("grpc.compression_enabled_algorithms_bitset", 1),
    ("grpc.max_receive_message_length", -1),
)


def channel(endpoint: Endpoint) -> Any:
    """Return a channel to the server's gRPC port without compression."""
    host = urlsplit(endpoint.url).hostname
    return grpc.insecure_channel(f"{host}:{endpoint.grpc_port}", options=OPTIONS)


def endpoint_of(asked: dict[str, Any]) -> Endpoint:
    """Return the endpoint that a contestant should use."""
    return Endpoint(
        url=asked["url"], grpc_port=asked["grpc_port"], cluster_urls=tuple(asked["nodes"])
    )


def load(endpoint: Endpoint, name: str, size: Size) -> None:
    """Create a collection and fill it; ids are 0 to `points` - 1, a multiple of 1,000.

    Each of `text_repeats` makes the payload 20 to 25 bytes longer.
    """
    random = np.random.default_rng(7)
    params = wire.VectorParams(size=size.dimensions, distance=wire.Distance.Cosine)
    with channel(endpoint) as opened:
        collections: Any = wire.CollectionsStub(opened)  # type: ignore[no-untyped-call]
        stub: Any = wire.PointsStub(opened)  # type: ignore[no-untyped-call]
        collections.Create(
            wire.CreateCollection(
                collection_name=name,
                shard_number=size.shards,
                vectors_config=wire.VectorsConfig(params=params),
                # Only reading is measured, so building a graph at the same time would disturb it.
                hnsw_config=wire.HnswConfigDiff(m=0),
            )
        )
        for start in range(0, size.points, BATCH):
            vectors = random.standard_normal((BATCH, size.dimensions)).astype(np.float32)
            batch = [
                _point(start + row, vectors[row].tolist(), size.text_repeats)
                for row in range(BATCH)
            ]
            last = start + BATCH >= size.points
            stub.Upsert(wire.UpsertPoints(collection_name=name, points=batch, wait=last))


def change(endpoint: Endpoint, name: str, size: Size, *, seed: int = 8) -> None:
    """Overwrite one point in a hundred, chosen at random."""
    random = np.random.default_rng(seed)
    chosen = random.choice(size.points, size.points // 100, replace=False).tolist()
    add(endpoint, name, size, chosen, seed=seed)


def add(endpoint: Endpoint, name: str, size: Size, numbers: Iterable[int], *, seed: int) -> None:
    """Write points with these ids, each with a random vector."""
    random = np.random.default_rng(seed)
    points = [
        _point(number, random.standard_normal(size.dimensions).tolist(), size.text_repeats)
        for number in numbers
    ]
    with channel(endpoint) as opened:
        stub: Any = wire.PointsStub(opened)  # type: ignore[no-untyped-call]
        for start in range(0, len(points), BATCH):
            batch = points[start : start + BATCH]
            stub.Upsert(wire.UpsertPoints(collection_name=name, points=batch, wait=True))


def _point(number: int, vector: list[float], text_repeats: int) -> Any:
    payload = {
        "group": wire.Value(string_value=f"g{number % 7}"),
        "number": wire.Value(integer_value=number),
        "score": wire.Value(double_value=vector[0]),
        "text": wire.Value(string_value=f"Pengumuman nomor {number}. " * text_repeats),
        "tags": wire.Value(
            list_value=wire.ListValue(values=[wire.Value(string_value=t) for t in "abc"])
        ),
    }
    return wire.PointStruct(
        id=wire.PointId(num=number),
        vectors=wire.Vectors(vector=wire.Vector(data=vector)),
        payload=payload,
    )
