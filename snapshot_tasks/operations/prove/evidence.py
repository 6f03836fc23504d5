"""What both drills report: the restore's own findings, then every check of `RESTORED_CHECKS`.

The checks that a server answers by describing a collection have run with the restore. A drill adds
those that read its points, and after a restart of the server runs all of them again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from snapshot_tasks.checks.restored import (
    GREEN_SECONDS,
    Cost,
    Expected,
    Restored,
    check_restored,
    look,
)
from snapshot_tasks.domain.findings import Finding, Status
from snapshot_tasks.operations.restore.into_empty import RestoreResult
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.progress import Progress

AFTER_RESTART = "after restart: "
GONE = Finding(check="collection", status=Status.FAIL, message="gone")


def points_evidence(result: RestoreResult, expected: Expected) -> tuple[Finding, ...]:
    """Read every point that came back and ask the searches whose answers are known."""
    assert result.restored is not None
    return check_restored(replace(result.restored, expected=expected), Cost.READ)


def look_again(
    expected: Expected, collection: str, server: Server, progress: Progress, *, version: str
) -> Restored | None:
    """Return what a collection is after the restart; None where it is gone."""
    if collection not in server.collections.names():
        return None
    status = server.collections.wait_green(collection, GREEN_SECONDS)
    return look(expected, collection, server, progress, version=version, status=status)


def evidence_again(restored: Restored | None, cost: Cost) -> tuple[Finding, ...]:
    """Run the checks of one cost once more, on what is there after the restart."""
    if restored is None:
        findings: tuple[Finding, ...] = (GONE,) if cost is Cost.DESCRIBED else ()
    else:
        findings = check_restored(restored, cost)
    return prefixed(AFTER_RESTART, findings)


def prefixed(prefix: str, findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings whose checks say when, or on what, they were made."""
    return tuple(replace(finding, check=prefix + finding.check) for finding in findings)
