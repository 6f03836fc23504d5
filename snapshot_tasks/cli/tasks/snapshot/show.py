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
    from snapshot_tasks.cli.show.snapshots import render_snapshot, whole_json

    found = find_snapshot(run, open_catalog(run), snapshot, collection)
    found.check_manifest()
    return Outcome(result=whole_json(found), render=lambda: render_snapshot(found, now()))
