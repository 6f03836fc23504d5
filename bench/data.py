"""The collection that is measured: cosine vectors and a payload of about 350 bytes as JSON."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import grpc
import numpy as np
from qdrant_client import grpc as wire

from snapshot_tasks.models import Endpoint

NAME = "bench"
BATCH = 1000
OPTIONS = (
    ("grpc.compression_enabled_algorithms_bitset", 1),
    ("grpc.max_receive_message_length", -1),
)


def channel(endpoint: Endpoint) -> Any:
    """Return a channel to the server's gRPC port that asks for no compression."""
    host = urlsplit(endpoint.url).hostname
    return grpc.insecure_channel(f"{host}:{endpoint.grpc_port}", options=OPTIONS)


def load(endpoint: Endpoint, *, points: int, dimensions: int) -> None:
    """Make the collection and fill it; ids are 0 to `points` - 1, a multiple of 1,000."""
    random = np.random.default_rng(7)
    params = wire.VectorParams(size=dimensions, distance=wire.Distance.Cosine)
    with channel(endpoint) as opened:
        collections: Any = wire.CollectionsStub(opened)  # type: ignore[no-untyped-call]
        stub: Any = wire.PointsStub(opened)  # type: ignore[no-untyped-call]
        collections.Create(
            wire.CreateCollection(
                collection_name=NAME,
                vectors_config=wire.VectorsConfig(params=params),
                # Reading is measured; building a graph meanwhile would only disturb.
                hnsw_config=wire.HnswConfigDiff(m=0),
            )
        )
        for start in range(0, points, BATCH):
            vectors = random.standard_normal((BATCH, dimensions)).astype(np.float32)
            batch = [_point(start + row, vectors[row].tolist()) for row in range(BATCH)]
            last = start + BATCH >= points
            stub.Upsert(wire.UpsertPoints(collection_name=NAME, points=batch, wait=last))


def _point(number: int, vector: list[float]) -> Any:
    payload = {
        "group": wire.Value(string_value=f"g{number % 7}"),
        "number": wire.Value(integer_value=number),
        "score": wire.Value(double_value=vector[0]),
        "text": wire.Value(string_value=f"Pengumuman nomor {number}. " * 8),
        "tags": wire.Value(
            list_value=wire.ListValue(values=[wire.Value(string_value=t) for t in "abc"])
        ),
    }
    return wire.PointStruct(
        id=wire.PointId(num=number),
        vectors=wire.Vectors(vector=wire.Vector(data=vector)),
        payload=payload,
    )
