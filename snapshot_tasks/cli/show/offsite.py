"""Off-site copies, pushes and pulls, as tables, lines and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from snapshot_tasks.cli.console import tell
from snapshot_tasks.cli.show.restored import render_restored, restore_json
from snapshot_tasks.cli.show.table import table
from snapshot_tasks.system.units import ago, counted, size

if TYPE_CHECKING:
    from snapshot_tasks.domain.failure import Failure
    from snapshot_tasks.operations.batch import Batch
    from snapshot_tasks.operations.offsite.listing import Listing, Remote
    from snapshot_tasks.operations.offsite.prune import Dropped
    from snapshot_tasks.operations.offsite.pull import Pulled
    from snapshot_tasks.operations.offsite.push import Pushed
    from snapshot_tasks.operations.restore.into_empty import RestoreResult


def remote_json(remote: Remote) -> dict[str, Any]:
    """Return an off-site copy for `--json`; unknown facts are null."""
    marker = remote.marker
    return {
        "snapshot": marker.snapshot,
        "collection": marker.collection,
        "created_at": marker.created_at.isoformat(),
        "size_bytes": marker.size_bytes,
        "stored_bytes": marker.stored_bytes,
        "only_bytes": remote.only_bytes,
        "sha256": marker.sha256,
        "points_count": marker.points_count,
        "qdrant_version": marker.qdrant_version,
        "label": marker.label,
        "pinned": marker.pinned,
        "proven_at": marker.proven_at.isoformat() if marker.proven_at else None,
        "encrypted": bool(marker.encrypted_to),
        "places": [repository.url for repository in remote.repositories],
    }


def listing_json(listing: Listing) -> dict[str, Any]:
    """Return the off-site copies for `--json`, with each place that did not respond."""
    return {
        "snapshots": [remote_json(remote) for remote in listing.remotes],
        "failed": [failure.as_json() for failure in listing.failures],
    }


def pushes_json(
    pushed: Sequence[Pushed], dropped: Sequence[Dropped], failures: Sequence[Failure]
) -> dict[str, Any]:
    """Return pushes for `--json`, and the old off-site copies that were deleted afterwards."""
    return {
        "pushed": [pushed_json(one) for one in pushed],
        "dropped": [{"url": one.url, "snapshot": one.candidate.name} for one in dropped],
        "failed": [failure.as_json() for failure in failures],
    }


def pulls_json(
    pulled: Sequence[Pulled], restored: Batch[RestoreResult], failures: Sequence[Failure]
) -> dict[str, Any]:
    """Return pulls for `--json`, and the restores afterwards."""
    return {
        "pulled": [pulled_json(one) for one in pulled],
        "restored": [restore_json(result) for result in restored.results],
        "failed": [failure.as_json() for failure in failures],
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
        "mended_objects": pushed.mended_count,
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


def render_pushes(pushed: Sequence[Pushed], dropped: Sequence[Dropped]) -> None:
    """Print the pushed snapshots, and the old off-site copies that were deleted afterwards."""
    render_pushed(pushed)
    for one in dropped:
        tell(f"{one.url}: deleted {one.candidate.name}")


def render_pulls(pulled: Sequence[Pulled], restored: Batch[RestoreResult]) -> None:
    """Print the pulled snapshots, and each restore afterwards."""
    render_pulled(pulled)
    for result in restored.results:
        render_restored(result)


def render_pushed(pushed: Sequence[Pushed]) -> None:
    """Print the pushed snapshots."""
    for one in pushed:
        tell(f"{one.url}: {one.snapshot.name}, {one.outcome}")
        if one.is_sent:
            readers = len(one.marker.encrypted_to)
            whom = f"{readers} age recipient{'s' * (readers != 1)}"
            how = f"encrypted to {whom}" if readers else "not encrypted"
            tell(
                f"  {size(one.marker.size_bytes)} stored as {size(one.marker.stored_bytes)}, {how},"
                f" {size(one.sent_bytes)} sent now, sha256 {one.marker.sha256[:16]}…"
            )
        if one.mended_count:
            tell(f"  mended: {counted(one.mended_count, 'object')}, missing or damaged there")


def render_pulled(pulled: Sequence[Pulled]) -> None:
    """Print the pulled snapshots, and those that were already here."""
    for one in pulled:
        if one.already:
            tell(f"{one.snapshot.path}: already here")
        else:
            tell(f"{one.snapshot.path}")
            fetched = size(one.fetched_bytes)
            tell(f"  from {one.url}, {fetched} downloaded; every part and the whole file checked")


def render_remotes(remotes: Sequence[Remote], now: datetime) -> None:
    """Print the off-site copies, newest first."""
    if not remotes:
        tell("There are no copies off-site yet. `inv snapshot.push` creates one.")
        return
    table(
        "",
        (
            "snapshot",
            "collection",
            "taken",
            "#points",
            "#size",
            "#stored",
            "#only it",
            "proven",
            "where",
        ),
        [_row(remote, now) for remote in remotes],
        drop=("stored", "size", "only it", "points", "collection", "where", "taken", "proven"),
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
        "unknown" if remote.only_bytes is None else size(remote.only_bytes),
        f"proven {ago(marker.proven_at, now)}" if marker.proven_at else "never",
        ", ".join(repository.url for repository in remote.repositories),
    )
