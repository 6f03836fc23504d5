"""A drill (restore test) as lines."""

from __future__ import annotations

from snapshot_tasks.cli.console import tell
from snapshot_tasks.cli.show.findings import render_findings
from snapshot_tasks.operations.prove.drill import DrillReport
from snapshot_tasks.system.errors import BudgetMissed
from snapshot_tasks.system.units import duration


def render_drill(report: DrillReport) -> None:
    """Print the drill's lines, times and verdict."""
    name = report.snapshot.name
    title = (
        f"Fresh restore test of {name} on Qdrant {report.server_version or '?'} ({report.engine})"
    )
    render_findings(report.findings, title=title)
    tell("Times: " + ", ".join(f"{phase} {duration(s)}" for phase, s in report.phases.items()))
    too_slow = isinstance(report.error, BudgetMissed)
    if report.restore_seconds is not None and (report.error is None or too_slow):
        slowly = ", too slowly" if too_slow else ""
        tell(f"PROVEN{slowly}: {name} restores in {duration(report.restore_seconds)}.")
    else:
        tell(f"NOT PROVEN: {name}.")
    if report.kept:
        tell(f"Kept running at {report.kept}")
