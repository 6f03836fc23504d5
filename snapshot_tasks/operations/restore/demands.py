"""What a collection demands of the server that is to restore it, beside its version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from snapshot_tasks.checks.cluster import refuse_lost_shards, refuse_without_keys
from snapshot_tasks.domain.cluster import KeyStep, is_custom, key_steps
from snapshot_tasks.domain.collection import has_turbo4
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.domain.vector_names import WAYS_OUT, refused_names
from snapshot_tasks.domain.versions import known
from snapshot_tasks.operations.restore.by_shard import ByShard, plan_by_shard
from snapshot_tasks.qdrant.errors import OLD_STORAGE_WAY_OUT
from snapshot_tasks.qdrant.nodes import open_nodes
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.sealing.archive import ArchiveSummary, check_archive
from snapshot_tasks.sealing.described import describe_alone
from snapshot_tasks.system.errors import Refused
from snapshot_tasks.system.untrusted import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomSharding:
    """A collection that must exist with its shard keys before its file is restored into it.

    Otherwise Qdrant responds 200 and restores no points.
    """

    config: JsonObject
    steps: tuple[KeyStep, ...]

    def prepare(self, server: Server, collection: str) -> None:
        """Create the collection with its keys, so that every shard gets its former id."""
        server.collections.create_as(collection, self.config)
        server.cluster.create_keys(collection, self.steps)


def config_of(snapshot: Snapshot) -> JsonObject:
    """Return the configuration in the manifest, else in the file.

    Raises:
        Damaged, Refused: as `check_archive`, if there is no manifest.
    """
    if snapshot.manifest:
        return snapshot.manifest.config
    return check_archive(snapshot.path).config


def refuse_unfit(
    snapshot: Snapshot, server: Server, version: str, *, loaded_at_start: bool, replication: int
) -> CustomSharding | ByShard | None:
    """Refuse a server that cannot restore such a collection; return what to create before.

    `replication` is on how many nodes each shard shall be; 0 is as recorded.

    Raises:
        Refused: before anything is sent.
        Damaged: if the file has no manifest and is not intact.
    """
    look = cache(lambda: check_archive(snapshot.path))
    config = snapshot.manifest.config if snapshot.manifest else look().config
    if needs_start_up(config, version) and not loaded_at_start:
        raise Refused(
            f"Qdrant {version} accepts the vector names of {snapshot.name} in no new collection:"
            f" {'; '.join(refused_names(config))}.",
            hint=WAYS_OUT,
        )
    if has_turbo4(config) and not known(version).reads_turbo4:
        raise Refused(
            f"{snapshot.name} has vectors of the datatype turbo4, which Qdrant {version} cannot"
            " restore.",
            hint="Restore it with Qdrant 1.19 or later.",
        )
    if not known(version).reads_rocksdb and _uses_rocksdb(snapshot, look):
        raise Refused(
            f"The storage in {snapshot.name} is RocksDB, which Qdrant {version} cannot read.",
            hint=OLD_STORAGE_WAY_OUT,
        )
    by_shard = _by_shard(snapshot, config, server, replication, look)
    if replication and by_shard is None:
        raise Refused(
            f"Qdrant at {server.endpoint.url} is a single server, so there are no replicas.",
            hint="Leave out `--replication`.",
        )
    return by_shard or _sharding(snapshot, config, server, look)


def _uses_rocksdb(snapshot: Snapshot, look: Callable[[], ArchiveSummary]) -> bool:
    """Look into the file, unless the version that took it has no RocksDB."""
    if snapshot.taken_with and not known(snapshot.taken_with).reads_rocksdb:
        return False
    return look().uses_rocksdb


def refuse_lost(server: Server, collection: str) -> None:
    """Refuse to replace what cannot be saved before: a collection with a shard that no node has.

    Raises:
        Refused: if there is such a shard.
    """
    with open_nodes(server) as nodes:
        refuse_lost_shards(nodes.views(collection), collection)


def needs_start_up(config: JsonObject, version: str) -> bool:
    """Return whether a version restores such a collection only while it starts."""
    return known(version).refuses_names and bool(refused_names(config))


def _by_shard(
    snapshot: Snapshot,
    config: JsonObject,
    server: Server,
    replication: int,
    look: Callable[[], ArchiveSummary],
) -> ByShard | None:
    """Return how to restore shard by shard, if the file or the cluster demands it."""
    with open_nodes(server) as nodes:
        count = len(nodes)
    if count == 1 and not _is_clusters(snapshot, look):
        return None
    if is_custom(config):
        refuse_without_keys(server, snapshot.name)
    return plan_by_shard(
        snapshot,
        look(),
        config,
        _schema_of(snapshot, look()),
        nodes_count=count,
        replication=replication,
    )


def _is_clusters(snapshot: Snapshot, look: Callable[[], ArchiveSummary]) -> bool:
    """Return whether the file is that of a cluster; without a manifest, it says so itself."""
    if snapshot.manifest:
        return snapshot.manifest.shard_set is not None
    return look().description is not None


def _schema_of(snapshot: Snapshot, summary: ArchiveSummary) -> JsonObject:
    if snapshot.manifest:
        return dict(snapshot.manifest.payload_schema)
    if summary.description:
        return summary.description.payload_schema
    described = describe_alone(snapshot.path)
    return described.payload_schema if described else {}


def _sharding(
    snapshot: Snapshot,
    config: JsonObject,
    server: Server,
    look: Callable[[], ArchiveSummary],
) -> CustomSharding | None:
    if not is_custom(config):
        return None
    refuse_without_keys(server, snapshot.name)
    try:
        steps = key_steps(look().shard_keys)
    except ValueError as error:
        raise Refused(
            f"Cannot give the shards of {snapshot.name} their ids again: {error}.",
            hint="Rebuild the collection from its source.",
        ) from error
    return CustomSharding(config=config, steps=steps)
