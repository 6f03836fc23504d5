"""Restore a collection shard by shard: each shard's file to every node that holds the shard.

Measured, and the reason for each step: Qdrant never checks of which shard a file is; a file sent to
a node that does not hold its shard adds a replica there; and only the priority `no_sync`, sent to
every holder, leaves no replica empty. Counts and the total fingerprint do not show swapped shards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO

from snapshot_tasks.checks.cluster import settled_layout
from snapshot_tasks.domain.cluster import KeyStep, is_custom, key_steps
from snapshot_tasks.domain.findings import Finding, ok, warn
from snapshot_tasks.domain.layout import Layout
from snapshot_tasks.domain.shards import ShardSet
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.qdrant.errors import way_out
from snapshot_tasks.qdrant.indexes import PayloadIndexes
from snapshot_tasks.qdrant.nodes import Nodes, open_nodes
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.sealing.archive import ArchiveSummary
from snapshot_tasks.sealing.container import open_shard, shard_members, shard_name
from snapshot_tasks.sealing.extract import write_shard
from snapshot_tasks.system.at_once import GoOn, at_once
from snapshot_tasks.system.errors import Refused, RestoreIncomplete, ServerFailure, Unreachable
from snapshot_tasks.system.files import storage_errors
from snapshot_tasks.system.progress import Progress
from snapshot_tasks.system.scratch import scratch_folder
from snapshot_tasks.system.units import counted
from snapshot_tasks.system.untrusted import JsonObject

# New replicas agree on who holds what within a second or two.
SETTLE_SECONDS = 60.0
# How often a shard is sent to a node whose connection is lost.
ATTEMPTS = 3
POLL_SECONDS = 0.5
_REBUILD = "Rebuild the collection from its source."
_MORE_NODES = "Add nodes and replicas, then set replication_factor, if they are needed."


@dataclass(frozen=True, slots=True, kw_only=True)
class ByShard:
    """What to create, and which shard's file goes where.

    `config` is the recorded one as it will be here, and `changed` says how it was changed: no more
    replicas than nodes, or as many as were asked for.
    """

    snapshot: Snapshot
    config: JsonObject
    payload_schema: JsonObject
    steps: tuple[KeyStep, ...]
    key_by_id: Mapping[int, str | int | None]
    sha256_by_id: Mapping[int, str]
    nodes_count: int = 1
    changed: tuple[Finding, ...] = ()

    @property
    def node_share(self) -> float:
        """The part of all shards that a node gets, if every node gets as many."""
        replicas = int((self.config.get("params") or {}).get("replication_factor") or 1)
        return min(1.0, replicas / self.nodes_count)

    def send(self, server: Server, collection: str, progress: Progress) -> None:
        """Create the collection, then restore every replica of every shard, side by side.

        Raises:
            Refused: if the new shards have not the same ids and keys as those that were saved.
            RestoreIncomplete: if a node refuses a shard.
        """
        with open_nodes(server) as nodes:
            self._create(server, collection, progress)
            layout = settled_layout(nodes, collection, progress, wait_seconds=SETTLE_SECONDS)
            self._refuse_other_placement(layout)
            self._send_each(nodes, collection, layout, progress)
            settled_layout(nodes, collection, progress, wait_seconds=SETTLE_SECONDS)

    def _create(self, server: Server, collection: str, progress: Progress) -> None:
        with progress.phase(f"creating {collection} with {counted(len(self.key_by_id), 'shard')}"):
            server.collections.create_as(collection, self.config)
            server.cluster.create_keys(collection, self.steps)
            with closing(PayloadIndexes(server.endpoint, collection)) as indexes:
                for field, index in self.payload_schema.items():
                    indexes.make(field, index)

    def _refuse_other_placement(self, layout: Layout) -> None:
        """Refuse shards with other ids or keys: later writes would go to the wrong ones."""
        found = {shard.id: shard.key for shard in layout.shards}
        if found != dict(self.key_by_id):
            raise Refused(
                f"Qdrant made the shards {found}, but the snapshot has {dict(self.key_by_id)}.",
                hint="Nothing was restored. Run this again when nobody else creates shard keys.",
            )

    def _send_each(self, nodes: Nodes, collection: str, layout: Layout, progress: Progress) -> None:
        """Send all shards of a node one after the other, and to all nodes at once."""
        with _shard_files(self.snapshot.path, self.key_by_id, self.sha256_by_id) as files:
            total = sum(files[s.id].size_bytes * len(s.holders) for s in layout.shards)
            with progress.phase(f"uploading {collection}", total_bytes=total) as advance:

                def serve(peer: int, go_on: GoOn) -> None:
                    for shard_id in layout.held_by(peer):
                        go_on()
                        _persist(files[shard_id], nodes.of(peer), collection, advance, go_on)

                at_once(serve, layout.peers)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ShardFile:
    """One shard's own file; `open` opens it for a block."""

    shard_id: int
    sha256: str
    size_bytes: int
    open: Callable[[], AbstractContextManager[IO[bytes]]]

    def send(self, node: Server, collection: str, advance: Callable[[int], None]) -> None:
        """Restore this shard's replica on one node, and only there."""
        try:
            with self.open() as file:
                node.shard_snapshots(self.shard_id).upload(
                    collection,
                    file,
                    self.sha256,
                    name=shard_name(self.shard_id),
                    advance=advance,
                    priority="no_sync",
                )
        except ServerFailure as error:
            raise RestoreIncomplete(
                f"The node {node.endpoint.url} could not restore shard {self.shard_id} of"
                f" {collection}: {error.message}",
                hint=way_out(error),
            ) from error


def _persist(
    file: _ShardFile, node: Server, collection: str, advance: Callable[[int], None], go_on: GoOn
) -> None:
    """Send a shard to a node, again if the node was away for a moment: one failure costs one shard.

    Nobody writes to the new collection yet, so sending it twice does no harm.
    """
    for attempt in range(ATTEMPTS):
        seen = 0

        def sent(count: int) -> None:
            nonlocal seen
            go_on()
            seen += count
            advance(count)

        try:
            file.send(node, collection, sent)
        except Unreachable:
            if attempt + 1 == ATTEMPTS or not _is_back(node, collection, go_on):
                raise
            advance(-seen)
        else:
            return


def _is_back(node: Server, collection: str, go_on: GoOn) -> bool:
    """Wait until a node is ready and idle; return whether it was in time."""
    deadline = time.monotonic() + node.endpoint.answer_seconds
    while time.monotonic() < deadline:
        go_on()
        time.sleep(POLL_SECONDS)
        with suppress(Unreachable):
            if node.is_ready() and not node.snapshots.is_busy(collection):
                return True
    return False


def plan_by_shard(
    snapshot: Snapshot,
    summary: ArchiveSummary,
    config: JsonObject,
    payload_schema: JsonObject,
    *,
    nodes_count: int,
    replication: int = 0,
) -> ByShard:
    """Return how to restore a file shard by shard; nothing is asked of the server.

    `replication` is on how many nodes each shard shall be; 0 is as recorded.

    Raises:
        Refused: if new shards cannot get the ids of those that were saved, or there are fewer nodes
            than replicas were asked for.
    """
    if replication > nodes_count:
        raise Refused(
            f"{replication} replicas were asked for, but there are only {nodes_count} nodes.",
            hint=f"Use `--replication {nodes_count}` or fewer.",
        )
    shard_set = summary.description.shard_set if summary.description else None
    if snapshot.manifest and snapshot.manifest.shard_set:
        # Qdrant then refuses a shard's file that is not the one of which this was recorded.
        shard_set = snapshot.manifest.shard_set
    config, changed = _replicated(config, nodes_count, replication)
    if shard_set and not changed and not replication:
        changed = tuple(_fewer_of_keys(shard_set, nodes_count))
    try:
        most = replication or nodes_count
        steps, key_by_id = _keys(summary, shard_set, config, most, exactly=bool(replication))
    except ValueError as error:
        raise Refused(
            f"Cannot give the shards of {snapshot.name} their ids again: {error}.", hint=_REBUILD
        ) from error
    return ByShard(
        snapshot=snapshot,
        config=config,
        payload_schema=payload_schema,
        steps=steps,
        key_by_id=key_by_id,
        sha256_by_id={s.id: s.sha256 for s in shard_set.shards} if shard_set else {},
        nodes_count=nodes_count,
        changed=changed,
    )


def _keys(
    summary: ArchiveSummary,
    shard_set: ShardSet | None,
    config: JsonObject,
    most: int,
    *,
    exactly: bool,
) -> tuple[tuple[KeyStep, ...], dict[int, str | int | None]]:
    ids = sorted(map(int, summary.shards))
    if not is_custom(config):
        if ids != list(range(len(ids))):
            raise ValueError(f"they are {ids}, and Qdrant numbers new ones from 0")
        return (), dict.fromkeys(ids)
    keys = shard_set.shard_keys if shard_set else summary.shard_keys
    steps = key_steps(keys)
    wanted = {key.key: key.replication_factor for key in shard_set.keys} if shard_set else {}
    steps = tuple(
        replace(step, replication_factor=most if exactly else min(wanted[step.key], most))
        if step.key in wanted and not step.gap
        else step
        for step in steps
    )
    by_id: dict[int, str | int | None] = {
        shard_id: key.key for key in keys for shard_id in key.shard_ids
    }
    return steps, by_id


def _replicated(
    config: JsonObject, nodes_count: int, asked: int
) -> tuple[JsonObject, tuple[Finding, ...]]:
    """Return the config with the replicas that were asked for, else with no more than nodes."""
    params = dict(config.get("params") or {})
    recorded = int(params.get("replication_factor") or 1)
    factor = asked or min(recorded, nodes_count)
    if factor == recorded:
        return config, ()
    params["replication_factor"] = factor
    confirmed = params.get("write_consistency_factor")
    if isinstance(confirmed, int):
        params["write_consistency_factor"] = min(confirmed, factor)
    changed = {**config, "params": params}
    if asked:
        return changed, (ok("replication", f"{factor} instead of {recorded}, as asked for"),)
    message = f"{factor} instead of {recorded}, because {_nodes(nodes_count)}"
    return changed, (warn("replication", message, _MORE_NODES),)


def _fewer_of_keys(shard_set: ShardSet, nodes_count: int) -> Iterator[Finding]:
    """Yield each shard key that was on more nodes than there are, if its collection was not."""
    for key in shard_set.keys:
        if key.replication_factor > nodes_count:
            message = f"{nodes_count} instead of {key.replication_factor} of the key {key.key!r}"
            yield warn("replication", f"{message}, because {_nodes(nodes_count)}", _MORE_NODES)


def _nodes(count: int) -> str:
    return "there is only 1 node" if count == 1 else f"there are only {count} nodes"


@contextmanager
def _shard_files(
    path: Path, shard_ids: Iterable[int], sha256_by_id: Mapping[int, str]
) -> Iterator[dict[int, _ShardFile]]:
    """Make each shard's own file available for the block; a collection's snapshot is taken apart.

    Raises:
        StorageError: if the temporary folder has not enough space for that.
    """
    if found := shard_members(path):
        yield {
            shard_id: _ShardFile(
                shard_id=shard_id,
                sha256=sha256_by_id[shard_id],
                size_bytes=member.size,
                open=partial(open_shard, path, member),
            )
            for shard_id, member in found.items()
        }
        return
    with scratch_folder() as folder, storage_errors(folder, setting="TMPDIR"):
        yield {shard_id: _extracted(path, shard_id, folder) for shard_id in shard_ids}


def _extracted(path: Path, shard_id: int, folder: Path) -> _ShardFile:
    target = folder / shard_name(shard_id)
    with target.open("xb") as file:
        sha256 = write_shard(path, shard_id, file)
    return _ShardFile(
        shard_id=shard_id,
        sha256=sha256,
        size_bytes=target.stat().st_size,
        open=lambda: target.open("rb"),
    )
