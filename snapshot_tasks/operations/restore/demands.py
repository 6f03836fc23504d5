"""What a collection demands of the server that is to restore it, beside its version."""

from __future__ import annotations

from dataclasses import dataclass

from snapshot_tasks.checks.cluster import refuse_several_nodes, refuse_without_keys
from snapshot_tasks.domain.cluster import KeyStep, is_custom, key_steps
from snapshot_tasks.domain.collection import creation
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.sealing.archive import check_archive
from snapshot_tasks.system.errors import Refused
from snapshot_tasks.system.untrusted import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomSharding:
    """A collection that must exist with its shard keys before its file is restored into it.

    Otherwise Qdrant responds 200 and restores no points.
    """

    creation: JsonObject
    steps: tuple[KeyStep, ...]

    def prepare(self, server: Server, collection: str) -> None:
        """Create the collection with its keys, so that every shard gets its former id."""
        server.collections.create(collection, self.creation)
        server.cluster.create_keys(collection, self.steps)


def config_of(snapshot: Snapshot) -> JsonObject:
    """Return the configuration in the manifest, else in the file.

    Raises:
        Damaged, Refused: as `check_archive`, if there is no manifest.
    """
    if snapshot.manifest:
        return snapshot.manifest.config
    return check_archive(snapshot.path).config


def demanded_sharding(snapshot: Snapshot, server: Server) -> CustomSharding | None:
    """Return what to create before the file is restored, if anything.

    Raises:
        Refused: if the server is a node of a cluster, or cannot create the shard keys.
        Damaged: if the file is not intact.
    """
    refuse_several_nodes(server)
    config = config_of(snapshot)
    if not is_custom(config):
        return None
    refuse_without_keys(server, snapshot.name)
    try:
        steps = key_steps(check_archive(snapshot.path).shard_keys)
    except ValueError as error:
        raise Refused(
            f"Cannot give the shards of {snapshot.name} their ids again: {error}.",
            hint="Rebuild the collection from its source.",
        ) from error
    return CustomSharding(creation=creation(config), steps=steps)
