"""`inv snapshot.push`, `snapshot.pull` and `snapshot.list --remote`: copies off-site."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapshot_tasks.cli.command import Outcome, Run, Seconds, command
from snapshot_tasks.cli.console import tell
from snapshot_tasks.cli.retention import check_policy, pinned_here
from snapshot_tasks.cli.stack import TIMEOUT_HELP
from snapshot_tasks.cli.wiring import (
    COLLECTION_HELP,
    PLACE_HELP,
    SNAPSHOT_HELP,
    depots,
    failure_json,
    find_snapshot,
    now,
    open_catalog,
)
from snapshot_tasks.system.errors import NotFound, SettingsError, TaskError, join_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snapshot_tasks.catalog.folder import Catalog
    from snapshot_tasks.catalog.snapshot import Snapshot
    from snapshot_tasks.offsite.repository import Depot
    from snapshot_tasks.operations.offsite.listing import Remote
    from snapshot_tasks.operations.offsite.prune import RemotePlan
    from snapshot_tasks.operations.offsite.push import Pushed
    from snapshot_tasks.operations.restore.many import RestoreAllResult

NAMED_HELP = "A name from `inv snapshot.list --remote`; by default the newest of the collection."


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
    from snapshot_tasks.cli.render_offsite import pushed_json, render_pushed
    from snapshot_tasks.offsite.codec import Packer
    from snapshot_tasks.operations.offsite.push import PushRequest, push_each

    if all and snapshot:
        raise SettingsError("--all and --snapshot exclude each other.", hint="Give one of them.")
    if prune:
        check_policy(run.settings.retention)
    places = depots(run, to)
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
    dropped, errors = _prune_pushed(run, result.pushed, places) if prune else ([], [])

    def render() -> None:
        render_pushed(result.pushed)
        for line in dropped:
            tell(f"{line['url']}: dropped {line['snapshot']}")

    failed = [*result.errors, *errors]
    return Outcome(
        result={
            "pushed": [pushed_json(p) for p in result.pushed],
            "dropped": dropped,
            "failed": [failure_json(name, error) for name, error in failed],
        },
        render=render,
        error=join_errors(failed),
    )


@command(
    "snapshot.pull",
    help={
        "from": f"Where from, {PLACE_HELP}",
        "snapshot": NAMED_HELP,
        "collection": COLLECTION_HELP,
        "all": "The newest of every collection that lies off-site.",
        "restore": "Then start Qdrant where this project runs it, and restore what is missing.",
        "timeout": TIMEOUT_HELP,
    },
    watched=True,
    iterable=("from_",),
)
def pull(
    run: Run,
    from_: list[str] | None = None,
    snapshot: str = "",
    collection: str = "",
    all: bool = False,
    restore: bool = False,
    timeout: float = Seconds(0),
) -> Outcome:
    """Bring a snapshot back from off-site, all of it checked; --restore puts it into Qdrant."""
    from snapshot_tasks.cli.render import render_restored, restore_json
    from snapshot_tasks.cli.render_offsite import pulled_json, render_pulled
    from snapshot_tasks.offsite.codec import Unpacker
    from snapshot_tasks.operations.offsite.listing import choose, list_remote
    from snapshot_tasks.operations.offsite.pull import pull_each

    if all and (snapshot or collection):
        raise SettingsError(
            "--all goes with neither --snapshot nor --collection.", hint="Leave them out."
        )
    wanted = None if all else collection or (None if snapshot else run.settings.collection)
    listing = list_remote(depots(run, from_), wanted)
    for name, error in listing.errors:
        run.progress.note(f"{name}: {error.message}")
    chosen = choose(listing, snapshot=snapshot)
    if run.dry:
        return run.would(*_steps(chosen, restore=restore))
    catalog = open_catalog(run)
    result = pull_each(chosen, catalog, Unpacker(run.settings.age_identity_file), run.progress)
    restored = _restore(run, catalog, [p.snapshot for p in result.pulled], timeout, wanted=restore)
    failed = [*result.errors, *(restored.errors if restored else ()), *listing.errors]

    def render() -> None:
        render_pulled(result.pulled)
        for one in restored.results if restored else ():
            render_restored(one)

    return Outcome(
        result={
            "pulled": [pulled_json(p) for p in result.pulled],
            "restored": [restore_json(r) for r in restored.results] if restored else [],
            "failed": [failure_json(name, error) for name, error in failed],
        },
        render=render,
        error=join_errors(failed),
    )


def list_off_site(run: Run, places: Sequence[str] | None, collection: str) -> Outcome:
    """List what lies off-site, newest first."""
    from snapshot_tasks.cli.render_offsite import remote_json, render_remotes
    from snapshot_tasks.operations.offsite.listing import list_remote

    listing = list_remote(depots(run, places), collection or None)
    return Outcome(
        result={
            "snapshots": [remote_json(remote) for remote in listing.remotes],
            "failed": [failure_json(name, error) for name, error in listing.errors],
        },
        render=lambda: render_remotes(listing.remotes, now()),
        error=join_errors(listing.errors),
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
    run: Run, pushed: Sequence[Pushed], places: Sequence[Depot]
) -> tuple[list[dict[str, str]], list[tuple[str, TaskError]]]:
    """Drop old ones of the collections that have just been pushed, where they have been.

    The flag was the consent, and of others' collections in the same place nothing is known here.
    """
    from snapshot_tasks.operations.offsite.prune import plan_remote, prune_remote

    policy, pinned = run.settings.retention, pinned_here(run)
    depots_by_url = {depot.url: depot for depot in places}
    plans: list[RemotePlan] = []
    errors: list[tuple[str, TaskError]] = []
    for url, collection in dict.fromkeys((p.url, p.marker.collection) for p in pushed):
        try:
            depot = depots_by_url[url]
            plans += plan_remote(depot, policy, collection=collection, now=now(), pinned=pinned)
        except TaskError as error:
            errors.append((url, error))
    result = prune_remote(plans, policy, run.progress, now=now(), pinned=pinned)
    dropped = [{"url": depot.url, "snapshot": one.name} for depot, one in result.dropped]
    return dropped, [*errors, *result.errors]


def _restore(
    run: Run, catalog: Catalog, snapshots: list[Snapshot], timeout: float, *, wanted: bool
) -> RestoreAllResult | None:
    from snapshot_tasks.engines.select import live_engine, points_at_engine, restore_endpoint
    from snapshot_tasks.operations.offsite.pull_restore import restore_pulled

    if not wanted or not snapshots:
        return None
    engine = live_engine(run.settings).engine if points_at_engine(run.settings) else None
    return restore_pulled(
        snapshots,
        None if engine is None or engine.name == "external" else engine,
        restore_endpoint(run.settings),
        catalog,
        run.progress,
        ready_timeout_seconds=timeout or run.settings.ready_timeout_seconds,
        operation_timeout_seconds=run.settings.operation_timeout_seconds,
    )


def _steps(chosen: list[Remote], *, restore: bool) -> list[str]:
    steps = [f"pull {r.marker.snapshot} from {r.depots[0].url}" for r in chosen]
    if restore:
        steps.append("start Qdrant where this project runs it")
        steps += [f"restore {r.marker.collection} if it is missing" for r in chosen]
    return steps
