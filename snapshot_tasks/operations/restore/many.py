"""Restore every catalogued collection that the server lacks, as the first start-up does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.catalog.journal import Journal
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.operations.batch import Batch, for_each
from snapshot_tasks.operations.restore.into_empty import RestoreResult
from snapshot_tasks.operations.restore.one import restore
from snapshot_tasks.operations.restore.plan import RestoreRequest
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.progress import Progress


def plan_missing(catalog: Catalog, server: Server, collections: Iterable[str]) -> list[Snapshot]:
    """Return the newest snapshot of each of these collections that the server lacks.

    A collection that has no snapshot yet is skipped, and is not a failure.

    Raises:
        NotFound: if the newest snapshot of one of them is missing.
    """
    here = {*server.collections.names(), *server.collections.aliases()}
    missing = set(collections) & set(catalog.collections()) - here
    return [catalog.newest(name) for name in sorted(missing)]


def restore_missing(
    catalog: Catalog,
    server: Server,
    progress: Progress,
    *,
    collections: Sequence[str] | None = None,
    reindex: bool = False,
) -> Batch[RestoreResult]:
    """Restore the newest snapshot of each missing collection, and continue after a failure.

    A collection that has no snapshot yet is skipped, and is not a failure.
    """
    known = catalog.collections()
    wanted = [name for name in known if collections is None or name in collections]
    newest = for_each(wanted, catalog.newest, name=str)
    restored = restore_each(newest.results, catalog.journal, server, progress, reindex=reindex)
    return replace(restored, failures=(*newest.failures, *restored.failures))


def restore_each(
    snapshots: Iterable[Snapshot],
    journal: Journal,
    server: Server,
    progress: Progress,
    *,
    reindex: bool = False,
) -> Batch[RestoreResult]:
    """Restore each snapshot whose collection is missing, and continue after a failure."""

    def work(snapshot: Snapshot) -> RestoreResult:
        request = RestoreRequest(
            snapshot=snapshot, if_missing=True, journal=journal, reindex=reindex
        )
        return restore(request, server, progress)

    return for_each(
        snapshots,
        work,
        name=lambda snapshot: snapshot.collection or snapshot.name,
        error_of=lambda result: result.error,
    )
