"""Seal a snapshot: bind a fingerprint of every point that a server will restore to the file."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from snapshot_tasks.domain.cluster import is_custom
from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.domain.fingerprint import Fingerprint
from snapshot_tasks.domain.index_counts import IndexCount, IndexCounter
from snapshot_tasks.domain.seal import READER, SERVER, Seal
from snapshot_tasks.domain.search_parity import Probe
from snapshot_tasks.domain.shards import ShardSet
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.domain.versions import DEFAULT_VERSION
from snapshot_tasks.engines.base import Engine, FreshRequest
from snapshot_tasks.operations.restore.demands import config_of, needs_start_up
from snapshot_tasks.operations.restore.one import restore
from snapshot_tasks.operations.restore.plan import RestoreRequest
from snapshot_tasks.qdrant.indexes import PayloadIndexes
from snapshot_tasks.qdrant.points import read_fingerprint
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.sealing.reader import NO_INDEXES, Contents, read_contents
from snapshot_tasks.system.errors import NotFound, RestoreIncomplete
from snapshot_tasks.system.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The contents of a file, what read them (`READER` or `SERVER`), and how long it took."""

    fingerprint: Fingerprint
    read_by: str
    seconds: float
    sanity: dict[str, Any]
    probes: tuple[Probe, ...]
    index_counts: tuple[IndexCount, ...] = ()
    # Of each shard, if they were read one by one.
    shards: Mapping[str, Fingerprint] = field(default_factory=dict)

    def seal(self) -> Seal:
        """Return the seal for the manifest."""
        return Seal.of(self.fingerprint, sealed_by=self.read_by, seconds=self.seconds)

    def sealing(self, shard_set: ShardSet | None) -> ShardSet | None:
        """Return a cluster's shards with what is in each, if they were read one by one."""
        if shard_set is None or not self.shards:
            return shard_set
        return shard_set.sealed_with(
            {int(name): (one.points_count, one.digest) for name, one in self.shards.items()}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshServers:
    """How to run a fresh server for a seal; the engine is only selected when it is needed.

    `version` is for a file that does not say which version of Qdrant made it.
    """

    engine: Callable[[], Engine]
    operation_timeout_seconds: float
    version: str = DEFAULT_VERSION


def reading_of(contents: Contents, seconds: float) -> Reading:
    """Return the reader's result as a reading."""
    return Reading(
        fingerprint=contents.fingerprint,
        read_by=READER,
        seconds=seconds,
        sanity=contents.sanity,
        probes=contents.probes,
        index_counts=contents.index_counts,
        shards=contents.shards,
    )


def read_file(
    file: Path,
    points_count: int | None,
    progress: Progress,
    *,
    payload_schema: Mapping[str, Any] = NO_INDEXES,
) -> tuple[Contents, float]:
    """Read a snapshot's contents with the reader; return them and how many seconds it took.

    `payload_schema` has the payload indexes for which filters are counted.

    Raises:
        StorageError: if the temporary folder has not enough space.
        Damaged: if the reader cannot read the file.
    """
    start = time.monotonic()
    contents = read_contents(
        file, progress, points_count=points_count, payload_schema=payload_schema
    )
    return contents, time.monotonic() - start


def read_on_fresh_server(
    file: Path,
    *,
    version: str,
    sha256: str,
    servers: FreshServers,
    progress: Progress,
    payload_schema: Mapping[str, Any] = NO_INDEXES,
) -> Reading:
    """Restore a file into a fresh server and read it there, to find out what it restores.

    Raises:
        RestoreIncomplete: if the fresh server cannot restore it.
        NotFound: if the fresh server hides points.
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
    timeout = servers.operation_timeout_seconds
    config = config_of(snapshot)
    fresh = FreshRequest(
        version=version,
        folder=file.parent,
        cluster_nodes=int(is_custom(config)),
        load=(file.name, collection) if needs_start_up(config, version) else None,
    )
    request = RestoreRequest(
        snapshot=snapshot,
        verified_sha256=sha256,
        loaded_at_start=fresh.load is not None,
        is_throwaway=True,
    )
    with servers.engine().fresh(fresh, progress) as server:
        with Server(server.endpoint, operation_timeout_seconds=timeout) as connection:
            result = restore(request, connection, progress)
        if result.error or result.points_count is None:
            raise result.error or RestoreIncomplete(
                "The fresh server returned no points.", hint="Run this again."
            )
        if result.restored and (hidden := result.restored.actual.hidden_count):
            raise NotFound(
                f"The fresh server hides {hidden:,} points until they are optimized.",
                hint="Let the collection's optimizer run, then take the snapshot again.",
            )
        with progress.phase(
            "reading every point from a fresh server", total_points=result.points_count
        ) as advance:
            found = read_fingerprint(server.endpoint, collection, advance)
        counts = _count_on(server.endpoint, collection, payload_schema)
    return Reading(
        fingerprint=found,
        read_by=SERVER,
        seconds=time.monotonic() - start,
        sanity={},
        probes=(),
        index_counts=counts,
    )


def _count_on(
    endpoint: Endpoint, collection: str, payload_schema: Mapping[str, Any]
) -> tuple[IndexCount, ...]:
    """Return what filters must find according to the payloads on a server."""
    if not payload_schema:
        return ()
    counter = IndexCounter(payload_schema)
    with closing(PayloadIndexes(endpoint, collection)) as indexes:
        for payload in indexes.payloads():
            counter.take(payload)
    return counter.counts()
