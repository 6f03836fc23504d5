"""`inv snapshot.push`: copy snapshots off-site."""

from __future__ import annotations

from snapshot_tasks.cli.command import Outcome, Run, command
from snapshot_tasks.cli.flags import only_one
from snapshot_tasks.cli.wiring import (
    COLLECTION_HELP,
    PLACE_HELP,
    SNAPSHOT_HELP,
    find_snapshot,
    keys_off_site,
    now,
    open_catalog,
    repositories,
)
from snapshot_tasks.domain.failure import joined


@command(
    "snapshot.push",
    help={
        "to": f"The place to push to, {PLACE_HELP}",
        "snapshot": SNAPSHOT_HELP,
        "collection": COLLECTION_HELP,
        "all": "All snapshots in the catalogue, or of --collection.",
        "again": "Send everything again, for example after a pull found damage there.",
        "prune": "Then delete old copies there by the QDRANT_OFFSITE_KEEP_... rules, else by the"
        " QDRANT_KEEP_... ones, without asking; for cron.",
    },
    watched=True,
    iterable=("to",),
)
def push(
    run: Run,
    to: list[str] | None = None,
    snapshot: str = "",
    collection: str = "",
    all: bool = False,
    prune: bool = False,
    again: bool = False,
) -> Outcome:
    """Copy a snapshot off-site; the push can be resumed, and an incomplete copy stays hidden."""
    from snapshot_tasks.cli.show.offsite import pushes_json, render_pushes
    from snapshot_tasks.operations.batch import Batch
    from snapshot_tasks.operations.choose import all_of
    from snapshot_tasks.operations.offsite.prune import Dropped, prune_pushed
    from snapshot_tasks.operations.offsite.push import PushRequest, push_each
    from snapshot_tasks.operations.prune import check_policy, pinned_names

    only_one(all=all, snapshot=snapshot)
    policy = run.settings.keep_offsite
    if prune:
        check_policy(policy)
    targets, catalog = repositories(run, to), open_catalog(run)
    if all:
        chosen = all_of(catalog, collection, purpose="push")
    else:
        chosen = [find_snapshot(run, catalog, snapshot, collection)]
    if run.dry:
        steps = [f"push {entry.name} to {d.url}" for d in targets for entry in chosen]
        return run.would(*steps, *(["delete old copies there by the rules"] if prune else []))
    keys = keys_off_site(run)
    requests = [
        PushRequest(
            snapshot=entry,
            packer=keys.packer,
            unpacker=keys.unpacker,
            cache=keys.cache,
            collection=collection or None,
            pinned=entry.pin is not None,
            again=again,
        )
        for entry in chosen
    ]
    pushed = push_each(requests, targets, run.progress, clock=now)
    dropped: Batch[Dropped] = Batch()
    if prune:
        dropped = prune_pushed(
            pushed.results,
            targets,
            policy,
            run.progress,
            now=now(),
            pinned=pinned_names(catalog),
            keys=keys,
        )
    failures = (*pushed.failures, *dropped.failures)
    return Outcome(
        result=pushes_json(pushed.results, dropped.results, failures),
        render=lambda: render_pushes(pushed.results, dropped.results),
        error=joined(failures),
    )
