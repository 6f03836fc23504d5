"""Restore every catalogued collection that the server lacks: what a first start-up needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.catalog.journal import Journal
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.operations.restore.into_empty import RestoreResult
from snapshot_tasks.operations.restore.one import restore
from snapshot_tasks.operations.restore.plan import RestoreRequest
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.errors import TaskError, join_errors
from snapshot_tasks.system.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreAllResult:
    """The result of each collection, and the error of each that failed."""

    results: tuple[RestoreResult, ...]
    errors: tuple[tuple[str, TaskError], ...]

    @property
    def error(self) -> TaskError | None:
        """One error that names every collection that failed."""
        return join_errors(self.errors)


def restore_missing(
    catalog: Catalog, server: Server, progress: Progress, *, collections: list[str] | None = None
) -> RestoreAllResult:
    """Restore the newest snapshot of each collection that is missing; go on past a failing one.

    A collection without any snapshot yet is nothing to restore, and no failure.
    """
    snapshots: list[Snapshot] = []
    errors: list[tuple[str, TaskError]] = []
    known = catalog.collections()
    for collection in known if collections is None else set(collections) & set(known):
        try:
            snapshots.append(catalog.newest(collection))
        except TaskError as error:
            errors.append((collection, error))
    restored = restore_each(snapshots, catalog.journal, server, progress)
    return RestoreAllResult(results=restored.results, errors=(*errors, *restored.errors))


def restore_each(
    snapshots: Sequence[Snapshot], journal: Journal, server: Server, progress: Progress
) -> RestoreAllResult:
    """Restore these where their collection is missing; go on past a failing one."""
    results: list[RestoreResult] = []
    errors: list[tuple[str, TaskError]] = []
    for snapshot in snapshots:
        try:
            request = RestoreRequest(snapshot=snapshot, if_missing=True, journal=journal)
            result = restore(request, server, progress)
            results.append(result)
            if result.error:
                raise result.error
        except TaskError as error:
            errors.append((snapshot.collection or snapshot.name, error))
    return RestoreAllResult(results=tuple(results), errors=tuple(errors))
