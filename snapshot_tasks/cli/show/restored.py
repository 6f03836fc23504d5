"""What a restore did, as lines and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snapshot_tasks.cli.console import tell
from snapshot_tasks.cli.show.findings import render_findings
from snapshot_tasks.system.units import duration

if TYPE_CHECKING:
    from snapshot_tasks.operations.batch import Batch
    from snapshot_tasks.operations.restore.into_empty import RestoreResult


def restore_json(result: RestoreResult) -> dict[str, Any]:
    """Return a restore for `--json`."""
    return {
        "snapshot": result.snapshot.name,
        "collection": result.target,
        "skipped": result.skipped,
        "skipped_because": result.skipped_because or None,
        "points_count": result.points_count,
        "seconds": round(result.seconds, 3),
        "green_seconds": None if result.green_seconds is None else round(result.green_seconds, 3),
        "way": result.way or None,
        "kept": result.is_kept,
        "safety_snapshot": result.safety_snapshot,
        "former_collection": result.former or None,
        "switched_aliases": list(result.switched),
        "safety_findings": [f.as_json() for f in result.safety_findings],
        "findings": [f.as_json() for f in result.findings],
    }


def restored_all_json(restored: Batch[RestoreResult]) -> dict[str, Any]:
    """Return the restores of several collections for `--json`."""
    return {
        "restored": [restore_json(result) for result in restored.results],
        "failed": [failure.as_json() for failure in restored.failures],
    }


def render_restored_all(restored: Batch[RestoreResult], *, nothing: str) -> None:
    """Print each restore, or `nothing` if none was tried."""
    for result in restored.results:
        render_restored(result)
    if nothing and not restored.results and not restored.failures:
        tell(nothing)


def render_restored(result: RestoreResult) -> None:
    """Print what a restore did."""
    if result.skipped:
        tell(f"{result.target}: {result.skipped_because}, left unchanged")
        return
    render_findings(result.findings, title=f"{result.target} from {result.snapshot.name}")
    if result.points_count is not None and not result.error:
        tell(f"Restored {result.points_count:,} points in {duration(result.seconds)}.")
    if result.former:
        tell(
            f"{result.former} was left as it is. Point the alias at it again to go back; delete it"
            f" when nobody needs it any more (DELETE {result.former_url})."
        )
        tell(
            f"From now on, take snapshots of {result.target}: schedules still name {result.former}."
        )
    if result.safety_snapshot:
        tell(f"The previous collection is saved in {result.safety_snapshot}.")
        render_findings(result.safety_findings)
