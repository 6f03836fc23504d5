"""`inv points.diff`: which points differ from a snapshot?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from snapshot_tasks.cli.command import Outcome, Run, command
from snapshot_tasks.cli.flags import only_one
from snapshot_tasks.cli.wiring import COLLECTION_HELP, SNAPSHOT_HELP, find_snapshot, open_catalog

if TYPE_CHECKING:
    from snapshot_tasks.catalog.folder import Catalog
    from snapshot_tasks.domain.snapshot import Snapshot
    from snapshot_tasks.operations.points.compare import Side

LIVE = "live"


@command(
    "points.diff",
    help={
        "snapshot": SNAPSHOT_HELP,
        "with": "Another snapshot, or live: the live collection, which is the default.",
        "collection": COLLECTION_HELP,
        "by": "Count by the values of this payload field, too; a.b is the field b of a.",
        "ids": "Write the id of each point that differs, and how, to this file as JSON lines.",
        "id": "Show both versions of the point with this id, and nothing else.",
    },
)
def diff(
    run: Run,
    snapshot: str = "",
    with_: str = LIVE,
    collection: str = "",
    by: str = "",
    ids: str = "",
    id: str = "",
) -> Outcome:
    """Show which points were added, removed or changed since a snapshot was taken."""
    from snapshot_tasks.cli.show.points import (
        diff_json,
        render_diff,
        render_versions,
        versions_json,
    )
    from snapshot_tasks.domain.outline import parse_id
    from snapshot_tasks.operations.points.compare import FileSide, compare_to_file, versions_of

    only_one(by=by, id=id)
    only_one(ids=ids, id=id)
    catalog = open_catalog(run)
    before = FileSide(snapshot=find_snapshot(run, catalog, snapshot, collection))
    after = _other_side(run, catalog, before.snapshot, with_)
    if run.dry:
        return run.would(f"compare {before.name} with {after.name}")
    if id:
        versions = versions_of(parse_id(id), before, after, run.progress)
        return Outcome(
            result=versions_json(versions, before, after),
            render=lambda: render_versions(versions, before, after),
        )
    counts = compare_to_file(
        before, after, Path(ids).absolute() if ids else None, run.progress, by=by
    )
    return Outcome(
        result=diff_json(counts, before, after), render=lambda: render_diff(counts, before, after)
    )


def _other_side(run: Run, catalog: Catalog, snapshot: Snapshot, name: str) -> Side:
    from snapshot_tasks.engines.select import live_endpoint
    from snapshot_tasks.operations.points.compare import FileSide, LiveSide

    if name != LIVE:
        return FileSide(snapshot=catalog.find(name))
    return LiveSide(
        endpoint=live_endpoint(run.live), collection=snapshot.collection or run.settings.collection
    )
