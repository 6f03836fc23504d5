"""The live stack: up, with everything restored that is missing, and what is in it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.engines.base import Engine
from snapshot_tasks.operations.restore.many import RestoreAllResult, restore_missing
from snapshot_tasks.operations.restore.unfinished import tidied
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class StackReport:
    """The server's version, the exact count of each collection, and the aliases."""

    version: str
    collections: tuple[tuple[str, int], ...]
    aliases: dict[str, str]


def stack_up(
    engine: Engine,
    endpoint: Endpoint,
    catalog: Catalog,
    progress: Progress,
    *,
    ready_timeout_seconds: float,
    operation_timeout_seconds: float,
    restore: bool,
) -> RestoreAllResult:
    """Start Qdrant, wait until it is ready, restore each catalogued collection that is missing.

    Raises:
        Unreachable: when it is not ready in time.
        SettingsError: when a port is taken or the compose file is missing.
    """
    engine.up(timeout_seconds=ready_timeout_seconds, progress=progress)
    if not restore:
        return RestoreAllResult(results=(), errors=())
    mounted = replace(endpoint, mounts=engine.mounts())
    with (
        Server(mounted, operation_timeout_seconds=operation_timeout_seconds) as server,
        tidied(catalog, "stack.up", server, progress),
    ):
        return restore_missing(catalog, server, progress)


def stack_report(endpoint: Endpoint, *, timeout_seconds: float) -> StackReport:
    """Ask a running Qdrant for its collections. Raises `Unreachable` when none answers."""
    with Server(endpoint, operation_timeout_seconds=timeout_seconds) as server:
        version = server.version()
        counts = tuple((name, server.count(name)) for name in server.collections())
        return StackReport(version=version, collections=counts, aliases=server.aliases())
