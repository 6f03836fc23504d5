"""Drill reports to render and to write."""

from __future__ import annotations

from typing import Any

from snapshot_tasks.domain.findings import Finding, Status
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.operations.prove.drill import DrillReport
from tests.support.manifests import TAKEN_AT

OK = Finding(check="count", status=Status.OK, message="1,234 points, exactly")
WARN = Finding(check="config", status=Status.WARN, message="a new key")
FAIL = Finding(check="aliases", status=Status.FAIL, message="missing: library", remedy="Mend it.")


def make_report(snapshot: Snapshot, **changes: Any) -> DrillReport:
    """Return the report of a drill that succeeded, with these values changed."""
    facts: dict[str, Any] = {
        "snapshot": snapshot,
        "at": TAKEN_AT.isoformat(),
        "engine": "native",
        "server_version": "1.17.0",
        "findings": (OK, WARN),
        "phases": {"start": 1.0, "restore": 2.5},
        "restore_seconds": 2.25,
        "snapshot_age_seconds": 60.0,
        "error": None,
    }
    return DrillReport(**(facts | changes))
