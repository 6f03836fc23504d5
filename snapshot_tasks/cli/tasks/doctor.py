"""`inv doctor`: check everything that could go wrong."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

from snapshot_tasks.cli.command import Outcome, Run, command
from snapshot_tasks.cli.show.ci import tell_ci
from snapshot_tasks.system.errors import TaskError


@command("doctor", help={})
def doctor(run: Run) -> Outcome:
    """Print an OK, WARN or FAIL line for everything that could go wrong, with a remedy."""
    from snapshot_tasks.catalog.folder import Catalog
    from snapshot_tasks.checks.doctor import examine
    from snapshot_tasks.checks.patient import Patient
    from snapshot_tasks.cli.show.checked import Checked
    from snapshot_tasks.cli.show.findings import render_findings

    with suppress(TaskError):
        # If this fails, so do the checks that need the server.
        _ = run.live
    patient = Patient(
        settings=run.settings, catalog=Catalog(run.settings.snapshot_dir), now=datetime.now(UTC)
    )
    findings, error = examine(patient)
    verdict = "has problems" if error else "is healthy"
    checked = Checked(name="doctor", verdict=verdict, at=patient.now.isoformat(), findings=findings)
    tell_ci(run, [checked])
    return Outcome(
        result={"findings": [f.as_json() for f in findings]},
        render=lambda: render_findings(findings),
        error=error,
    )
