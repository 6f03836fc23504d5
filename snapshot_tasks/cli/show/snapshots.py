"""Catalogued snapshots as tables, lines and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from snapshot_tasks.cli.console import shown, tell, wrapped
from snapshot_tasks.cli.show.table import MAX_CELL, table
from snapshot_tasks.domain.proof import SOURCE, UNSEALED, Proof, Verdict
from snapshot_tasks.domain.shards import ShardSet
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.system.units import ago, duration, moment, size


def snapshot_json(snapshot: Snapshot) -> dict[str, Any]:
    """Return a catalogue entry for `--json`; unknown facts are null."""
    manifest, proven_at, restored_at = snapshot.manifest, snapshot.proven_at, snapshot.restored_at
    return {
        "snapshot": snapshot.name,
        "path": str(snapshot.path),
        "collection": snapshot.collection,
        "created_at": snapshot.created_at.isoformat(),
        "size_bytes": snapshot.size_bytes,
        "sha256": snapshot.sha256,
        "points_count": manifest.points_count if manifest else None,
        "qdrant_version": snapshot.taken_with,
        "label": manifest.label if manifest else None,
        "source_moved": manifest.source_moved if manifest else None,
        "sealed": bool(manifest and manifest.seal),
        "imported": snapshot.is_imported,
        "proven_at": proven_at.isoformat() if proven_at else None,
        "restored_at": restored_at.isoformat() if restored_at else None,
        "verdict": snapshot.verdict.value if snapshot.verdict else None,
        "pinned": snapshot.pin,
        "rewritten": snapshot.is_rewritten,
        "recorded_name": snapshot.recorded_name,
        "problem": snapshot.manifest_problem.message if snapshot.manifest_problem else None,
    }


def whole_json(snapshot: Snapshot) -> dict[str, Any]:
    """Return a catalogue entry for `--json` with its manifest and its proofs."""
    return snapshot_json(snapshot) | {
        "manifest": snapshot.manifest.as_json() if snapshot.manifest else None,
        "proofs": [proof.as_json() for proof in snapshot.proofs],
    }


def render_snapshots(snapshots: Sequence[Snapshot], now: datetime) -> None:
    """Print the catalogue, newest first."""
    if not snapshots:
        tell("There are no snapshots yet. `inv snapshot.create` takes one.")
        return
    table(
        "",
        ("snapshot", "collection", "taken", "#points", "#size", "sealed", "proven"),
        [_snapshot_row(s, now) for s in snapshots],
        drop=("sealed", "size", "points", "collection", "taken", "proven"),
    )


def _snapshot_row(snapshot: Snapshot, now: datetime) -> tuple[str, ...]:
    manifest = snapshot.manifest
    return (
        snapshot.name,
        (snapshot.collection or "unknown")
        + (" (replaced)" if snapshot.is_safety else "")
        + (" (pinned)" if snapshot.pin is not None else "")
        + (" (renamed)" if snapshot.recorded_name else ""),
        ago(snapshot.created_at, now),
        f"{manifest.points_count:,}" if manifest else "unknown",
        size(snapshot.size_bytes),
        _sealed(snapshot),
        _state(snapshot, now),
    )


def _sealed(snapshot: Snapshot) -> str:
    if snapshot.manifest is None:
        return "unknown"
    if snapshot.manifest.seal is None:
        return "no"
    return "at import" if snapshot.is_imported else "yes"


def _state(snapshot: Snapshot, now: datetime) -> str:
    """Return in a few words what is known of a restore, or what is wrong with the file."""
    if wrong := _wrong_with_file(snapshot):
        return wrong
    if snapshot.failed_at is not None:
        return f"FAILED {ago(snapshot.failed_at, now)}"
    if snapshot.proven_at is not None:
        return f"proven {ago(snapshot.proven_at, now)}"
    if snapshot.restored_at is not None:
        return f"restores, not sealed: {ago(snapshot.restored_at, now)}"
    return "never"


def _wrong_with_file(snapshot: Snapshot) -> str:
    if snapshot.is_lost:
        return "file missing"
    if snapshot.manifest_problem:
        return "manifest unreadable"
    return "written to since: verify it" if snapshot.is_rewritten else ""


def render_created(snapshot: Snapshot) -> None:
    """Print a new snapshot."""
    manifest = snapshot.manifest
    assert manifest is not None
    tell(f"{snapshot.path}")
    tell(
        f"  {manifest.points_count:,} points, {size(snapshot.size_bytes)}, "
        f"Qdrant {manifest.qdrant_version}, sha256 {manifest.sha256[:16]}…"
    )
    if seal := manifest.seal:
        tell(
            f"  sealed by the {seal.sealed_by} in {duration(seal.seconds)}, "
            f"fingerprint {seal.digest[:16]}…"
        )
        if any(shard.digest is None for shard in snapshot.shards):
            tell("  Only the whole is sealed, not each shard: a fresh server read them as one.")
    else:
        tell("  not sealed")
    before, after = manifest.source_points_before, manifest.source_points_after
    if manifest.source_moved and not before == after == manifest.points_count:
        tell(f"  The source was being written to: {before:,} points before, {after:,} after.")
        if manifest.shard_set:
            tell("  In the file, each shard is as it was at one moment, not all at the same.")


def render_snapshot(snapshot: Snapshot, now: datetime) -> None:
    """Print one snapshot's manifest and proofs."""
    proven_at, manifest = snapshot.proven_at, snapshot.manifest
    facts: dict[str, Any] = {
        "snapshot": snapshot.name,
        "path": snapshot.path,
        "collection": snapshot.collection,
        "taken": moment(snapshot.created_at),
        "size": f"{snapshot.size_bytes:,} bytes",
        "proven": moment(proven_at) if proven_at else "never",
    }
    if restored_at := snapshot.restored_at if proven_at is None else None:
        facts["restores"] = f"{moment(restored_at)}; {UNSEALED}"
    if manifest:
        before, after = manifest.source_points_before, manifest.source_points_after
        if snapshot.is_rewritten:
            facts["changed"] = "written to after it was catalogued: verify it"
        if snapshot.recorded_name:
            facts["taken as"] = f"{snapshot.recorded_name}: this is a copy, or it was renamed"
        facts |= {
            "sha256": manifest.sha256,
            "points": f"{manifest.points_count:,}",
            "source": f"{manifest.source_url}, Qdrant {manifest.qdrant_version}",
            "source points": "unknown"
            if manifest.imported
            else f"{before:,} before, {after:,} after",
            **({"shards": _shards(manifest.shard_set)} if manifest.shard_set else {}),
            "label": manifest.label or "none",
            "aliases": ", ".join(manifest.aliases) or "none",
            "payload indexes": ", ".join(sorted(manifest.payload_schema)) or "none",
        }
    else:
        facts["manifest"] = "none, so the checksum, points and source are unknown"
    width = max(len(key) for key in facts)
    for key, value in facts.items():
        said = "unknown" if value is None else shown(str(value), limit=MAX_CELL)
        for line in wrapped(f"{key:<{width}}  {said}", hang=width + 2):
            tell(line, is_file=True)
    if not snapshot.proofs:
        tell("There is no proof yet. `inv snapshot.test-restore` creates one.")
        return
    table(
        "Proofs, newest first",
        ("when", "kind", "ok", "Qdrant", "#restore"),
        [_proof_row(proof, now) for proof in reversed(snapshot.proofs)],
        drop=("Qdrant", "restore"),
    )


def _shards(found: ShardSet) -> str:
    """Return in one line what a cluster's snapshot consists of."""
    nodes = len({shard.node for shard in found.shards})
    keys = ", ".join(f"{key.key} ({key.shards_count})" for key in found.keys)
    return f"{len(found.shards)}, of {nodes} nodes" + (f"; keys: {keys}" if keys else "")


def _proof_row(proof: Proof, now: datetime) -> tuple[str, ...]:
    # If only the source has changed, the snapshot is still good.
    wrong = "differs" if proof.level == SOURCE else "NO"
    said = "restores" if proof.recorded is Verdict.RESTORES else "yes"
    return (
        ago(proof.at, now),
        f"{proof.kind}: {proof.level}" if proof.level else proof.kind,
        said if proof.ok else wrong,
        proof.qdrant_version or "–",
        "–" if proof.restore_seconds is None else duration(proof.restore_seconds),
    )
