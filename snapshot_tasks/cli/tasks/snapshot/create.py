"""`inv snapshot.create`: take a snapshot of a live collection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapshot_tasks.cli.command import Outcome, Run, command
from snapshot_tasks.cli.console import tell
from snapshot_tasks.cli.wiring import (
    check_policy,
    connect,
    failure_json,
    fresh_servers,
    now,
    open_catalog,
    run_hook,
)
from snapshot_tasks.system.errors import (
    SettingsError,
    TaskError,
    join_errors,
)

if TYPE_CHECKING:
    from snapshot_tasks.catalog.folder import Catalog
    from snapshot_tasks.domain.snapshot import Snapshot
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
    from snapshot_tasks.cli.show.findings import render_findings
    from snapshot_tasks.cli.show.plans import render_dropped
    from snapshot_tasks.cli.show.snapshots import render_created, snapshot_json
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
                fresh_servers=fresh_servers(run),
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
