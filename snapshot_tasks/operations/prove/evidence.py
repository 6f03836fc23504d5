"""What both drills report: the findings of the restore, then every check of `RESTORED_CHECKS`.

The checks that only need a description of the collection have run with the restore. A drill adds
those that read its points, and runs all of them again after a restart of the server.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from snapshot_tasks.checks.expected import Cost, Expected, Restored, look, settle
from snapshot_tasks.checks.restored import check_restored
from snapshot_tasks.domain.findings import Concern, Finding, Status
from snapshot_tasks.operations.restore.into_empty import RestoreResult
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.progress import Progress

AFTER_RESTART = "after restart: "
GONE = Finding(check="collection", status=Status.FAIL, message="missing", concern=Concern.COUNT)


def points_evidence(result: RestoreResult, expected: Expected) -> tuple[Finding, ...]:
    """Read every restored point, and run the searches whose results are known."""
    assert result.restored is not None
    return check_restored(replace(result.restored, expected=expected), Cost.READ)


def as_restored(expected: Expected, result: RestoreResult) -> Expected:
    """Return what is expected, with the settings that the restore had to change."""
    planned = result.restored.expected.state if result.restored else None
    if planned is None or expected.state is None:
        return expected
    return replace(expected, state=replace(expected.state, config=planned.config))


def look_again(
    expected: Expected,
    collection: str,
    server: Server,
    progress: Progress,
    *,
    version: str,
    is_throwaway: bool,
) -> Restored | None:
    """Return what a collection is after the restart; None if it is missing.

    On a throw-away server, its limits are lifted before it is read.
    """
    if collection not in server.collections.names():
        return None
    lifted = server.collections.lift_limits(collection) if is_throwaway else None
    settle(expected, collection, server)
    status = server.collections.wait_green(collection, server.endpoint.green_seconds)
    return look(
        expected,
        collection,
        server,
        progress,
        version=version,
        status=status,
        lifted=lifted,
    )


def evidence_again(restored: Restored | None, cost: Cost) -> tuple[Finding, ...]:
    """Run the checks of one cost again, on the collection after the restart."""
    if restored is None:
        findings: tuple[Finding, ...] = (GONE,) if cost is Cost.DESCRIBED else ()
    else:
        findings = check_restored(restored, cost)
    return prefixed(AFTER_RESTART, findings)


def prefixed(prefix: str, findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings with a prefix that says when, or on what, they were made."""
    return tuple(replace(finding, check=prefix + finding.check) for finding in findings)
