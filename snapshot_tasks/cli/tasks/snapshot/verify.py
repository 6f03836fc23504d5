"""`inv snapshot.verify`: is this file still what was taken?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapshot_tasks.cli.command import Outcome, Run, command
from snapshot_tasks.cli.show.ci import JUNIT_HELP, tell_ci
from snapshot_tasks.cli.wiring import (
    COLLECTION_HELP,
    SNAPSHOT_HELP,
    failure_json,
    find_snapshot,
    fresh_servers,
    now,
    open_catalog,
)
from snapshot_tasks.system.errors import (
    NotFound,
    SettingsError,
    TaskError,
    join_errors,
)

if TYPE_CHECKING:
    from snapshot_tasks.checks.file import Verification


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
    from snapshot_tasks.cli.show.checked import checked_file
    from snapshot_tasks.cli.show.findings import render_findings
    from snapshot_tasks.domain.proof import LEVELS
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
                level, entry, live_endpoint(run.settings), fresh_servers(run), run.progress
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
