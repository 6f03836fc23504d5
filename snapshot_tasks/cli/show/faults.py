"""A self-test of the checks as a table, and as a page of the docs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snapshot_tasks.cli.console import tell

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


def faults_json(report: SelfTestReport) -> dict[str, Any]:
    """Return a self-test for `--json`."""
    return {
        "snapshot": report.snapshot.name,
        "seconds": round(report.seconds, 3),
        "faults": [row.as_json() for row in report.rows],
    }


def render_faults(report: SelfTestReport) -> None:
    """Print each fault with what caught it."""
    from snapshot_tasks.cli.show.table import table

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
