"""`inv snapshot.restore`: restore a collection."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace as replace_
from typing import TYPE_CHECKING

from snapshot_tasks.cli.command import Count, Outcome, Run, Seconds, command
from snapshot_tasks.cli.flags import only_one
from snapshot_tasks.cli.wiring import (
    COLLECTION_HELP,
    SNAPSHOT_HELP,
    collection_in,
    connect,
    create_defaults,
    find_snapshot,
    fresh_servers,
    now,
    open_catalog,
)
from snapshot_tasks.system.errors import Refused

if TYPE_CHECKING:
    from snapshot_tasks.catalog.folder import Catalog
    from snapshot_tasks.domain.snapshot import Snapshot
    from snapshot_tasks.operations.batch import Batch
    from snapshot_tasks.operations.restore.into_empty import RestoreResult
    from snapshot_tasks.operations.restore.plan import RestorePlan, RestoreRequest
    from snapshot_tasks.qdrant.server import Server


@command(
    "snapshot.restore",
    help={
        "snapshot": SNAPSHOT_HELP,
        "collection": COLLECTION_HELP,
        "all": "The newest snapshot of every catalogued collection; needs --if-missing.",
        "as": "Restore under this name, without aliases; with --replace, an alias means its "
        "collection.",
        "if-missing": "Skip a collection that already exists.",
        "replace": "Replace an existing collection, after a trial restore and a safety snapshot; "
        "on several nodes, restore beside and switch an alias. Asks first, or needs --yes.",
        "reindex": "Make payload indexes anew that find too little, from the payloads.",
        "replication": "In a cluster, on how many nodes each shard shall be; default: as recorded,"
        " but no more than there are nodes.",
        "yes": "Confirm the replacement without asking.",
        "dry-run": "Print the plan and change nothing.",
        "timeout": "Wait up to this many seconds for Qdrant to become ready, and then for another "
        "run that holds the snapshot folder.",
    },
    watched=True,
)
def restore(
    run: Run,
    snapshot: str = "",
    collection: str = "",
    all: bool = False,
    as_: str = "",
    if_missing: bool = False,
    replace: bool = False,
    reindex: bool = False,
    replication: int = Count(0),
    yes: bool = False,
    dry_run: bool = False,
    timeout: float = Seconds(0),
) -> Outcome:
    """Restore a snapshot into the running Qdrant and compare the result."""
    from snapshot_tasks.catalog.lock import Use
    from snapshot_tasks.engines.select import free_bytes
    from snapshot_tasks.operations.create.one import safety_saver
    from snapshot_tasks.operations.restore.many import plan_missing, restore_missing
    from snapshot_tasks.operations.restore.plan import RestoreRequest
    from snapshot_tasks.operations.restore.unfinished import tidied

    _check_restore_flags(all, if_missing, snapshot, as_, replace)
    catalog = open_catalog(run)
    dry = dry_run or run.dry
    with connect(run, mounted=True) as server, ExitStack() as stack:
        if timeout:
            with run.progress.phase("waiting for Qdrant"):
                server.wait_ready(timeout)
        if not dry:
            held = tidied(
                catalog,
                "snapshot.restore",
                server,
                run.progress,
                # Replacing a collection takes a safety snapshot of it first.
                use=Use.WRITE if replace else Use.JOURNAL,
                wait_seconds=timeout,
            )
            stack.enter_context(held)
        if if_missing and not snapshot and not as_:
            names = catalog.collections() if all else [collection or collection_in(run, catalog)]
            if dry:
                return run.would(*plan_missing(catalog, server, names))
            restored = restore_missing(
                catalog,
                server,
                run.progress,
                collections=names,
                reindex=reindex,
                replication=replication,
            )
            return _restored_missing(catalog, restored)
        save = safety_saver(create_defaults(run), server, catalog, run.progress, clock=now)
        request = RestoreRequest(
            snapshot=find_snapshot(run, catalog, snapshot, collection),
            target=as_ or (collection if snapshot else "") or None,
            if_missing=if_missing,
            save_existing=save if replace else None,
            prove_safety=lambda safety: _is_proven(run, safety),
            tell_away=lambda seconds: _told_away(run, seconds, yes=yes),
            free_bytes=lambda: free_bytes(run.live),
            reindex=reindex,
            replication=replication,
            journal=catalog.journal,
        )
        if dry:
            return _planned(run, request, replace_(request, save_existing=save), server)
        return _restore_one(run, request, server, yes=yes)


def _planned(
    run: Run, request: RestoreRequest, replacing: RestoreRequest, server: Server
) -> Outcome:
    """Print the plan; if the collection exists, why it is refused and what `--replace` would do."""
    from snapshot_tasks.operations.restore.plan import plan_restore

    try:
        return run.would(*plan_restore(request, server).steps())
    except Refused as refusal:
        # What else prevents a restore is raised here again.
        steps = plan_restore(replacing, server).steps()
        outcome = run.would("be refused", *(f"with --replace: {step}" for step in steps))
        return replace_(outcome, error=refusal)


def _restore_one(run: Run, request: RestoreRequest, server: Server, *, yes: bool) -> Outcome:
    from snapshot_tasks.cli.show.restored import render_restored, restore_json
    from snapshot_tasks.operations.restore.one import restore
    from snapshot_tasks.operations.restore.plan import plan_restore

    plan = plan_restore(request, server)
    if plan.exists and not plan.skip:
        # On several nodes, a terminal is asked once it is known how long the collection is away.
        is_asked_later = plan.is_on_several_nodes and not plan.beside and run.can_ask
        if not is_asked_later:
            run.consent(_question(plan, server), yes=yes)
    result = restore(request, server, run.progress)
    return Outcome(
        result=restore_json(result), render=lambda: render_restored(result), error=result.error
    )


def _question(plan: RestorePlan, server: Server) -> str:
    """Return what a replacement does, in one or two sentences."""
    from snapshot_tasks.system.units import duration

    count = server.collections.count(plan.target)
    if plan.beside:
        aliases = ", ".join(plan.all_aliases)
        return (
            f"This points {aliases} at a new collection, {plan.beside}; {plan.target} with its"
            f" {count:,} points stays."
        )
    alias = f" (the alias {plan.named_by_alias})" if plan.named_by_alias else ""
    question = f"This replaces the {count:,} points of {plan.target}{alias}."
    if not plan.is_on_several_nodes:
        return question
    last = plan.snapshot.last_restore_seconds
    known = (
        f"the last test restore took {duration(last)}"
        if last
        else "a trial restore measures how long, before anything is deleted"
    )
    return f"{question} Meanwhile it is away: {known}."


def _told_away(run: Run, seconds: float, *, yes: bool) -> None:
    """Say how long a collection will be away, and ask if that was not agreed to beforehand."""
    from snapshot_tasks.system.units import duration

    away = f"The collection will be away for about {duration(seconds)}, as the trial restore took."
    run.consent(f"This deletes and restores the collection. {away}", yes=yes)
    run.progress.note(away)


def _is_proven(run: Run, safety: Snapshot) -> bool:
    from snapshot_tasks.operations.prove.safety import prove_safety

    return prove_safety(safety, fresh_servers(run), run.progress, clock=now)


def _restored_missing(catalog: Catalog, restored: Batch[RestoreResult]) -> Outcome:
    from snapshot_tasks.cli.show.restored import render_restored_all, restored_all_json

    nothing = f"There is no snapshot in {catalog.folder} yet, so there is nothing to restore."
    return Outcome(
        result=restored_all_json(restored),
        render=lambda: render_restored_all(restored, nothing=nothing),
        error=restored.error,
    )


def _check_restore_flags(
    all: bool, if_missing: bool, snapshot: str, as_: str, replace: bool
) -> None:
    only_one(all=all, snapshot=snapshot)
    only_one(all=all, as_=as_)
    only_one(replace=replace, if_missing=if_missing)
    if all and not if_missing:
        raise Refused(
            "--all restores only missing collections.", hint="Add `--if-missing` to confirm this."
        )
