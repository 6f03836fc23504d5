"""`inv snapshot.test-restore`: prove that a snapshot restores."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from snapshot_tasks.cli.command import Outcome, Run, Seconds, command
from snapshot_tasks.cli.show.ci import JUNIT_HELP, tell_ci
from snapshot_tasks.cli.wiring import (
    COLLECTION_HELP,
    SNAPSHOT_HELP,
    connect,
    failure_json,
    find_snapshot,
    fresh_servers,
    now,
    open_catalog,
    run_hook,
)
from snapshot_tasks.system.errors import (
    Interrupted,
    NotFound,
    SettingsError,
    TaskError,
    join_errors,
)

if TYPE_CHECKING:
    from snapshot_tasks.catalog.folder import Catalog
    from snapshot_tasks.domain.snapshot import Snapshot
    from snapshot_tasks.operations.prove.drill import DrillReport


@command(
    "snapshot.test-restore",
    help={
        "snapshot": SNAPSHOT_HELP,
        "collection": COLLECTION_HELP,
        "all": "The newest snapshot of every catalogued collection.",
        "create": "Take a snapshot first, and test that one.",
        "random": "A random older snapshot of the collection.",
        "in-place": "On the real stack: its data is deleted and comes back; needs --yes.",
        "yes": "Agree to --in-place.",
        "keep": "Leave the throw-away Qdrant running, to look at it.",
        "max-seconds": "Fail with 23 when the restore takes longer.",
        "engine-version": "Rehearse an upgrade: test on this Qdrant version and say what changes.",
        "junit": JUNIT_HELP,
    },
    watched=True,
)
def drill(
    run: Run,
    snapshot: str = "",
    collection: str = "",
    all: bool = False,
    create: bool = False,
    random: bool = False,
    in_place: bool = False,
    yes: bool = False,
    keep: bool = False,
    max_seconds: float = Seconds(0),
    engine_version: str = "",
    junit: str = "",
) -> Outcome:
    """Prove a restore: an empty Qdrant, restore, compare, restart, compare again, throw it away."""
    from snapshot_tasks.cli.show.checked import checked_drill
    from snapshot_tasks.cli.show.drill import render_drill
    from snapshot_tasks.domain.versions import DEFAULT_VERSION, is_version

    if sum((all, bool(snapshot), create, random)) > 1:
        raise SettingsError(
            "--all, --snapshot, --create and --random exclude each other.", hint="Give one of them."
        )
    if in_place and (all or keep or engine_version):
        raise SettingsError(
            "--in-place goes with none of --all, --keep and --engine-version.",
            hint="Leave them out.",
        )
    engine_version = engine_version.removeprefix("v")
    if engine_version and not is_version(engine_version):
        raise SettingsError(
            f"{engine_version!r} is not a version.",
            hint=f"Use one like {DEFAULT_VERSION}.",
        )
    catalog = open_catalog(run)
    if run.dry:
        return run.would("restore into an empty Qdrant, compare, and throw it away")
    with catalog.lock("snapshot.test-restore"):
        chosen = _chosen_for_drill(run, catalog, snapshot, collection, all, create, random)
        work = (
            _in_place(run, catalog, yes)
            if in_place
            else _fresh(run, keep, max_seconds, engine_version)
        )
        reports, errors = _drill_each(chosen, work)
    if create:
        errors += run_hook(run, chosen)

    def render() -> None:
        for report in reports:
            render_drill(report)

    tell_ci(run, [checked_drill(report) for report in reports], errors, junit=junit)
    result = {
        "drills": [r.as_json() for r in reports],
        "failed": [failure_json(name, error) for name, error in errors],
    }
    return Outcome(result=result, render=render, error=join_errors(errors))


def _drill_each(
    chosen: list[Snapshot], work: Callable[[Snapshot], DrillReport]
) -> tuple[list[DrillReport], list[tuple[str, TaskError]]]:
    """Drill every snapshot, going on past one that fails or cannot be drilled at all."""
    reports: list[DrillReport] = []
    errors: list[tuple[str, TaskError]] = []
    for entry in chosen:
        try:
            report = work(entry)
        except Interrupted:
            raise
        except TaskError as error:
            errors.append((entry.name, error))
            continue
        reports.append(report)
        if report.error:
            errors.append((entry.name, report.error))
    return reports, errors


def _fresh(
    run: Run, keep: bool, max_seconds: float, engine_version: str
) -> Callable[[Snapshot], DrillReport]:
    from snapshot_tasks.engines.select import drill_engine
    from snapshot_tasks.operations.prove.drill import DrillRequest
    from snapshot_tasks.operations.prove.drill import drill as drill_one

    settings = run.settings
    selection = drill_engine(settings)
    run.progress.note(f"engine: {selection.engine.name} ({selection.reason})")

    def work(entry: Snapshot) -> DrillReport:
        request = DrillRequest(
            snapshot=entry,
            version=settings.version,
            operation_timeout_seconds=settings.operation_timeout_seconds,
            max_seconds=max_seconds,
            keep=keep,
            rehearsed_version=engine_version,
        )
        return drill_one(request, selection.engine, run.progress, clock=now)

    return work


def _in_place(run: Run, catalog: Catalog, yes: bool) -> Callable[[Snapshot], DrillReport]:
    from snapshot_tasks.engines.select import managed_engine, restore_endpoint
    from snapshot_tasks.operations.prove.drill_in_place import InPlaceRequest, drill_in_place

    settings = run.settings
    engine = managed_engine(settings).engine
    question = "This deletes all data of the live Qdrant and brings it back from snapshots."
    run.consent(question, yes=yes)

    def work(entry: Snapshot) -> DrillReport:
        request = InPlaceRequest(
            snapshot=entry,
            operation_timeout_seconds=settings.operation_timeout_seconds,
            ready_timeout_seconds=settings.ready_timeout_seconds,
        )
        endpoint = restore_endpoint(settings)
        return drill_in_place(request, engine, endpoint, catalog, run.progress, clock=now)

    return work


def _chosen_for_drill(
    run: Run,
    catalog: Catalog,
    snapshot: str,
    collection: str,
    all: bool,
    create: bool,
    random: bool,
) -> list[Snapshot]:
    from secrets import choice

    from snapshot_tasks.operations.create.one import CreateRequest
    from snapshot_tasks.operations.create.one import create as create_one
    from snapshot_tasks.operations.restore.unfinished import tidy

    name = collection or run.settings.collection
    if all:
        names = [collection] if collection else catalog.collections()
        if not names:
            raise NotFound(
                "There is no snapshot to test.", hint="Take one with `inv snapshot.create`."
            )
        return [catalog.newest(each) for each in names]
    if create:
        catalog.make_folder()
        with connect(run) as server:
            tidy(catalog, server, run.progress)
            request = CreateRequest(collection=name, fresh_servers=fresh_servers(run))
            return [create_one(request, server, catalog, run.progress, clock=now).snapshot]
    if random:
        newest, *older = catalog.entries(name) or [catalog.newest(name)]
        return [choice(older or [newest])]
    return [find_snapshot(run, catalog, snapshot, collection)]
