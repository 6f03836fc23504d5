"""The paths of Qdrant's API. Names in them can contain any character."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import quote

# How many seconds the nodes of a cluster may take to agree. Qdrant's default is 10: measured, a
# busy machine needs more to make six shards on three nodes.
AGREEMENT: Mapping[str, str] = MappingProxyType({"timeout": "300"})


def collection_path(collection: str) -> str:
    """Return the path of a collection's resources."""
    return f"/collections/{quote(collection, safe='')}"


def snapshots_path(collection: str, shard: int | None = None) -> str:
    """Return the path of the server snapshots of a collection, or of one of its shards."""
    of_shard = "" if shard is None else f"/shards/{shard}"
    return f"{collection_path(collection)}{of_shard}/snapshots"


def snapshot_path(collection: str, name: str, shard: int | None = None) -> str:
    """Return the path of one server snapshot."""
    return f"{snapshots_path(collection, shard)}/{quote(name, safe='')}"
