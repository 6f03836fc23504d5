"""`inv snapshot.list`: the snapshots in the catalogue, or off-site."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapshot_tasks.cli.command import Moment, Outcome, Run, command
from snapshot_tasks.cli.wiring import AT_HELP, now, open_catalog, repositories
from snapshot_tasks.system.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


@command(
    "snapshot.list",
    help={
        "collection": "Only this collection.",
        "remote": "List the copies off-site instead.",
        "at": f"With --remote. {AT_HELP}",
        "from": "With --remote: the place; can be repeated. Default: QDRANT_OFFSITE_URL.",
    },
    iterable=("from_",),
)
def list_(
    run: Run,
    collection: str = "",
    remote: bool = False,
    from_: list[str] | None = None,
    at: str = Moment(),
) -> Outcome:
    """List the catalogued snapshots, newest first, with their size, points and last proof."""
    assert isinstance(at, Moment)
    if remote or from_ or at.value:
        return list_off_site(run, from_, collection, at=at.value)
    from snapshot_tasks.cli.show.snapshots import render_snapshots, snapshot_json

    catalog = open_catalog(run)
    if not catalog.folder.is_dir():
        raise StorageError(
            f"The folder {catalog.folder} does not exist.",
            hint="Correct QDRANT_SNAPSHOT_DIR, or run `inv snapshot.create`, which creates it.",
        )
    snapshots = catalog.entries(collection or None)
    if collection and not snapshots:
        raise catalog.none_of(collection)
    # In a large folder, this takes as long as printing the table.
    result = {"snapshots": [snapshot_json(s) for s in snapshots]} if run.json else {}
    return Outcome(
        result=result,
        render=lambda: render_snapshots(snapshots, now()),
    )


def list_off_site(
    run: Run, places: Sequence[str] | None, collection: str, *, at: datetime | None = None
) -> Outcome:
    """List the copies off-site, newest first; or as they were `at` a time."""
    from snapshot_tasks.cli.show.offsite import listing_json, render_remotes
    from snapshot_tasks.operations.offsite.listing import CORRECT_URL, list_remote

    listing = list_remote(repositories(run, places, at=at), collection or None, needs=True)
    for sentence in listing.misplaced:
        run.progress.note(f"{sentence} {CORRECT_URL}")
    return Outcome(
        result=listing_json(listing),
        render=lambda: render_remotes(listing.remotes, now()),
        error=listing.error,
    )
