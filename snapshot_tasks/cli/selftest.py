"""`inv snapshot.selftest`: the checks test themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from snapshot_tasks.cli.ci import JUNIT_HELP, tell_ci
from snapshot_tasks.cli.command import Outcome, Run, command
from snapshot_tasks.cli.console import tell
from snapshot_tasks.cli.wiring import (
    COLLECTION_HELP,
    SNAPSHOT_HELP,
    find_snapshot,
    now,
    open_catalog,
)

if TYPE_CHECKING:
    from snapshot_tasks.operations.prove.selftest import Attempt, Row, SelfTestReport

COLUMNS = ("fault", "as it is", "seconds", "re-signed", "seconds")
NOT_CAUGHT = "NOT CAUGHT"
INTRODUCTION = """# Which check catches which fault

`inv snapshot.selftest --markdown docs/selftest.md` wrote this page: it damaged copies of a snapshot
of {points:,} points, taken with Qdrant {version}, by each known fault, ran the checks, the cheap
ones first, and noted which caught it and after how many seconds. "As it is", the manifest is the
one written when the snapshot was taken; "re-signed", its size and SHA-256 were made to fit the
damaged file, as if the damage had come first: there the archive's structure, the sealed contents or
a drill on a throw-away server have to notice.

Size, sha256, description (of the collection, in the manifest) and archive are what
`inv snapshot.verify` checks, contents is its `--level content`, drill is
`inv snapshot.test-restore`. Every fault hits live data: a bit flipped in preallocated space or in a
stale version of a point changes nothing that comes back, nor does one in an index.

{table}

{summary}
"""


@command(
    "snapshot.selftest",
    help={
        "snapshot": SNAPSHOT_HELP,
        "collection": COLLECTION_HELP,
        "markdown": "Write the table to this file as a page of the docs.",
        "junit": JUNIT_HELP,
    },
)
def selftest(
    run: Run, snapshot: str = "", collection: str = "", markdown: str = "", junit: str = ""
) -> Outcome:
    """Damage copies of a snapshot in every known way; fail with 21 where no check notices."""
    from snapshot_tasks.cli.checked import checked_faults
    from snapshot_tasks.engines.select import drill_engine
    from snapshot_tasks.operations.prove.selftest import SelfTestRequest
    from snapshot_tasks.operations.prove.selftest import selftest as test_checks

    settings = run.settings
    found = find_snapshot(run, open_catalog(run), snapshot, collection)
    request = SelfTestRequest(
        snapshot=found,
        version=settings.version,
        operation_timeout_seconds=settings.operation_timeout_seconds,
    )
    if run.dry:
        return run.would(f"damage copies of {found.name} by {len(request.faults)} faults")
    selection = drill_engine(settings)
    run.progress.note(f"engine: {selection.engine.name} ({selection.reason})")
    report = test_checks(request, selection.engine, run.progress, clock=now)
    if markdown:
        from snapshot_tasks.system.files import by_umask, storage_errors, write_text

        path = Path(markdown)
        with storage_errors(path.parent):
            write_text(path, as_markdown(report), mode=by_umask())
    tell_ci(run, [checked_faults(report, now())], (), junit=junit)
    result = {
        "snapshot": found.name,
        "seconds": round(report.seconds, 3),
        "faults": [row.as_json() for row in report.rows],
    }
    return Outcome(result=result, render=lambda: _render(report), error=report.error)


def _render(report: SelfTestReport) -> None:
    from snapshot_tasks.cli.render import table

    columns = tuple(f"#{c}" if c == "seconds" else c for c in COLUMNS)
    table(f"Faults of {report.snapshot.name}", columns, [_cells(row) for row in report.rows])
    tell(_summary(report))


def _cells(row: Row) -> tuple[str, ...]:
    if row.left_out:
        return (row.fault, f"left out: {row.left_out}", "–", "–", "–")
    return (row.fault, *_attempt(row.as_it_is), *_attempt(row.resigned))


def _attempt(attempt: Attempt | None) -> tuple[str, str]:
    if attempt is None:
        return "–", "–"
    return attempt.caught_by or NOT_CAUGHT, f"{attempt.seconds:.2f}"


def _summary(report: SelfTestReport) -> str:
    tried = [row for row in report.rows if not row.left_out]
    caught = sum(not row.uncaught for row in tried)
    return f"Caught {caught} of {len(tried)} faults in {report.seconds:.0f} s."


def as_markdown(report: SelfTestReport) -> str:
    """Return the table as a page of the docs."""
    rows = [COLUMNS, tuple("---" for _ in COLUMNS), *(_cells(row) for row in report.rows)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    manifest = report.snapshot.manifest
    assert manifest is not None
    return INTRODUCTION.format(
        points=manifest.points_count,
        version=manifest.qdrant_version,
        table=table,
        summary=_summary(report),
    )
