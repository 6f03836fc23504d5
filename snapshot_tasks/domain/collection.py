"""The state of a live collection, and a snapshot of it that is still on the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from snapshot_tasks.system.untrusted import JsonObject

_PARAMS = (
    "vectors",
    "sparse_vectors",
    "shard_number",
    "sharding_method",
    "replication_factor",
    "write_consistency_factor",
    "on_disk_payload",
)
# What Qdrant takes only for a collection that exists.
_LATER_PARAMS = ("read_fan_out_factor", "read_fan_out_delay_ms")
_CONFIGS = {
    "hnsw_config": "hnsw_config",
    "optimizer_config": "optimizers_config",
    "wal_config": "wal_config",
    "quantization_config": "quantization_config",
    "strict_mode_config": "strict_mode_config",
    "metadata": "metadata",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSnapshot:
    """A snapshot that is still in Qdrant. `sha256` is None if Qdrant gives no checksum.

    Of one that is not surely ours, another tool may depend: it is never deleted.
    """

    name: str
    size_bytes: int
    sha256: str | None
    is_surely_ours: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many points a collection shows, and how many it hides until they are optimized.

    With `prevent_unoptimized`, counts, scrolls and searches leave out such deferred points; a
    snapshot has them. `way` says how they were counted if an exact count was refused.
    """

    shown: int
    hidden: int = 0
    way: str = ""

    @property
    def total(self) -> int:
        """All points that the collection has."""
        return self.shown + self.hidden


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionState:
    """The state of a live collection: its exact count, and everything except the points.

    `hidden_count` is the number of points that are not in `points_count`, and `count_way` says how
    they were counted if not by an exact count (`Count`).
    """

    points_count: int
    config: JsonObject
    payload_schema: JsonObject
    aliases: tuple[str, ...]
    hidden_count: int = 0
    count_way: str = ""

    @property
    def total_count(self) -> int:
        """All points that the collection has, hidden ones too."""
        return self.points_count + self.hidden_count


def optimizer_is_off(config: Mapping[str, Any]) -> bool:
    """Return whether a collection's optimizer never runs, so that waiting for it is useless."""
    return (config.get("optimizer_config") or {}).get("max_optimization_threads") == 0


def creation(config: JsonObject) -> JsonObject:
    """Return the request that creates an empty collection with this configuration."""
    params = config.get("params") or {}
    body = {key: params[key] for key in _PARAMS if params.get(key) is not None}
    return body | {
        asked: config[key] for key, asked in _CONFIGS.items() if config.get(key) is not None
    }


def change(config: JsonObject) -> JsonObject:
    """Return the request that then sets what cannot be given at the creation; empty if nothing."""
    params = config.get("params") or {}
    later = {key: params[key] for key in _LATER_PARAMS if params.get(key) is not None}
    return {"params": later} if later else {}


def has_turbo4(config: JsonObject) -> bool:
    """Return whether vectors are stored in a datatype that only newer versions know."""
    vectors = (config.get("params") or {}).get("vectors") or {}
    each = [vectors, *vectors.values()]
    return any(isinstance(of, dict) and of.get("datatype") == "turbo4" for of in each)
