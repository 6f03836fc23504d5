"""Restore every catalogued collection that the server lacks, as the first start-up does."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.catalog.journal import Journal
from snapshot_tasks.checks.file import verified
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.engines.base import Engine
from snapshot_tasks.operations.batch import Batch, for_each
from snapshot_tasks.operations.restore.demands import needs_start_up
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
    loaded: Collection[Path] = (),
) -> Batch[RestoreResult]:
    """Restore the newest snapshot of each missing collection, and continue after a failure.

    A collection that has no snapshot yet is skipped, and is not a failure. Those that the server
    `loaded` when it was started are only compared, and removed again if they are wrong.
    """
    known = catalog.collections()
    wanted = [name for name in known if collections is None or name in collections]
    newest = for_each(wanted, catalog.newest, name=str)
    restored = restore_each(
        newest.results, catalog.journal, server, progress, reindex=reindex, loaded=loaded
    )
    return replace(restored, failures=(*newest.failures, *restored.failures))


def loadable(engine: Engine, snapshots: Iterable[Snapshot], progress: Progress) -> dict[str, Path]:
    """Return, by collection, the intact snapshots that a server only restores when it starts empty.

    Whatever is wrong with one of the others is said when it is restored.
    """
    version = engine.starts_empty()
    if not version:
        return {}
    wanted = [s for s in snapshots if s.manifest and needs_start_up(s.manifest.config, version)]
    sound = for_each(wanted, lambda s: verified(s, progress).snapshot, name=lambda s: s.name)
    return {str(s.collection): s.path for s in sound.results}


def restore_each(
    snapshots: Iterable[Snapshot],
    journal: Journal,
    server: Server,
    progress: Progress,
    *,
    reindex: bool = False,
    loaded: Collection[Path] = (),
) -> Batch[RestoreResult]:
    """Restore each snapshot whose collection is missing, and continue after a failure."""

    def work(snapshot: Snapshot) -> RestoreResult:
        request = RestoreRequest(
            snapshot=snapshot,
            if_missing=True,
            journal=journal,
            reindex=reindex,
            loaded_at_start=snapshot.path in loaded,
        )
        return restore(request, server, progress)

    return for_each(
        snapshots,
        work,
        name=lambda snapshot: snapshot.collection or snapshot.name,
        error_of=lambda result: result.error,
    )
