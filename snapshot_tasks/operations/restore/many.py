"""Restore every catalogued collection that the server lacks, as the first start-up does."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.catalog.journal import Journal
from snapshot_tasks.checks.file import sha256_to_restore
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.domain.vector_names import refused_names
from snapshot_tasks.engines.base import Engine
from snapshot_tasks.operations.batch import Batch, for_each
from snapshot_tasks.operations.restore.demands import needs_start_up
from snapshot_tasks.operations.restore.into_empty import RestoreResult
from snapshot_tasks.operations.restore.one import restore
from snapshot_tasks.operations.restore.plan import RestoreRequest, plan_restore, skipped_because
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.errors import TaskError
from snapshot_tasks.system.progress import Progress


def plan_missing(catalog: Catalog, server: Server, collections: Iterable[str]) -> list[str]:
    """Return in words what restoring these collections will do, with each conflict.

    A collection that has no snapshot yet is skipped, and is not a failure.

    Raises:
        NotFound: if the newest snapshot of one of them is missing.
    """
    names, aliases = server.collections.names(), server.collections.aliases()
    wanted = sorted(set(collections) & set(catalog.collections()))
    because = {name: skipped_because(name, names, aliases) for name in wanted}
    missing = [catalog.newest(name) for name in wanted if not because[name]]
    left = left_aliases(missing, names, aliases)
    refused = {str(one.collection): _refusal(one, left, server) for one in missing}
    possible = [one for one in missing if not refused[str(one.collection)]]
    steps = [f"restore {one.name} as {one.collection}" for one in possible]
    steps += [
        f"create the alias {alias} of {one.collection}"
        for one in possible
        for alias in _claimed(one)
        if alias not in left[str(one.collection)]
    ]
    steps += [
        f"leave out the alias {alias} of {one.collection}: {why}"
        for one in possible
        for alias, why in left[str(one.collection)].items()
    ]
    steps += [f"not restore {name}: {message}" for name, message in refused.items() if message]
    return steps + [
        f"not restore {name}: it {why}"
        for name, why in because.items()
        if name not in names and why
    ]


def _refusal(snapshot: Snapshot, left: Mapping[str, Mapping[str, str]], server: Server) -> str:
    """Return why a missing collection cannot be restored; empty if it can."""
    request = RestoreRequest(
        snapshot=snapshot, if_missing=True, left_aliases=left[str(snapshot.collection)]
    )
    try:
        plan_restore(request, server)
    except TaskError as error:
        return error.message
    return ""


def left_aliases(
    snapshots: Sequence[Snapshot], names: Collection[str], aliases: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """Return for each snapshot's collection the recorded aliases that it cannot have, and why.

    A collection is worth more than an alias, and so is what the server has already. Otherwise an
    alias belongs to the newest snapshot that claims it. `names` and `aliases` are the server's.
    """
    collections = {*names, *(str(one.collection) for one in snapshots)}
    claims: dict[str, Snapshot] = {}
    for one in sorted(snapshots, key=lambda one: (one.created_at, one.name)):
        claims.update(dict.fromkeys(_claimed(one), one))

    def why(alias: str, collection: str) -> str:
        owner = aliases.get(alias, collection)
        if alias in collections:
            return "a collection has this name"
        if owner != collection:
            return f"it belongs to the collection {owner}"
        newest = str(claims[alias].collection)
        return f"a newer snapshot, of {newest}, has it" if newest != collection else ""

    return {
        name: {alias: reason for alias in _claimed(one) if (reason := why(alias, name))}
        for one in snapshots
        if (name := str(one.collection))
    }


def _skipped(snapshot: Snapshot, names: Collection[str], aliases: Mapping[str, str]) -> bool:
    return bool(skipped_because(str(snapshot.collection), names, aliases))


def _claimed(snapshot: Snapshot) -> tuple[str, ...]:
    return snapshot.manifest.aliases if snapshot.manifest else ()


def restore_missing(
    catalog: Catalog,
    server: Server,
    progress: Progress,
    *,
    collections: Sequence[str] | None = None,
    reindex: bool = False,
    replication: int = 0,
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
        newest.results,
        catalog.journal,
        server,
        progress,
        reindex=reindex,
        replication=replication,
        loaded=loaded,
    )
    return replace(restored, failures=(*newest.failures, *restored.failures))


def loadable(engine: Engine, snapshots: Iterable[Snapshot], progress: Progress) -> dict[str, Path]:
    """Return, by collection, the intact snapshots that a server only restores when it starts empty.

    Whatever is wrong with one of the others is said when it is restored.
    """
    # Of a cluster, no server restores the file by itself.
    configs = [(s, s.manifest.config) for s in snapshots if s.manifest and not s.shards]
    named = [(s, config) for s, config in configs if refused_names(config)]
    # To ask the engine takes a while, and hardly anyone has such names.
    version = engine.starts_empty() if named else ""
    wanted = [s for s, config in named if version and needs_start_up(config, version)]
    if not wanted:
        return {}

    def sound(snapshot: Snapshot) -> Snapshot:
        sha256_to_restore(snapshot, progress)
        return snapshot

    checked = for_each(wanted, sound, name=lambda s: s.name)
    return {str(s.collection): s.path for s in checked.results}


def restore_each(
    snapshots: Iterable[Snapshot],
    journal: Journal,
    server: Server,
    progress: Progress,
    *,
    reindex: bool = False,
    replication: int = 0,
    loaded: Collection[Path] = (),
) -> Batch[RestoreResult]:
    """Restore each snapshot whose collection is missing, and continue after a failure.

    The aliases are shared out beforehand, so that none stands in the way of a collection.
    """
    snapshots = list(snapshots)
    names, aliases = server.collections.names(), server.collections.aliases()
    missing = [s for s in snapshots if s.path in loaded or not _skipped(s, names, aliases)]
    left = left_aliases(missing, names, aliases)

    def work(snapshot: Snapshot) -> RestoreResult:
        request = RestoreRequest(
            snapshot=snapshot,
            if_missing=True,
            journal=journal,
            reindex=reindex,
            replication=replication,
            loaded_at_start=snapshot.path in loaded,
            left_aliases=left.get(str(snapshot.collection), {}),
        )
        return restore(request, server, progress)

    return for_each(
        snapshots,
        work,
        name=lambda snapshot: snapshot.collection or snapshot.name,
        error_of=lambda result: result.error,
    )
