"""Manifests, and catalogued snapshots that have them."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.catalog.proofs import append_proof
from snapshot_tasks.domain.manifest import Manifest
from snapshot_tasks.domain.proof import Proof
from snapshot_tasks.domain.seal import Seal
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.system.files import append_line
from tests.support.archives import snapshot_bytes

TAKEN_AT = datetime(2025, 1, 1, 12, 0, 0, tzinfo=UTC)
SEAL = Seal.from_json({"algorithm": "qdrant-points-1", "digest": "ab" * 32, "points_count": 1234})


def make_manifest(**changes: Any) -> Manifest:
    """Return the manifest of a small, idle collection, with these values changed."""
    facts: dict[str, Any] = {
        "collection": "books",
        "snapshot": "books_20250101_120000.snapshot",
        "created_at": TAKEN_AT,
        "size_bytes": 3,
        "sha256": "ab" * 32,
        "qdrant_version": "1.17.0",
        "source_url": "http://localhost:6333",
        "points_count": 1234,
        "source_points_before": 1234,
        "source_points_after": 1234,
        "source_moved": False,
        "config": {"params": {"vectors": {"size": 4, "distance": "Cosine"}}},
        "payload_schema": {"year": {"data_type": "integer"}},
        "aliases": ("library",),
        "seal": SEAL,
    }
    return Manifest(**(facts | changes))


def catalogued(
    catalog: Catalog,
    *,
    collection: str = "books",
    taken_at: datetime = TAKEN_AT,
    content: bytes | None = None,
    **changes: Any,
) -> Snapshot:
    """Add an intact snapshot to a catalogue, as `create` does."""
    data = snapshot_bytes() if content is None else content
    facts = {
        "collection": collection,
        "snapshot": catalog.free_name(collection, taken_at),
        "created_at": taken_at,
        "size_bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    with catalog.staging() as staging:
        staging.write_bytes(data)
        return catalog.add(staging, make_manifest(**(facts | changes)))


def drill_proof(snapshot: Snapshot, at: datetime, **changes: Any) -> Proof:
    """Return the proof of a drill that succeeded, with these values changed."""
    proof = {"kind": "drill", "at": at.isoformat(), "ok": True, "sha256": snapshot.sha256}
    return Proof.from_json(proof | changes)


def add_proof(snapshot: Snapshot, **document: Any) -> None:
    """Append a line to the proofs, whatever it contains."""
    append_line(snapshot.proofs_path, json.dumps(document))


def add_drill(snapshot: Snapshot, at: datetime, **changes: Any) -> None:
    """Append the proof of such a drill."""
    append_proof(snapshot, drill_proof(snapshot, at, **changes))
