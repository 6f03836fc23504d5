"""A drill (restore test) as lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from snapshot_tasks.cli.console import tell
from snapshot_tasks.cli.show.created import findings_json, render_taken
from snapshot_tasks.cli.show.findings import render_findings
from snapshot_tasks.domain.proof import UNSEALED, Verdict
from snapshot_tasks.system.errors import BudgetMissed
from snapshot_tasks.system.units import duration

if TYPE_CHECKING:
    from snapshot_tasks.domain.failure import Failure
    from snapshot_tasks.operations.create.one import Created
    from snapshot_tasks.operations.prove.drill import DrillReport

NOTICEABLE_SECONDS = 0.5


def drills_json(
    created: Sequence[Created], reports: Sequence[DrillReport], failures: Sequence[Failure]
) -> dict[str, Any]:
    """Return drills for `--json`; `findings` are about a snapshot that was taken for them."""
    return {
        "drills": [report.as_json() for report in reports],
        "findings": findings_json(created),
        "failed": [failure.as_json() for failure in failures],
    }


def render_drills(created: Sequence[Created], reports: Sequence[DrillReport]) -> None:
    """Print the snapshot that was taken for the drill, if there is one, and each drill."""
    render_taken(created)
    for report in reports:
        render_drill(report)


def render_drill(report: DrillReport) -> None:
    """Print the drill's lines, times and verdict."""
    name = report.snapshot.name
    title = (
        f"Restore test of {name} on a fresh Qdrant {report.server_version or '?'} ({report.engine})"
    )
    render_findings(report.findings, title=title)
    times = ", ".join(f"{phase} {duration(s)}" for phase, s in report.phases.items())
    tell(f"Times: {times}", hang=len("Times: "))
    if report.restore_seconds is None or report.verdict is Verdict.NOT_PROVEN:
        tell(f"{Verdict.NOT_PROVEN}: {name}.")
    else:
        slowly = ", but too slow" if isinstance(report.error, BudgetMissed) else ""
        unsealed = f"; {UNSEALED}" if report.verdict is Verdict.RESTORES else ""
        seconds = duration(report.restore_seconds) + _green(report)
        tell(f"{report.verdict}{slowly}: {name} restores in {seconds}{unsealed}.")
    if report.kept:
        tell(f"Still running at {report.kept}")


def _green(report: DrillReport) -> str:
    """Say how long the optimizer took, if that was noticeably longer."""
    every_point, green = report.restore_seconds, report.green_seconds
    if every_point is None or green is None or green < every_point + NOTICEABLE_SECONDS:
        return ""
    return f", and is green after {duration(green)}"
