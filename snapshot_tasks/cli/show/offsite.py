"""What lies off-site, and what came or went, as tables, lines and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from snapshot_tasks.cli.console import tell
from snapshot_tasks.cli.show.table import table
from snapshot_tasks.operations.offsite.listing import Remote
from snapshot_tasks.operations.offsite.pull import Pulled
from snapshot_tasks.operations.offsite.push import PUSHED, Pushed
from snapshot_tasks.system.units import ago, size


def remote_json(remote: Remote) -> dict[str, Any]:
    """Return a snapshot that lies off-site for `--json`; unknown facts are null."""
    marker = remote.marker
    return {
        "snapshot": marker.snapshot,
        "collection": marker.collection,
        "created_at": marker.created_at.isoformat(),
        "size_bytes": marker.size_bytes,
        "stored_bytes": marker.stored_bytes,
        "sha256": marker.sha256,
        "points_count": marker.points_count,
        "qdrant_version": marker.qdrant_version,
        "label": marker.label,
        "pinned": marker.pinned,
        "proven_at": marker.proven_at.isoformat() if marker.proven_at else None,
        "encrypted": bool(marker.encrypted_to),
        "places": [repository.url for repository in remote.repositories],
    }


def pushed_json(pushed: Pushed) -> dict[str, Any]:
    """Return a push for `--json`."""
    return {
        "snapshot": pushed.snapshot.name,
        "url": pushed.url,
        "outcome": pushed.outcome,
        "sha256": pushed.marker.sha256,
        "size_bytes": pushed.marker.size_bytes,
        "stored_bytes": pushed.marker.stored_bytes,
        "sent_bytes": pushed.sent_bytes,
        "encrypted": bool(pushed.marker.encrypted_to),
    }


def pulled_json(pulled: Pulled) -> dict[str, Any]:
    """Return a pull for `--json`."""
    return {
        "snapshot": pulled.snapshot.name,
        "path": str(pulled.snapshot.path),
        "url": pulled.url or None,
        "already": pulled.already,
        "sha256": pulled.snapshot.sha256,
        "fetched_bytes": pulled.fetched_bytes,
    }


def render_pushed(pushed: Sequence[Pushed]) -> None:
    """Print what was pushed."""
    for one in pushed:
        tell(f"{one.url}: {one.snapshot.name}, {one.outcome}")
        if one.outcome == PUSHED:
            readers = len(one.marker.encrypted_to)
            whom = f"{readers} age recipient{'s' * (readers != 1)}"
            how = f"encrypted to {whom}" if readers else "not encrypted"
            tell(
                f"  {size(one.marker.size_bytes)} as {size(one.marker.stored_bytes)}, {how},"
                f" {size(one.sent_bytes)} sent now, sha256 {one.marker.sha256[:16]}…"
            )


def render_pulled(pulled: Sequence[Pulled]) -> None:
    """Print what is here now."""
    for one in pulled:
        if one.already:
            tell(f"{one.snapshot.path}: here already")
        else:
            tell(f"{one.snapshot.path}")
            fetched = size(one.fetched_bytes)
            tell(f"  from {one.url}, {fetched} fetched, every part and the whole checked")


def render_remotes(remotes: Sequence[Remote], now: datetime) -> None:
    """Print what lies off-site, newest first."""
    if not remotes:
        tell("Nothing lies off-site yet. `inv snapshot.push` puts a snapshot there.")
        return
    table(
        "",
        ("snapshot", "collection", "taken", "#points", "#size", "#stored", "proven", "where"),
        [_row(remote, now) for remote in remotes],
    )


def _row(remote: Remote, now: datetime) -> tuple[str, ...]:
    marker = remote.marker
    return (
        marker.snapshot,
        marker.collection + (" (replaced)" if marker.safety else ""),
        ago(marker.created_at, now),
        "unknown" if marker.points_count is None else f"{marker.points_count:,}",
        size(marker.size_bytes),
        size(marker.stored_bytes) + (" age" if marker.encrypted_to else ""),
        f"proven {ago(marker.proven_at, now)}" if marker.proven_at else "never",
        ", ".join(repository.url for repository in remote.repositories),
    )
