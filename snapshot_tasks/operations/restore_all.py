"""Restore every catalogued collection that the server lacks: what a first start-up needs."""

from __future__ import annotations

from dataclasses import dataclass

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.errors import TaskError, join_errors
from snapshot_tasks.models import Progress
from snapshot_tasks.operations.bring_back import RestoreResult
from snapshot_tasks.operations.restore import restore
from snapshot_tasks.operations.restore_plan import RestoreRequest
from snapshot_tasks.qdrant.server import Server


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
    results: list[RestoreResult] = []
    errors: list[tuple[str, TaskError]] = []
    known = catalog.collections()
    for collection in known if collections is None else set(collections) & set(known):
        try:
            request = RestoreRequest(
                snapshot=catalog.newest(collection), if_missing=True, journal=catalog.journal
            )
            result = restore(request, server, progress)
            results.append(result)
            if result.error:
                raise result.error
        except TaskError as error:
            errors.append((collection, error))
    return RestoreAllResult(results=tuple(results), errors=tuple(errors))
