"""`inv snapshot.…`: take, list, show and verify snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapshot_tasks.cli.ci import JUNIT_HELP, tell_ci
from snapshot_tasks.cli.command import Outcome, Run, command
from snapshot_tasks.cli.console import tell
from snapshot_tasks.cli.retention import check_policy
from snapshot_tasks.cli.wiring import (
    COLLECTION_HELP,
    SNAPSHOT_HELP,
    connect,
    failure_json,
    find_snapshot,
    now,
    open_catalog,
    run_hook,
    scratch,
)
from snapshot_tasks.system.errors import (
    NotFound,
    SettingsError,
    StorageError,
    TaskError,
    join_errors,
)

if TYPE_CHECKING:
    from snapshot_tasks.catalog.folder import Catalog
    from snapshot_tasks.catalog.snapshot import Snapshot
    from snapshot_tasks.checks.file import Verification
    from snapshot_tasks.operations.create.one import CreateResult


@command(
    "snapshot.create",
    help={
        "collection": "The collection; may be given several times.",
        "all": "Every collection of the server; goes on past one that fails.",
        "output-dir": "Catalogue it in this folder instead of QDRANT_SNAPSHOT_DIR.",
        "label": "A word to remember it by, kept in the manifest.",
        "keep-server-copy": "Leave Qdrant's own copy on the server.",
        "no-seal": "Leave out the fingerprint of its contents, which takes reading every point.",
        "strict": "Fail with 21 where the contents look suspicious, instead of warning.",
        "prune": "Then drop old ones by the QDRANT_KEEP_... rules, without asking: for cron.",
    },
    watched=True,
    iterable=("collection",),
)
def create(
    run: Run,
    collection: list[str] | None = None,
    all: bool = False,
    output_dir: str = "",
    label: str = "",
    keep_server_copy: bool = False,
    no_seal: bool = False,
    strict: bool = False,
    prune: bool = False,
) -> Outcome:
    """Take a snapshot of a live collection: checked byte for byte, sealed, catalogued."""
    from snapshot_tasks.cli.render import render_created, render_findings, snapshot_json
    from snapshot_tasks.cli.render_plan import render_dropped
    from snapshot_tasks.operations.create.one import CreateRequest, create_each
    from snapshot_tasks.operations.restore.unfinished import tidied

    if all and collection:
        raise SettingsError("--all and --collection exclude each other.", hint="Give one of them.")
    if prune:
        check_policy(run.settings.retention)
    catalog = open_catalog(run, output_dir)
    names = collection or [run.settings.collection]
    if run.dry:
        return run.would(
            f"take a snapshot of {'all' if all else ', '.join(names)} into {catalog.folder}",
            *(["drop old ones by the rules"] if prune else []),
        )
    catalog.make_folder()
    with (
        connect(run) as server,
        tidied(catalog, "snapshot.create", server, run.progress),
    ):
        requests = [
            CreateRequest(
                collection=name,
                label=label,
                keep_server_copy=keep_server_copy,
                seal=not no_seal,
                strict=strict,
                scratch=scratch(run),
                max_drop=run.settings.max_drop_percent / 100,
            )
            for name in (server.collections() if all else dict.fromkeys(names))
        ]
        taken = create_each(requests, server, catalog, run.progress, clock=now)
        gone = _prune_after(run, catalog, taken) if prune else []
    errors = taken.errors + run_hook(run, [created.snapshot for created in taken.created])

    def render() -> None:
        for created in taken.created:
            render_created(created.snapshot)
            render_findings(created.findings)
        if not requests:
            tell("The server has no collection, so there is nothing to take.")
        if prune:
            render_dropped([snapshot.size_bytes for snapshot in gone])

    result = {
        "snapshots": [snapshot_json(created.snapshot) for created in taken.created],
        "findings": [
            {"snapshot": created.snapshot.name, **finding.as_json()}
            for created in taken.created
            for finding in created.findings
        ],
        "dropped": [snapshot.name for snapshot in gone],
        "failed": [failure_json(name, error) for name, error in errors],
    }
    return Outcome(result=result, render=render, error=join_errors(errors))


def _prune_after(run: Run, catalog: Catalog, taken: CreateResult) -> list[Snapshot]:
    """Drop old snapshots of the collections that have a new one; the flag was the consent."""
    from snapshot_tasks.operations.prune import plan_prune, prune

    policy, gone = run.settings.retention, []
    for name in (str(created.snapshot.collection) for created in taken.created):
        try:
            plan = plan_prune(catalog, name, policy, now=now())
            gone += prune(plan, catalog, policy, now=now())
        except TaskError as error:
            taken.errors.append((f"{name}, pruning", error))
    return gone


@command(
    "snapshot.list",
    help={
        "collection": "Only this collection.",
        "remote": "List what lies off-site instead.",
        "from": "With --remote, where; may be given several times. By default QDRANT_OFFSITE_URL.",
    },
    iterable=("from_",),
)
def list_(
    run: Run, collection: str = "", remote: bool = False, from_: list[str] | None = None
) -> Outcome:
    """List the catalogued snapshots, newest first, with their size, points and last proof."""
    if remote or from_:
        from snapshot_tasks.cli.offsite import list_off_site

        return list_off_site(run, from_, collection)
    from snapshot_tasks.cli.render import render_snapshots, snapshot_json

    catalog = open_catalog(run)
    if not catalog.folder.is_dir():
        raise StorageError(
            f"There is no folder {catalog.folder}.",
            hint="Correct QDRANT_SNAPSHOT_DIR; `inv snapshot.create` makes the folder.",
        )
    snapshots = catalog.entries(collection or None)
    if collection and not snapshots:
        raise catalog.none_of(collection)
    return Outcome(
        result={"snapshots": [snapshot_json(s) for s in snapshots]},
        render=lambda: render_snapshots(snapshots, now()),
    )


@command("snapshot.show", help={"snapshot": SNAPSHOT_HELP, "collection": COLLECTION_HELP})
def show(run: Run, snapshot: str = "", collection: str = "") -> Outcome:
    """Show one snapshot's manifest and its proofs."""
    from snapshot_tasks.cli.render import render_snapshot, snapshot_json

    found = find_snapshot(run, open_catalog(run), snapshot, collection)
    found.check_manifest()
    result = snapshot_json(found) | {
        "manifest": found.manifest.as_json() if found.manifest else None,
        "proofs": [dict(proof) for proof in found.proofs],
    }
    return Outcome(result=result, render=lambda: render_snapshot(found, now()))


@command(
    "snapshot.verify",
    help={
        "snapshot": SNAPSHOT_HELP,
        "collection": COLLECTION_HELP,
        "level": "bytes: size, sha256, structure; content: every point of the file against its "
        "seal; source: the seal against the live collection.",
        "all": "Every snapshot of the catalogue, or of --collection.",
        "junit": JUNIT_HELP,
    },
    watched=True,
)
def verify(
    run: Run,
    snapshot: str = "",
    collection: str = "",
    level: str = "bytes",
    all: bool = False,
    junit: str = "",
) -> Outcome:
    """Check that a snapshot's file is still what was taken."""
    from snapshot_tasks.checks.file import LEVELS
    from snapshot_tasks.cli.checked import checked_file
    from snapshot_tasks.cli.render import render_findings
    from snapshot_tasks.engines.select import live_endpoint
    from snapshot_tasks.operations.prove.contents import verify_at
    from snapshot_tasks.operations.prove.keep_proof import keep_proof

    if level not in LEVELS:
        levels = ", ".join(LEVELS)
        raise SettingsError(f"There is no level {level!r}.", hint=f"Use one of {levels}.")
    if all and snapshot:
        raise SettingsError("--all and --snapshot exclude each other.", hint="Give one of them.")
    catalog = open_catalog(run)
    chosen = (
        catalog.entries(collection or None)
        if all
        else [find_snapshot(run, catalog, snapshot, collection)]
    )
    if not chosen:
        hint = "Take one with `inv snapshot.create`."
        nothing = NotFound("There is no snapshot to verify.", hint=hint)
        raise catalog.none_of(collection) if collection else nothing
    done: list[Verification] = []
    errors: list[tuple[str, TaskError]] = []
    for entry in chosen:
        try:
            verification = verify_at(
                level, entry, live_endpoint(run.settings), scratch(run), run.progress
            )
        except TaskError as error:
            errors.append((entry.name, error))
            continue
        done.append(verification)
        if verification.error:
            errors.append((entry.name, verification.error))
        if not run.dry:
            keep_proof(entry, verification.proof(now), run.progress)
    tell_ci(run, [checked_file(v, now()) for v in done], errors, junit=junit)

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
        "failed": [failure_json(name, error) for name, error in errors],
    }
    return Outcome(result=result, render=render, error=join_errors(errors))
