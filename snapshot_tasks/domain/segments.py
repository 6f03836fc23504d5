"""What a segment's own description says about how it stores points. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# As versions before 1.16 wrote them; 1.18 cannot read them any more.
_ROCKSDB = {"payload": ("in_memory", "on_disk"), "dense": ("Memory",), "sparse": ("on_disk",)}


def uses_rocksdb(segment: Any) -> bool:
    """Return whether a `segment.json` says that payloads or vectors are in RocksDB."""
    config = segment.get("config") if isinstance(segment, dict) else None
    if not isinstance(config, dict):
        return False
    return any(storage in _ROCKSDB[kind] for kind, storage in _storages(config))


def _storages(config: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    payload = config.get("payload_storage_type")
    yield "payload", payload.get("type") if isinstance(payload, dict) else None
    for kind, key in (("dense", "vector_data"), ("sparse", "sparse_vector_data")):
        named = config.get(key)
        for vector in named.values() if isinstance(named, dict) else ():
            yield kind, vector.get("storage_type") if isinstance(vector, dict) else None
