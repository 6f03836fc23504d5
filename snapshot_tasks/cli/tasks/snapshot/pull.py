"""`inv snapshot.pull`: download snapshots from off-site."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapshot_tasks.cli.command import Moment, Outcome, Run, Seconds, command
from snapshot_tasks.cli.flags import only_one
from snapshot_tasks.cli.wiring import (
    AT_HELP,
    COLLECTION_HELP,
    PLACE_HELP,
    TIMEOUT_HELP,
    off_site,
    open_catalog,
)
from snapshot_tasks.domain.failure import joined

if TYPE_CHECKING:
    from snapshot_tasks.catalog.folder import Catalog
    from snapshot_tasks.domain.snapshot import Snapshot
    from snapshot_tasks.operations.batch import Batch
    from snapshot_tasks.operations.offsite.listing import Remote
    from snapshot_tasks.operations.restore.into_empty import RestoreResult


NAMED_HELP = "Name from snapshot.list --remote; default: the newest snapshot of the collection."


@command(
    "snapshot.pull",
    help={
        "from": f"The place to pull from, {PLACE_HELP}",
        "at": AT_HELP,
        "snapshot": NAMED_HELP,
        "collection": COLLECTION_HELP,
        "all": "The newest snapshot of every collection off-site.",
        "restore": "Then start Qdrant (if this project runs it) and restore what is missing.",
        "timeout": TIMEOUT_HELP,
    },
    watched=True,
    iterable=("from_",),
)
def pull(
    run: Run,
    from_: list[str] | None = None,
    at: str = Moment(),
    snapshot: str = "",
    collection: str = "",
    all: bool = False,
    restore: bool = False,
    timeout: float = Seconds(0),
) -> Outcome:
    """Download a snapshot from off-site and check all of it; --restore also restores it."""
    from snapshot_tasks.cli.show.offsite import pulls_json, render_pulls
    from snapshot_tasks.offsite.codec import Unpacker
    from snapshot_tasks.operations.offsite.pull import pull_each

    only_one(all=all, snapshot=snapshot)
    only_one(all=all, collection=collection)
    assert isinstance(at, Moment)
    listing, chosen = off_site(
        run, from_, at=at.value, snapshot=snapshot, collection=collection, every=all
    )
    if run.dry:
        return run.would(*_steps(chosen, restore=restore))
    catalog = open_catalog(run)
    result = pull_each(
        chosen, catalog, Unpacker(run.settings.offsite.age_identity_file), run.progress
    )
    restored = _restore(run, catalog, [p.snapshot for p in result.results], timeout, wanted=restore)
    failures = [*result.failures, *restored.failures, *listing.failures]

    return Outcome(
        result=pulls_json(result.results, restored, failures),
        render=lambda: render_pulls(result.results, restored),
        error=joined(failures),
    )


def _restore(
    run: Run, catalog: Catalog, snapshots: list[Snapshot], timeout: float, *, wanted: bool
) -> Batch[RestoreResult]:
    from snapshot_tasks.engines.select import managed_engine_at_url, restore_endpoint
    from snapshot_tasks.operations.batch import Batch
    from snapshot_tasks.operations.offsite.pull_restore import restore_pulled

    if not wanted or not snapshots:
        return Batch()
    return restore_pulled(
        snapshots,
        managed_engine_at_url(run.live),
        restore_endpoint(run.live),
        catalog,
        run.progress,
        ready_timeout_seconds=timeout or run.settings.qdrant.ready_timeout_seconds,
        operation_timeout_seconds=run.settings.qdrant.operation_timeout_seconds,
    )


def _steps(chosen: list[Remote], *, restore: bool) -> list[str]:
    steps = [f"pull {r.marker.snapshot} from {r.repositories[0].url}" for r in chosen]
    if restore:
        steps.append("start Qdrant if this project runs it")
        steps += [f"restore {r.marker.collection} if it is missing" for r in chosen]
    return steps
