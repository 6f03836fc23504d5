"""`inv snapshot.test-restore`: prove that a snapshot restores."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from snapshot_tasks.cli.command import Count, Moment, Outcome, Run, Seconds, command
from snapshot_tasks.cli.flags import only_one, wrong_value
from snapshot_tasks.cli.show.ci import JUNIT_HELP, tell_ci
from snapshot_tasks.cli.wiring import (
    A_PLACE,
    AT_HELP,
    COLLECTION_HELP,
    SNAPSHOT_HELP,
    collection_in,
    collection_on,
    connect,
    create_defaults,
    now,
    off_site,
    open_catalog,
    run_hook,
)
from snapshot_tasks.domain.failure import joined
from snapshot_tasks.system.errors import SettingsError

if TYPE_CHECKING:
    from datetime import datetime

    from snapshot_tasks.catalog.folder import Catalog
    from snapshot_tasks.domain.snapshot import Snapshot
    from snapshot_tasks.engines.base import DownPlan, Engine
    from snapshot_tasks.operations.create.one import Created
    from snapshot_tasks.operations.prove.drill import DrillReport


@command(
    "snapshot.test-restore",
    help={
        "snapshot": SNAPSHOT_HELP,
        "collection": COLLECTION_HELP,
        "all": "Test the newest snapshot of every catalogued collection.",
        "create": "Take a new snapshot first and test it.",
        "random": "Test a random older snapshot of the collection.",
        "in-place": "Use the real stack: deletes its data and restores it; asks first, or needs "
        "--yes.",
        "yes": "Confirm --in-place without asking.",
        "dry-run": "Only list what would be done, such as what --in-place stops and deletes.",
        "from": f"Test the copy in this place, {A_PLACE}. It is not added to the catalogue.",
        "at": f"With --from. {AT_HELP}",
        "keep": "Leave the fresh Qdrant running so that you can inspect it.",
        "max-seconds": "Fail with 23 if the restore takes longer.",
        "engine-version": "Rehearse an upgrade: test on this Qdrant version and report what "
        "changes.",
        "nodes": "How many nodes the fresh Qdrant has; with several, every replica is compared.",
        "junit": JUNIT_HELP,
    },
    watched=True,
    iterable=("from_",),
)
def drill(
    run: Run,
    snapshot: str = "",
    collection: str = "",
    all: bool = False,
    create: bool = False,
    random: bool = False,
    from_: list[str] | None = None,
    at: str = Moment(),
    in_place: bool = False,
    yes: bool = False,
    dry_run: bool = False,
    keep: bool = False,
    max_seconds: float = Seconds(0),
    engine_version: str = "",
    nodes: int = Count(1),
    junit: str = "",
) -> Outcome:
    """Run a drill (restore test): restore into an empty Qdrant, compare, restart, compare again."""
    from snapshot_tasks.catalog.lock import Use
    from snapshot_tasks.cli.show.checked import checked_drill
    from snapshot_tasks.cli.show.drill import drills_json, render_drills
    from snapshot_tasks.operations.choose import to_test
    from snapshot_tasks.operations.prove.drill import drill_each

    only_one(all=all, snapshot=snapshot, create=create, random=random)
    for other in ({"create": create}, {"random": random}, {"in_place": in_place}, {"keep": keep}):
        only_one(from_=from_, **other)
    for flag in ({"all": all}, {"keep": keep}, {"engine_version": engine_version}):
        only_one(in_place=in_place, **flag)
    version = _version(engine_version)
    assert isinstance(at, Moment)
    if at.value and not from_:
        raise SettingsError(
            "--at is for a copy off-site.", hint="Add `--from URL`, or leave `--at` out."
        )
    if from_:
        work = _fresh(run, keep, max_seconds, version, nodes)
        return _from(
            run, from_, at.value, work, snapshot, collection, all, junit, dry=run.dry or dry_run
        )
    catalog = open_catalog(run)
    if run.dry or dry_run:
        if in_place:
            steps = _plan_in_place(run)[2]
            return run.would(*steps, "restore every collection from its snapshot, and compare it")
        return run.would("restore into an empty Qdrant, compare, and discard it")
    use = Use.WRITE if in_place else Use.JOURNAL if create else Use.READ
    with catalog.lock("snapshot.test-restore", use=use):
        # Ask first: a new snapshot whose drill is refused would have no hook and no report.
        work = (
            _in_place(run, catalog, yes)
            if in_place
            else _fresh(run, keep, max_seconds, version, nodes)
        )
        created = [_take(run, catalog, collection)] if create else []
        chosen = to_test(
            catalog,
            snapshot=snapshot,
            collection=collection,
            default_collection=lambda: collection_in(run, catalog),
            every=all,
            at_random=random,
            created=[one.snapshot for one in created],
        )
        drills = drill_each(chosen.results, work)
    hooks = run_hook(run, [one.snapshot for one in created])
    failures = (*chosen.failures, *drills.failures, *hooks)
    tell_ci(run, [checked_drill(report) for report in drills.results], failures, junit=junit)
    return Outcome(
        result=drills_json(created, drills.results, failures),
        render=lambda: render_drills(created, drills.results),
        error=joined(failures),
    )


def _from(
    run: Run,
    urls: list[str],
    at: datetime | None,
    work: Callable[[Snapshot], DrillReport],
    snapshot: str,
    collection: str,
    every: bool,
    junit: str,
    *,
    dry: bool,
) -> Outcome:
    from snapshot_tasks.cli.show.checked import checked_drill
    from snapshot_tasks.cli.show.drill import drills_json, render_drills
    from snapshot_tasks.offsite.codec import Unpacker
    from snapshot_tasks.operations.offsite.drill_from import drill_from_each

    listing, chosen = off_site(
        run, urls, at=at, snapshot=snapshot, collection=collection, every=every
    )
    if dry:
        return run.would(
            *(f"test {one.marker.snapshot} from {one.repositories[0].url}" for one in chosen)
        )
    unpacker = Unpacker(run.settings.offsite.age_identity_file)
    drills = drill_from_each(chosen, work, unpacker, run.progress)
    failures = (*drills.failures, *listing.failures)
    tell_ci(run, [checked_drill(report) for report in drills.results], failures, junit=junit)
    return Outcome(
        result=drills_json((), drills.results, failures),
        render=lambda: render_drills((), drills.results),
        error=joined(failures),
    )


def _version(text: str) -> str:
    from snapshot_tasks.domain.versions import DEFAULT_VERSION, is_version

    version = text.removeprefix("v")
    if version and not is_version(version):
        raise wrong_value("engine-version", text, expected=f"a version such as {DEFAULT_VERSION}")
    return version


def _take(run: Run, catalog: Catalog, collection: str) -> Created:
    from snapshot_tasks.operations.create.many import create_tidied

    catalog.make_folder()
    with connect(run) as server:
        request = create_defaults(run).request(collection or collection_on(run, server))
        return create_tidied(request, server, catalog, run.progress, clock=now)


def _fresh(
    run: Run, keep: bool, max_seconds: float, engine_version: str, nodes: int
) -> Callable[[Snapshot], DrillReport]:
    from snapshot_tasks.engines.select import drill_engine
    from snapshot_tasks.operations.prove.drill import DrillRequest
    from snapshot_tasks.operations.prove.drill import drill as drill_one

    settings = run.settings
    engine = drill_engine(settings).engine

    def work(entry: Snapshot) -> DrillReport:
        request = DrillRequest(
            snapshot=entry,
            version=settings.engine.version,
            operation_timeout_seconds=settings.qdrant.operation_timeout_seconds,
            max_seconds=max_seconds,
            keep=keep,
            rehearsed_version=engine_version,
            nodes=nodes,
        )
        return drill_one(request, engine, run.progress, clock=now)

    return work


def _in_place(run: Run, catalog: Catalog, yes: bool) -> Callable[[Snapshot], DrillReport]:
    from snapshot_tasks.engines.select import located, restore_endpoint
    from snapshot_tasks.operations.prove.drill_in_place import InPlaceRequest, drill_in_place

    given = run.settings
    engine, plan, steps = _plan_in_place(run)
    live = run.live
    question = (
        "This deletes all data of the live Qdrant and restores it from snapshots: "
        f"{'; '.join(steps)}."
    )
    run.consent(question, yes=yes)

    def work(entry: Snapshot) -> DrillReport:
        request = InPlaceRequest(
            snapshot=entry,
            operation_timeout_seconds=live.qdrant.operation_timeout_seconds,
            ready_timeout_seconds=live.qdrant.ready_timeout_seconds,
        )
        return drill_in_place(
            request,
            engine,
            lambda: restore_endpoint(located(given)),
            catalog,
            run.progress,
            plan=plan,
            clock=now,
        )

    return work


def _plan_in_place(run: Run) -> tuple[Engine, DownPlan, tuple[str, ...]]:
    from snapshot_tasks.engines.select import managed_alone

    engine = managed_alone(run.settings).engine
    plan = engine.plan_down(delete_data=True, for_good=False).checked()
    # A new server is started, with the settings as they are now.
    return engine, plan, (*plan.steps, *(f"change {one}" for one in engine.changes()))
