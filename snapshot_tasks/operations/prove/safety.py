"""Prove a safety snapshot before the collection that it saves is deleted."""

from __future__ import annotations

from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.operations.create.seal import FreshServers
from snapshot_tasks.operations.prove.drill import DrillRequest, drill
from snapshot_tasks.operations.prove.fresh_failure import SAYS_NOTHING
from snapshot_tasks.system.errors import Interrupted, NotFound, Refused
from snapshot_tasks.system.progress import Clock, Progress


def prove_safety(
    safety: Snapshot, servers: FreshServers, progress: Progress, *, clock: Clock
) -> bool:
    """Test-restore it on a fresh Qdrant; return False if none can be started here.

    Raises:
        Refused: if it does not restore.
    """
    request = DrillRequest(
        snapshot=safety,
        version=servers.version,
        operation_timeout_seconds=servers.operation_timeout_seconds,
    )
    try:
        report = drill(request, servers.engine(), progress, clock=clock)
    except Interrupted:
        raise
    except (NotFound, Refused, *SAYS_NOTHING) as error:
        progress.note(f"No fresh Qdrant can prove {safety.name}: {error.message}")
        return False
    if report.error:
        raise Refused(
            f"The safety snapshot does not restore: {report.error.message}",
            hint="Nothing was replaced. Look at the collection with `inv doctor`.",
        )
    return True
