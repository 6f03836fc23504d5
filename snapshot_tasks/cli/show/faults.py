"""A self-test of the checks as a table, and as a page of the documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snapshot_tasks.cli.console import tell

if TYPE_CHECKING:
    from snapshot_tasks.operations.prove.selftest import Attempt, Row, SelfTestReport


COLUMNS = ("fault", "as it is", "seconds", "re-signed", "seconds")


NOT_CAUGHT = "NOT CAUGHT"


INTRODUCTION = """# Which check catches which fault

This page was written by `inv snapshot.selftest --markdown docs/selftest.md`. It damaged copies of a
snapshot of {points:,} points, taken {source} Qdrant {version}, with each known fault. It then ran
the checks, cheapest first, and recorded which check caught the fault and after how many seconds. In
the columns “as it is”, the manifest is the one that was written with the snapshot. In the columns
“re-signed”, its size and SHA-256 were changed to match the damaged file, as if the damage had
happened before the snapshot was recorded. Then the structure of the archive, the sealed contents or
a drill (a restore test on a fresh server) must catch the fault.

`inv snapshot.verify` checks the size, the sha256, the archive and the description (of the
collection, in the manifest). With `--level content` it also checks the contents.
`inv snapshot.test-restore` is the drill. Every fault affects live data, or what finds it: a flipped
bit in preallocated space or in an old version of a point would not change what is restored. A lost
payload index is harmless if the log still creates it after its points, or if a cluster is asked to
make it anyway; the restored collection is then compared with a restore without damage.

A cluster's snapshot has faults of its own. The faults of a replica are in no file: two nodes
restore the intact snapshot, and only then is one replica replaced, by a shard that lacks a point or
has none at all. It is active and green, and another replica may answer every count. The drill must
notice after the restart.

With `--all-members`, the self-test also zeroes, randomises and drops ranges of every kind of file
in the snapshot. Much of that is harmless, so it compares the restored collection with a restore
without damage, before and after a restart: points, payloads and vectors, filters and facets of
every payload index, exact and HNSW answers. Whatever no check catches must be identical there. Only
HNSW answers may differ while the recall stays nearly the same. `--only` chooses faults by name.

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
    """Print each fault with the check that caught it."""
    from snapshot_tasks.cli.show.table import table

    columns = tuple(f"#{c}" if c == "seconds" else c for c in COLUMNS)
    rows = [_cells(row) for row in report.rows]
    drop = ("seconds", "re-signed", "as it is")
    table(f"Faults of {report.snapshot.name}", columns, rows, drop=drop)
    tell(_summary(report))


def _cells(row: Row) -> tuple[str, ...]:
    if row.left_out:
        return (row.fault, f"skipped: {row.left_out}", "–", "–", "–")
    return (row.fault, *_attempt(row.as_it_is), *_attempt(row.resigned))


def _attempt(attempt: Attempt | None) -> tuple[str, str]:
    if attempt is None:
        return "–", "–"
    return attempt.caught_by or _outcome(attempt), f"{attempt.seconds:.2f}"


def _outcome(attempt: Attempt) -> str:
    """Return what became of a fault that no check caught."""
    if attempt.is_harmless:
        return "harmless: restored identically"
    parts = ", ".join(attempt.differs or ())
    if attempt.is_tolerated:
        return f"tolerated: only {parts} differ"
    return f"{NOT_CAUGHT}: {parts} differ" if parts else NOT_CAUGHT


def _summary(report: SelfTestReport) -> str:
    tried = [row for row in report.rows if not row.left_out]
    harmless = sum(row.is_harmless for row in tried)
    tolerated = sum(row.is_tolerated for row in tried)
    caught = sum(not row.uncaught for row in tried) - harmless - tolerated
    more = f"; {harmless} were harmless: restored identically" if harmless else ""
    more += f"; {tolerated} only changed some HNSW answers" if tolerated else ""
    return f"Caught {caught} of {len(tried)} faults in {report.seconds:.0f} s{more}."


def as_markdown(report: SelfTestReport) -> str:
    """Return the table as a page of the documentation."""
    rows = [COLUMNS, tuple("---" for _ in COLUMNS), *(_cells(row) for row in report.rows)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    manifest = report.snapshot.manifest
    assert manifest is not None
    return INTRODUCTION.format(
        points=manifest.points_count,
        source="on a cluster with" if manifest.shard_set else "with",
        version=manifest.qdrant_version,
        table=table,
        summary=_summary(report),
    )
