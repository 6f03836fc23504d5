"""Faults of a restored cluster: a replica that is active and green, but not what was sealed.

No file is to blame: Qdrant itself leaves such replicas, and counts are answered by any other one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from snapshot_tasks.domain.collection import creation
from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.domain.layout import layout_of
from snapshot_tasks.qdrant.nodes import Nodes, open_nodes
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.sealing.container import open_shard, shard_members, shard_name
from snapshot_tasks.selftest.copies import Copy, NotApplicable
from snapshot_tasks.selftest.of_shards import largest_shard, shards_of
from snapshot_tasks.selftest.resign import resigned_shards
from snapshot_tasks.system.scratch import scratch_folder

# As few as have replicas.
NODES = 2
EMPTY = "without-points"
# Qdrant takes this for one replica, and does not tell the others.
ALONE = "no_sync"


def need_replicas(copy: Copy) -> None:
    """Raise `NotApplicable` unless each shard is on two nodes, of which one can be wrong."""
    shards_of(copy)
    if int(_config(copy)["params"].get("replication_factor") or 1) < NODES:
        raise NotApplicable("its shards have no replicas")


def make_stale(endpoint: Endpoint, collection: str, copy: Copy) -> None:
    """Give one replica a shard that lacks a point of the others: the damaged one of the copy."""
    manifest = copy.snapshot().manifest
    assert manifest is not None
    damaged = resigned_shards(copy.file, manifest).shard_set
    assert damaged is not None
    [shard] = set(damaged.shards) - set(shards_of(copy).shards)
    with (
        _nodes(endpoint) as nodes,
        open_shard(copy.file, shard_members(copy.file)[shard.id]) as file,
    ):
        _replace(nodes, collection, shard.id, file, shard.sha256)


def make_empty(endpoint: Endpoint, collection: str, copy: Copy) -> None:
    """Give one replica of the largest shard the file of a shard that never had a point."""
    config = _config(copy)
    alone = {"shard_number": 1, "replication_factor": 1, "write_consistency_factor": 1}
    params = {**config["params"], **alone, "sharding_method": "auto"}
    with _nodes(endpoint) as nodes, scratch_folder() as folder:
        next(iter(nodes)).collections.create(EMPTY, creation({**config, "params": params}))
        data = b"".join(_holder(nodes, EMPTY, 0).shard_snapshots(0).stream(EMPTY))
        next(iter(nodes)).collections.delete(EMPTY)
        (folder / EMPTY).write_bytes(data)
        with (folder / EMPTY).open("rb") as file:
            sha256 = hashlib.sha256(data).hexdigest()
            _replace(nodes, collection, largest_shard(copy).id, file, sha256)


def _replace(nodes: Nodes, collection: str, shard_id: int, file: IO[bytes], sha256: str) -> None:
    _holder(nodes, collection, shard_id).shard_snapshots(shard_id).upload(
        collection,
        file,
        sha256,
        name=shard_name(shard_id),
        advance=lambda count: None,
        priority=ALONE,
    )


def _holder(nodes: Nodes, collection: str, shard_id: int) -> Server:
    """Return one node that holds a shard."""
    layout = layout_of(nodes.views(collection)[0])
    return nodes.of(next(s for s in layout.shards if s.id == shard_id).holders[0])


@contextmanager
def _nodes(endpoint: Endpoint) -> Iterator[Nodes]:
    with (
        Server(endpoint, operation_timeout_seconds=endpoint.answer_seconds) as entry,
        open_nodes(entry) as nodes,
    ):
        yield nodes


def _config(copy: Copy) -> dict[str, Any]:
    manifest = copy.snapshot().manifest
    assert manifest is not None
    return dict(manifest.config)
