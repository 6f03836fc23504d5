"""Loads sample data with the official client, because its speed does not matter here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.system.proxies import proxy_for

BATCH = 100


def load_points(
    endpoint: Endpoint,
    collection: str,
    points: Iterable[tuple[int, Sequence[float], dict[str, Any]]],
    *,
    size: int,
    indexes: dict[str, str],
    alias: str,
) -> None:
    """Create a collection of cosine vectors with payload indexes and an alias, and fill it."""
    from qdrant_client import QdrantClient, models

    # The versions are judged by the table of versions, not by their distance.
    proxy = None if endpoint.is_loopback else proxy_for(endpoint.url)
    client = QdrantClient(
        url=endpoint.url,
        api_key=endpoint.api_key,
        timeout=60,
        check_compatibility=False,
        proxy=proxy.url if proxy else None,
        trust_env=False,
    )
    try:
        client.create_collection(
            collection,
            vectors_config=models.VectorParams(size=size, distance=models.Distance.COSINE),
        )
        for name, kind in indexes.items():
            client.create_payload_index(collection, name, models.PayloadSchemaType(kind))
        rest = iter(points)
        while batch := list(islice(rest, BATCH)):
            client.upsert(
                collection,
                [models.PointStruct(id=i, vector=list(v), payload=p) for i, v, p in batch],
                wait=True,
            )
        target = models.CreateAlias(collection_name=collection, alias_name=alias)
        client.update_collection_aliases([models.CreateAliasOperation(create_alias=target)])
    finally:
        client.close()
