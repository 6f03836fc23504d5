"""The state of a live collection, and a snapshot of it that is still on the server."""

from __future__ import annotations

from dataclasses import dataclass

from snapshot_tasks.system.untrusted import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSnapshot:
    """A snapshot that is still in Qdrant. `sha256` is None if Qdrant gives no checksum."""

    name: str
    size_bytes: int
    sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionState:
    """The state of a live collection: its exact count, and everything except the points."""

    points_count: int
    config: JsonObject
    payload_schema: JsonObject
    aliases: tuple[str, ...]
