"""The live stack: start it, restore what is missing, and show what is in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.catalog.lock import Use
from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.engines.base import Engine, EngineStatus
from snapshot_tasks.engines.select import Selection
from snapshot_tasks.operations.batch import Batch, for_each
from snapshot_tasks.operations.restore.into_empty import RestoreResult
from snapshot_tasks.operations.restore.many import loadable, restore_missing
from snapshot_tasks.operations.restore.unfinished import tidied
from snapshot_tasks.qdrant.nodes import wait_known
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.errors import TaskError
from snapshot_tasks.system.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class StackReport:
    """The server's version, the exact count of each collection, and the aliases.

    `ways` says how those collections were counted that refuse an exact count.
    """

    version: str
    collections: tuple[tuple[str, int], ...]
    aliases: dict[str, str]
    ways: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StackStatus:
    """The engine, and the collections of its Qdrant; if there is no report, `error` says why."""

    selection: Selection
    engine: EngineStatus
    report: StackReport | None = None
    error: TaskError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StackUp:
    """What was restored into a started Qdrant, and the collections that it has now."""

    restored: Batch[RestoreResult]
    report: StackReport


def stack_up(
    engine: Engine,
    endpoint: Callable[[], Endpoint],
    catalog: Catalog,
    progress: Progress,
    *,
    ready_timeout_seconds: float,
    operation_timeout_seconds: float,
    restore: bool,
) -> StackUp:
    """Start Qdrant, wait until it is ready, and restore each missing collection.

    The endpoint may be known only then, because Docker can choose the port.

    Another run that holds the snapshot folder is waited for as long as Qdrant itself.

    Raises:
        Unreachable: if it is not ready in time.
        SettingsError: if a port is in use or the compose file is missing.
        Locked: if another run holds the snapshot folder for longer. Qdrant is then running.
    """
    newest = for_each(catalog.collections(), catalog.newest, name=str).results
    load = loadable(engine, newest, progress) if restore else {}
    engine.up_with(load, timeout_seconds=ready_timeout_seconds, progress=progress)
    _wait_for_nodes(endpoint(), progress, timeout_seconds=ready_timeout_seconds)
    restored: Batch[RestoreResult] = Batch()
    if restore:
        mounted = replace(endpoint(), mounts=engine.mounts())
        with (
            Server(mounted, operation_timeout_seconds=operation_timeout_seconds) as server,
            tidied(
                catalog,
                "stack.up",
                server,
                progress,
                use=Use.JOURNAL,
                wait_seconds=ready_timeout_seconds,
            ),
        ):
            restored = restore_missing(catalog, server, progress, loaded=load.values())
    report = stack_report(endpoint(), timeout_seconds=operation_timeout_seconds)
    return StackUp(restored=restored, report=report)


def _wait_for_nodes(endpoint: Endpoint, progress: Progress, *, timeout_seconds: float) -> None:
    if len(endpoint.cluster_urls) > 1:
        with (
            Server(endpoint, operation_timeout_seconds=timeout_seconds) as server,
            progress.phase("waiting until the nodes are one cluster"),
        ):
            wait_known(server, timeout_seconds)


def stack_status(
    selection: Selection, endpoint: Callable[[], Endpoint], *, timeout_seconds: float
) -> StackStatus:
    """Ask the engine, then its Qdrant; if Qdrant does not respond, the status says so."""
    engine = selection.engine.status()
    try:
        report = stack_report(endpoint(), timeout_seconds=timeout_seconds)
    except TaskError as error:
        return StackStatus(selection=selection, engine=engine, error=error)
    return StackStatus(selection=selection, engine=engine, report=report)


def stack_report(endpoint: Endpoint, *, timeout_seconds: float) -> StackReport:
    """Ask a running Qdrant for its collections. Raises `Unreachable` if it does not respond."""
    with Server(endpoint, operation_timeout_seconds=timeout_seconds) as server:
        version = server.version()
        counts = {name: server.collections.count_all(name) for name in server.collections.names()}
        return StackReport(
            version=version,
            collections=tuple((name, count.shown) for name, count in counts.items()),
            aliases=server.collections.aliases(),
            ways={name: count.way for name, count in counts.items() if count.way},
        )
