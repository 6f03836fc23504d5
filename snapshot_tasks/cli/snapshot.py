"""`inv snapshot.…`: take, list, verify, restore and prove snapshots."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snapshot_tasks.cli.command import Outcome, Run, Seconds, command
from snapshot_tasks.errors import NotFound, Refused, SettingsError, TaskError, join_errors

if TYPE_CHECKING:
    from snapshot_tasks.catalog.folder import Catalog, Snapshot
    from snapshot_tasks.operations.drill import DrillReport
    from snapshot_tasks.operations.verify import Verification
    from snapshot_tasks.qdrant.server import Server

SNAPSHOT_HELP = (
    "A path, or a name from `inv snapshot.list`; by default the newest of the collection."
)
COLLECTION_HELP = "The collection; by default QDRANT_COLLECTION_NAME."


def _now() -> datetime:
    return datetime.now(UTC)


@command(
    "create",
    help={
        "collection": "The collection; may be given several times.",
        "all": "Every collection of the server; goes on past one that fails.",
        "output-dir": "Catalogue it in this folder instead of QDRANT_SNAPSHOT_DIR.",
        "label": "A word to remember it by, kept in the manifest.",
        "keep-server-copy": "Leave Qdrant's own copy on the server.",
    },
    iterable=("collection",),
)
def create(
    run: Run,
    collection: list[str] | None = None,
    all: bool = False,
    output_dir: str = "",
    label: str = "",
    keep_server_copy: bool = False,
) -> Outcome:
    """Take a snapshot of a live collection: downloaded, checked byte for byte, catalogued."""
    from snapshot_tasks.cli.render import render_created, snapshot_json
    from snapshot_tasks.operations.create import CreateRequest, create_each

    if all and collection:
        raise SettingsError("--all and --collection exclude each other.", hint="Give one of them.")
    catalog = _catalog(run, output_dir)
    names = collection or [run.settings.collection]
    if run.dry:
        return run.would(
            f"take a snapshot of {'all' if all else ', '.join(names)} into {catalog.folder}"
        )
    catalog.make_folder()
    with catalog.lock("snapshot.create"), _server(run) as server:
        requests = [
            CreateRequest(collection=name, label=label, keep_server_copy=keep_server_copy)
            for name in (server.collections() if all else dict.fromkeys(names))
        ]
        taken = create_each(requests, server, catalog, run.progress, clock=_now)

    def render() -> None:
        for snapshot in taken.snapshots:
            render_created(snapshot)
        if not requests:
            print("The server has no collection, so there is nothing to take.")

    result = {
        "snapshots": [snapshot_json(s) for s in taken.snapshots],
        "failed": [_failure(name, error) for name, error in taken.errors],
    }
    return Outcome(result=result, render=render, error=join_errors(taken.errors))


@command("list", help={"collection": "Only this collection."})
def list_(run: Run, collection: str = "") -> Outcome:
    """List the catalogued snapshots, newest first, with their size, points and last proof."""
    from snapshot_tasks.cli.render import render_snapshots, snapshot_json

    snapshots = _catalog(run).entries(collection or None)
    return Outcome(
        result={"snapshots": [snapshot_json(s) for s in snapshots]},
        render=lambda: render_snapshots(snapshots, _now()),
    )


@command("show", help={"snapshot": SNAPSHOT_HELP, "collection": COLLECTION_HELP})
def show(run: Run, snapshot: str = "", collection: str = "") -> Outcome:
    """Show one snapshot's manifest and its proofs."""
    from snapshot_tasks.cli.render import render_snapshot, snapshot_json

    found = _find(run, _catalog(run), snapshot, collection)
    found.check_manifest()
    result = snapshot_json(found) | {
        "manifest": found.manifest.as_json() if found.manifest else None,
        "proofs": [dict(proof) for proof in found.proofs],
    }
    return Outcome(result=result, render=lambda: render_snapshot(found, _now()))


@command(
    "verify",
    help={
        "snapshot": SNAPSHOT_HELP,
        "collection": COLLECTION_HELP,
        "level": "bytes: size, sha256 and the archive's structure.",
        "all": "Every snapshot of the catalogue, or of --collection.",
    },
)
def verify(
    run: Run, snapshot: str = "", collection: str = "", level: str = "bytes", all: bool = False
) -> Outcome:
    """Check that a snapshot's file is still what was taken."""
    from snapshot_tasks.cli.render import render_findings
    from snapshot_tasks.operations.verify import verify as verify_one

    if level != "bytes":
        raise SettingsError(f"There is no level {level!r}.", hint="Use `--level bytes`.")
    catalog = _catalog(run)
    chosen = (
        catalog.entries(collection or None) if all else [_find(run, catalog, snapshot, collection)]
    )
    if not chosen:
        raise NotFound(
            "There is no snapshot to verify.", hint="Take one with `inv snapshot.create`."
        )
    done: list[Verification] = []
    errors: list[tuple[str, TaskError]] = []
    for entry in chosen:
        try:
            verification = verify_one(entry, run.progress)
        except TaskError as error:
            errors.append((entry.name, error))
            continue
        done.append(verification)
        if verification.error:
            errors.append((entry.name, verification.error))
        if not run.dry:
            _append_proof(run, entry, verification.proof(_now))

    def render() -> None:
        for verification in done:
            render_findings(verification.findings, title=verification.snapshot.name)

    result = {
        "snapshots": [
            {
                "snapshot": v.snapshot.name,
                "ok": v.error is None,
                "sha256": v.sha256,
                "findings": [f.as_json() for f in v.findings],
            }
            for v in done
        ],
        "failed": [_failure(name, error) for name, error in errors],
    }
    return Outcome(result=result, render=render, error=join_errors(errors))


@command(
    "restore",
    help={
        "snapshot": SNAPSHOT_HELP,
        "collection": COLLECTION_HELP,
        "all": "The newest snapshot of every catalogued collection; needs --if-missing.",
        "as": "Restore under this name, leaving aliases out.",
        "if-missing": "Leave a collection that exists as it is.",
        "replace": "Replace a collection that exists, after a safety snapshot of it; needs --yes.",
        "yes": "Agree to replacing.",
        "dry-run": "Print the plan; change nothing.",
        "timeout": "Seconds to wait until Qdrant is ready.",
    },
)
def restore(
    run: Run,
    snapshot: str = "",
    collection: str = "",
    all: bool = False,
    as_: str = "",
    if_missing: bool = False,
    replace: bool = False,
    yes: bool = False,
    dry_run: bool = False,
    timeout: float = Seconds(0),
) -> Outcome:
    """Restore a snapshot into the running Qdrant and compare what came back."""
    from snapshot_tasks.operations.restore import RestoreRequest

    _check_restore_flags(all, if_missing, snapshot, as_, replace)
    catalog = _catalog(run)
    with catalog.lock("snapshot.restore"), _server(run, mounted=True) as server:
        if timeout:
            with run.progress.phase("waiting for Qdrant"):
                server.wait_ready(timeout)
        if all:
            return _restore_all(run, catalog, server, dry=dry_run or run.dry)
        request = RestoreRequest(
            snapshot=_find(run, catalog, snapshot, collection),
            target=as_ or (collection if snapshot else "") or None,
            if_missing=if_missing,
            save_existing=_saver(run, catalog, server) if replace else None,
        )
        return _restore_one(run, request, server, yes=yes, dry=dry_run or run.dry)


def _restore_one(run: Run, request: Any, server: Server, *, yes: bool, dry: bool) -> Outcome:
    from snapshot_tasks.cli.render import render_restored, restore_json
    from snapshot_tasks.operations.restore import plan_restore, restore

    if dry:
        return run.would(*plan_restore(request, server).steps())
    if request.save_existing and plan_restore(request, server).exists:
        target = request.target or request.snapshot.collection
        question = f"This replaces the {server.count(target):,} points of {target}."
        run.consent(question, yes=yes)
    result = restore(request, server, run.progress)
    return Outcome(
        result=restore_json(result), render=lambda: render_restored(result), error=result.error
    )


def _restore_all(run: Run, catalog: Catalog, server: Server, *, dry: bool) -> Outcome:
    from snapshot_tasks.cli.render import render_restored, restore_json
    from snapshot_tasks.operations.restore_all import restore_missing

    if dry:
        here = set(server.collections()) | set(server.aliases())
        missing = [name for name in catalog.collections() if name not in here]
        return run.would(*(f"restore {catalog.newest(name).name} as {name}" for name in missing))
    restored = restore_missing(catalog, server, run.progress)

    def render() -> None:
        for result in restored.results:
            render_restored(result)
        if not restored.results and not restored.errors:
            print(f"No snapshot lies in {catalog.folder} yet, so there is nothing to restore.")

    result = {
        "restored": [restore_json(r) for r in restored.results],
        "failed": [_failure(name, error) for name, error in restored.errors],
    }
    return Outcome(result=result, render=render, error=restored.error)


@command(
    "test-restore",
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
        "junit": "Write the findings to this file as JUnit XML.",
    },
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
    junit: str = "",
) -> Outcome:
    """Prove a restore: an empty Qdrant, restore, compare, restart, compare again, throw it away."""
    from snapshot_tasks.cli.junit import write_junit
    from snapshot_tasks.cli.render import render_drill

    if sum((all, bool(snapshot), create, random)) > 1:
        raise SettingsError(
            "--all, --snapshot, --create and --random exclude each other.", hint="Give one of them."
        )
    if in_place and (all or keep):
        raise SettingsError(
            "--in-place goes with neither --all nor --keep.", hint="Leave them out."
        )
    catalog = _catalog(run)
    if run.dry:
        return run.would("restore into an empty Qdrant, compare, and throw it away")
    with catalog.lock("snapshot.test-restore"):
        chosen = _chosen_for_drill(run, catalog, snapshot, collection, all, create, random)
        work = _in_place(run, catalog, yes) if in_place else _fresh(run, keep, max_seconds)
        reports = [work(entry) for entry in chosen]

    def render() -> None:
        for report in reports:
            render_drill(report)

    if junit:
        write_junit(Path(junit), reports)
    errors = [(r.snapshot.name, r.error) for r in reports if r.error is not None]
    return Outcome(
        result={"drills": [r.as_json() for r in reports]}, render=render, error=join_errors(errors)
    )


def _fresh(run: Run, keep: bool, max_seconds: float) -> Callable[[Snapshot], DrillReport]:
    from snapshot_tasks.engines.select import drill_engine
    from snapshot_tasks.operations.drill import DrillRequest
    from snapshot_tasks.operations.drill import drill as drill_one

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
        )
        return drill_one(request, selection.engine, run.progress, clock=_now)

    return work


def _in_place(run: Run, catalog: Catalog, yes: bool) -> Callable[[Snapshot], DrillReport]:
    from snapshot_tasks.engines.select import managed_engine, restore_endpoint
    from snapshot_tasks.operations.drill_in_place import InPlaceRequest, drill_in_place

    settings = run.settings
    engine = managed_engine(settings).engine
    question = "This deletes all data of the live Qdrant and brings it back from snapshots."
    run.consent(question, yes=yes)

    def work(entry: Snapshot) -> DrillReport:
        request = InPlaceRequest(
            snapshot=entry, operation_timeout_seconds=settings.operation_timeout_seconds
        )
        endpoint = restore_endpoint(settings)
        return drill_in_place(request, engine, endpoint, catalog, run.progress, clock=_now)

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

    from snapshot_tasks.operations.create import CreateRequest
    from snapshot_tasks.operations.create import create as create_one

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
        with _server(run) as server:
            return [
                create_one(
                    CreateRequest(collection=name), server, catalog, run.progress, clock=_now
                )
            ]
    if random:
        newest, *older = catalog.entries(name) or [catalog.newest(name)]
        return [choice(older or [newest])]
    return [_find(run, catalog, snapshot, collection)]


def _catalog(run: Run, output_dir: str = "") -> Catalog:
    from snapshot_tasks.catalog.folder import Catalog

    return Catalog(Path(output_dir).absolute() if output_dir else run.settings.snapshot_dir)


def _server(run: Run, *, mounted: bool = False) -> Server:
    from snapshot_tasks.engines.select import live_endpoint, restore_endpoint
    from snapshot_tasks.qdrant.server import Server

    endpoint = restore_endpoint(run.settings) if mounted else live_endpoint(run.settings)
    return Server(endpoint, operation_timeout_seconds=run.settings.operation_timeout_seconds)


def _find(run: Run, catalog: Catalog, snapshot: str, collection: str) -> Snapshot:
    if snapshot:
        return catalog.find(snapshot)
    return catalog.newest(collection or run.settings.collection)


def _saver(run: Run, catalog: Catalog, server: Server) -> Callable[[str], Snapshot]:
    from snapshot_tasks.operations.create import CreateRequest
    from snapshot_tasks.operations.create import create as create_one

    def save(collection: str) -> Snapshot:
        request = CreateRequest(collection=collection, label="before replace", safety=True)
        return create_one(request, server, catalog, run.progress, clock=_now)

    return save


def _append_proof(run: Run, entry: Snapshot, proof: dict[str, object]) -> None:
    try:
        entry.append_proof(proof)
    except TaskError as error:
        run.progress.note(f"The proof could not be kept: {error.message}")


def _check_restore_flags(
    all: bool, if_missing: bool, snapshot: str, as_: str, replace: bool
) -> None:
    if all and (snapshot or as_):
        raise SettingsError("--all goes with neither --snapshot nor --as.", hint="Leave them out.")
    if all and not if_missing:
        raise Refused("--all restores only what is missing.", hint="Add `--if-missing`.")
    if replace and if_missing:
        raise SettingsError(
            "--replace and --if-missing exclude each other.", hint="Give one of them."
        )


def _failure(name: str, error: TaskError) -> dict[str, str]:
    return {"name": name, "kind": error.kind, "message": error.message, "hint": error.hint}
