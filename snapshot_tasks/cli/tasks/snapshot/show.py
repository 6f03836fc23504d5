"""`inv snapshot.show`: one snapshot, its manifest and its proofs."""

from __future__ import annotations

from snapshot_tasks.cli.command import Outcome, Run, command
from snapshot_tasks.cli.wiring import (
    COLLECTION_HELP,
    SNAPSHOT_HELP,
    find_snapshot,
    now,
    open_catalog,
)


@command("snapshot.show", help={"snapshot": SNAPSHOT_HELP, "collection": COLLECTION_HELP})
def show(run: Run, snapshot: str = "", collection: str = "") -> Outcome:
    """Show one snapshot's manifest and its proofs."""
    from snapshot_tasks.cli.show.snapshots import render_snapshot, snapshot_json

    found = find_snapshot(run, open_catalog(run), snapshot, collection)
    found.check_manifest()
    result = snapshot_json(found) | {
        "manifest": found.manifest.as_json() if found.manifest else None,
        "proofs": [proof.as_json() for proof in found.proofs],
    }
    return Outcome(result=result, render=lambda: render_snapshot(found, now()))
