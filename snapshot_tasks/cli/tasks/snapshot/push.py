"""`inv snapshot.push`: copy snapshots off-site."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapshot_tasks.cli.command import Outcome, Run, command
from snapshot_tasks.cli.console import tell
from snapshot_tasks.cli.wiring import (
    COLLECTION_HELP,
    PLACE_HELP,
    SNAPSHOT_HELP,
    check_policy,
    find_snapshot,
    now,
    open_catalog,
    pinned_here,
    repositories,
)
from snapshot_tasks.domain.failure import Failure, joined
from snapshot_tasks.system.errors import NotFound, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snapshot_tasks.catalog.folder import Catalog
    from snapshot_tasks.domain.snapshot import Snapshot
    from snapshot_tasks.offsite.repository import Repository
    from snapshot_tasks.operations.offsite.push import Pushed


@command(
    "snapshot.push",
    help={
        "to": f"Where to, {PLACE_HELP}",
        "snapshot": SNAPSHOT_HELP,
        "collection": COLLECTION_HELP,
        "all": "Every snapshot of the catalogue, or of --collection.",
        "again": "Send all of it anew, such as after a pull has found it damaged there.",
        "prune": "Then drop old ones there by the QDRANT_KEEP_... rules, without asking: for cron.",
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
    """Copy a snapshot off-site, resumable, and visible there only once it is whole."""
    from snapshot_tasks.cli.show.offsite import pushed_json, render_pushed
    from snapshot_tasks.offsite.codec import Packer
    from snapshot_tasks.operations.offsite.push import PushRequest, push_each

    if all and snapshot:
        raise SettingsError("--all and --snapshot exclude each other.", hint="Give one of them.")
    if prune:
        check_policy(run.settings.retention)
    places = repositories(run, to)
    chosen = _chosen(run, open_catalog(run), snapshot, collection, all=all)
    if run.dry:
        steps = [f"push {entry.name} to {d.url}" for d in places for entry in chosen]
        return run.would(*steps, *(["drop old ones there by the rules"] if prune else []))
    packer = Packer(run.settings.age_recipients)
    requests = [
        PushRequest(
            snapshot=entry,
            packer=packer,
            collection=collection or None,
            pinned=entry.pin is not None,
            again=again,
        )
        for entry in chosen
    ]
    result = push_each(requests, places, run.progress, clock=now)
    dropped, kept = _prune_pushed(run, result.results, places) if prune else ([], [])

    def render() -> None:
        render_pushed(result.results)
        for line in dropped:
            tell(f"{line['url']}: dropped {line['snapshot']}")

    failures = [*result.failures, *kept]
    return Outcome(
        result={
            "pushed": [pushed_json(p) for p in result.results],
            "dropped": dropped,
            "failed": [failure.as_json() for failure in failures],
        },
        render=render,
        error=joined(failures),
    )


def _chosen(
    run: Run, catalog: Catalog, snapshot: str, collection: str, *, all: bool
) -> list[Snapshot]:
    if not all:
        return [find_snapshot(run, catalog, snapshot, collection)]
    entries = catalog.entries(collection or None)
    if not entries:
        raise NotFound("There is no snapshot to push.", hint="Take one with `inv snapshot.create`.")
    return entries


def _prune_pushed(
    run: Run, pushed: Sequence[Pushed], places: Sequence[Repository]
) -> tuple[list[dict[str, str]], list[Failure]]:
    """Drop old ones of the collections that have just been pushed, where they have been.

    The flag was the consent, and of others' collections in the same place nothing is known here.
    """
    from snapshot_tasks.operations.batch import for_each
    from snapshot_tasks.operations.offsite.prune import plan_remote, prune_remote

    policy, pinned = run.settings.retention, pinned_here(run)
    by_url = {repository.url: repository for repository in places}
    planned = for_each(
        dict.fromkeys((p.url, p.marker.collection) for p in pushed),
        lambda key: plan_remote(
            by_url[key[0]], policy, collection=key[1], now=now(), pinned=pinned
        ),
        name=lambda key: key[0],
    )
    plans = [plan for found in planned.results for plan in found]
    result = prune_remote(plans, policy, run.progress, now=now(), pinned=pinned)
    dropped = [{"url": one.url, "snapshot": one.candidate.name} for one in result.results]
    return dropped, [*planned.failures, *result.failures]
