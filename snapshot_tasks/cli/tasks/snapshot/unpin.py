"""`inv snapshot.unpin`: let the rules decide again."""

from __future__ import annotations

from snapshot_tasks.cli.command import Outcome, Run, command
from snapshot_tasks.cli.console import tell
from snapshot_tasks.cli.wiring import (
    COLLECTION_HELP,
    SNAPSHOT_HELP,
    find_snapshot,
    open_catalog,
)


@command("snapshot.unpin", help={"snapshot": SNAPSHOT_HELP, "collection": COLLECTION_HELP})
def unpin(run: Run, snapshot: str = "", collection: str = "") -> Outcome:
    """Let the rules of `snapshot.prune` decide on a pinned snapshot again."""
    from snapshot_tasks.catalog.pins import remove_pin

    catalog = open_catalog(run)
    if run.dry:
        return run.would(f"unpin {find_snapshot(run, catalog, snapshot, collection).name}")
    with catalog.lock("snapshot.unpin"):
        found = find_snapshot(run, catalog, snapshot, collection)
        was = found.pin
        remove_pin(found)
    text = "was not pinned" if was is None else "is no longer pinned: the rules decide on it"
    return Outcome(
        result={"snapshot": found.name, "pinned": None, "was_pinned": was},
        render=lambda: tell(f"{found.name} {text}."),
    )
