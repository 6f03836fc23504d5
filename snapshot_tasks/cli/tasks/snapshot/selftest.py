"""`inv snapshot.selftest`: test the checks themselves."""

from __future__ import annotations

from pathlib import Path

from snapshot_tasks.cli.command import Outcome, Run, command
from snapshot_tasks.cli.show.ci import JUNIT_HELP, tell_ci
from snapshot_tasks.cli.wiring import (
    COLLECTION_HELP,
    SNAPSHOT_HELP,
    find_snapshot,
    now,
    open_catalog,
)


@command(
    "snapshot.selftest",
    help={
        "snapshot": SNAPSHOT_HELP,
        "collection": COLLECTION_HELP,
        "all-members": "Also damage ranges of every kind of file in the snapshot; takes long.",
        "only": "Only try the faults whose names contain this text.",
        "markdown": "Write the table to this file as a documentation page.",
        "junit": JUNIT_HELP,
    },
)
def selftest(
    run: Run,
    snapshot: str = "",
    collection: str = "",
    all_members: bool = False,
    only: str = "",
    markdown: str = "",
    junit: str = "",
) -> Outcome:
    """Damage copies of a snapshot in every known way; fail with 21 if no check notices."""
    from snapshot_tasks.cli.show.checked import checked_faults
    from snapshot_tasks.cli.show.faults import as_markdown, faults_json, render_faults
    from snapshot_tasks.engines.select import drill_engine
    from snapshot_tasks.operations.prove.selftest import SelfTestRequest
    from snapshot_tasks.operations.prove.selftest import selftest as test_checks

    settings = run.settings
    found = find_snapshot(run, open_catalog(run), snapshot, collection)
    request = SelfTestRequest(
        snapshot=found,
        version=settings.engine.version,
        operation_timeout_seconds=settings.qdrant.operation_timeout_seconds,
        all_members=all_members,
        only=only,
    )
    if run.dry:
        more = " and those of all its members" if all_members else ""
        return run.would(f"damage copies of {found.name} with {len(request.faults)} faults{more}")
    report = test_checks(request, drill_engine(settings).engine, run.progress, clock=now)
    if markdown:
        from snapshot_tasks.system.files import by_umask, storage_errors, write_text

        path = Path(markdown)
        with storage_errors(path.parent):
            write_text(path, as_markdown(report), mode=by_umask())
    tell_ci(run, [checked_faults(report, now())], (), junit=junit)
    return Outcome(
        result=faults_json(report), render=lambda: render_faults(report), error=report.error
    )
