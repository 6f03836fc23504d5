"""One command for a machine that has lost everything: restore what was pulled into Qdrant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.catalog.lock import Use
from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.engines.base import Engine
from snapshot_tasks.operations.batch import Batch
from snapshot_tasks.operations.restore.into_empty import RestoreResult
from snapshot_tasks.operations.restore.many import loadable, restore_each
from snapshot_tasks.operations.restore.unfinished import tidied
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.progress import Progress


def restore_pulled(
    snapshots: Sequence[Snapshot],
    engine: Engine | None,
    endpoint: Endpoint,
    catalog: Catalog,
    progress: Progress,
    *,
    ready_timeout_seconds: float,
    operation_timeout_seconds: float,
) -> Batch[RestoreResult]:
    """Start Qdrant if this project manages it, and restore what is missing there.

    A collection that already exists is left unchanged, whatever it contains.

    Raises:
        Unreachable: if Qdrant does not respond, or is not ready in time.
    """
    load: dict[str, Path] = {}
    if engine:
        load = loadable(engine, snapshots, progress)
        engine.up_with(load, timeout_seconds=ready_timeout_seconds, progress=progress)
        endpoint = replace(endpoint, mounts=engine.mounts())
    with (
        Server(endpoint, operation_timeout_seconds=operation_timeout_seconds) as server,
        tidied(
            catalog,
            "snapshot.pull",
            server,
            progress,
            use=Use.JOURNAL,
            wait_seconds=ready_timeout_seconds,
        ),
    ):
        return restore_each(snapshots, catalog.journal, server, progress, loaded=load.values())
