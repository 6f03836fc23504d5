"""What a live collection is, and a snapshot of it that is still on the server."""

from __future__ import annotations

from dataclasses import dataclass

from snapshot_tasks.system.untrusted import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSnapshot:
    """A snapshot that is still inside Qdrant. `sha256` is None where Qdrant gives no checksum."""

    name: str
    size_bytes: int
    sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionState:
    """What a live collection is: the exact count and everything beside the points."""

    points_count: int
    config: JsonObject
    payload_schema: JsonObject
    aliases: tuple[str, ...]
