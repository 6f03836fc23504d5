"""The paths of Qdrant's API. Names in them can contain any character."""

from __future__ import annotations

from urllib.parse import quote


def collection_path(collection: str) -> str:
    """Return the path of a collection's resources."""
    return f"/collections/{quote(collection, safe='')}"


def snapshots_path(collection: str) -> str:
    """Return the path of a collection's server snapshots."""
    return f"{collection_path(collection)}/snapshots"


def snapshot_path(collection: str, name: str) -> str:
    """Return the path of one server snapshot."""
    return f"{snapshots_path(collection)}/{quote(name, safe='')}"
