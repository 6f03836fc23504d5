"""Seal a snapshot: bind the fingerprint of what a server will restore to the file."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from snapshot_tasks.domain.fingerprint import Fingerprint
from snapshot_tasks.domain.seal import READER, Seal
from snapshot_tasks.domain.search_parity import Probe
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.engines.base import Engine, FreshRequest
from snapshot_tasks.operations.restore.one import restore
from snapshot_tasks.operations.restore.plan import RestoreRequest
from snapshot_tasks.qdrant.points import read_fingerprint
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.sealing.reader import Contents, read_contents
from snapshot_tasks.system.errors import RestoreIncomplete
from snapshot_tasks.system.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a file restores to, what read it (`READER` or `SERVER`), and how long that took."""

    fingerprint: Fingerprint
    read_by: str
    seconds: float
    sanity: dict[str, Any]
    probes: tuple[Probe, ...]

    def seal(self) -> Seal:
        """Return what the manifest holds of it."""
        return Seal.of(self.fingerprint, sealed_by=self.read_by, seconds=self.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshServers:
    """How to run a throw-away server for a seal; the engine is only looked up when needed."""

    engine: Callable[[], Engine]
    operation_timeout_seconds: float


def reading_of(contents: Contents, seconds: float) -> Reading:
    """Return what the reader found in a file."""
    return Reading(
        fingerprint=contents.fingerprint,
        read_by=READER,
        seconds=seconds,
        sanity=contents.sanity,
        probes=contents.probes,
    )


def read_file(file: Path, points_count: int | None, progress: Progress) -> tuple[Contents, float]:
    """Read a snapshot's contents with the reader; return them and the seconds it took.

    Raises:
        StorageError: when the temporary folder has no room for it.
        Damaged: when the reader cannot read it.
    """
    start = time.monotonic()
    contents = read_contents(file, progress, points_count=points_count)
    return contents, time.monotonic() - start


def read_on_fresh_server(
    file: Path, *, version: str, sha256: str, servers: FreshServers, progress: Progress
) -> tuple[Fingerprint, float]:
    """Restore a file into a throw-away server and read it there: what a restore brings, by trial.

    Raises:
        RestoreIncomplete: when the throw-away server does not take it.
    """
    start = time.monotonic()
    collection = "restored"
    snapshot = Snapshot(
        path=file,
        collection=collection,
        created_at=datetime.fromtimestamp(file.stat().st_mtime, UTC),
        size_bytes=file.stat().st_size,
        manifest=None,
    )
    request = RestoreRequest(snapshot=snapshot, verified_sha256=sha256)
    timeout = servers.operation_timeout_seconds
    fresh = FreshRequest(version=version, folder=file.parent)
    with servers.engine().fresh(fresh, progress) as server:
        with Server(server.endpoint, operation_timeout_seconds=timeout) as connection:
            result = restore(request, connection, progress)
        if result.error or result.points_count is None:
            raise result.error or RestoreIncomplete("Nothing came back.", hint="Run it again.")
        with progress.phase(
            "reading every point of a throw-away server", total_points=result.points_count
        ) as advance:
            found = read_fingerprint(server.endpoint, collection, advance)
    return found, time.monotonic() - start
