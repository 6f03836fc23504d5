"""`inv snapshot.pin`: keep a snapshot whatever the rules say."""

from __future__ import annotations

from snapshot_tasks.cli.command import Outcome, Run, command
from snapshot_tasks.cli.console import tell
from snapshot_tasks.cli.wiring import (
    COLLECTION_HELP,
    SNAPSHOT_HELP,
    find_snapshot,
    open_catalog,
)


@command(
    "snapshot.pin",
    help={
        "snapshot": SNAPSHOT_HELP,
        "collection": COLLECTION_HELP,
        "note": "A note that says why.",
    },
)
def pin(run: Run, snapshot: str = "", collection: str = "", note: str = "") -> Outcome:
    """Keep a snapshot whatever the rules of `inv snapshot.prune` say."""
    from snapshot_tasks.catalog.pins import set_pin

    catalog = open_catalog(run)
    if run.dry:
        return run.would(f"pin {find_snapshot(run, catalog, snapshot, collection).name}")
    with catalog.lock("snapshot.pin"):
        found = find_snapshot(run, catalog, snapshot, collection)
        set_pin(found, note)
    return Outcome(
        result={"snapshot": found.name, "pinned": note},
        render=lambda: tell(f"{found.name} is pinned: `inv snapshot.prune` will not delete it."),
    )
