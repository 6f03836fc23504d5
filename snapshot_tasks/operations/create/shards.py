"""Take a cluster's collection shard by shard, each from a node that holds it, into one file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from snapshot_tasks.catalog.journal import Journal
from snapshot_tasks.checks.cluster import settled_layout
from snapshot_tasks.domain.collection import CollectionState
from snapshot_tasks.domain.layout import Layout, spread
from snapshot_tasks.domain.shards import KeyFacts, ShardFacts, ShardSet
from snapshot_tasks.operations.create.download import (
    ServerCopy,
    Taken,
    state_before,
)
from snapshot_tasks.operations.create.transfer import Transfer
from snapshot_tasks.qdrant.errors import is_out_of_reach
from snapshot_tasks.qdrant.nodes import Nodes
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.sealing.archive import check_archive
from snapshot_tasks.sealing.container import Description, Writer
from snapshot_tasks.sealing.described import describe_live
from snapshot_tasks.system.errors import Refused, ServerFailure
from snapshot_tasks.system.files import storage_errors
from snapshot_tasks.system.progress import Clock, Progress
from snapshot_tasks.system.units import counted

LAYOUT_ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeShards:
    """How to take a cluster's collection. `wait_seconds` is for replicas that are not current.

    With `stream`, a node needs no space for a copy; Qdrant then sends no checksum.
    """

    collection: str
    version: str
    entry: Server
    nodes: Nodes
    journal: Journal
    keep_server_copy: bool = False
    wait_seconds: float = 0.0
    stream: bool = False


def take_shards(what: TakeShards, staging: Path, progress: Progress, *, clock: Clock) -> Taken:
    """Take every shard from one current holder, and put them into `staging` with a description.

    Each shard is as it was at one moment, but not all at the same one: there is no such thing in a
    cluster that is written to.

    Raises:
        NotFound: if there is no such collection.
        Refused: if not every replica is current and in place, or shards keep moving.
        Damaged: if a shard arrives otherwise than Qdrant created it.
        StorageError: if the file cannot be stored in the folder.
    """
    for _ in range(LAYOUT_ATTEMPTS):
        at = clock()
        layout = _layout(what, progress)
        try:
            taken = _take(what, at, layout, staging, progress)
        except ServerFailure as error:
            if not is_out_of_reach(error):
                raise
        else:
            if _layout(what, progress) == layout:
                check_archive(staging)
                return taken
        progress.note("Shards were moved while they were taken; taking them again.")
    raise Refused(
        f"The shards of {what.collection} were moved each time while they were taken.",
        hint="Run this again when the cluster moves no shards.",
    )


def _take(
    what: TakeShards, at: datetime, layout: Layout, staging: Path, progress: Progress
) -> Taken:
    holders = spread(layout, what.nodes.views(what.collection))
    before = state_before(what.collection, what.entry, progress)
    with storage_errors(staging.parent), staging.open("w+b") as file:
        writer = Writer(file)
        if what.stream:
            shards = tuple(_streamed(what, layout, holders, writer, progress))
        else:
            shards = _stored(what, layout, holders, before, staging, writer, progress)
        after = what.entry.collections.state(what.collection)
        return _finished(what, at, layout, shards, before, after, writer)


def _layout(what: TakeShards, progress: Progress) -> Layout:
    layout = settled_layout(what.nodes, what.collection, progress, wait_seconds=what.wait_seconds)
    if not layout.shards:
        raise Refused(
            f"{what.collection} has no shard, because it has custom sharding and no shard key yet.",
            hint="Create a shard key first; until then it has no points that could be lost.",
        )
    return layout


def _stored(
    what: TakeShards,
    layout: Layout,
    holders: Mapping[int, int],
    before: CollectionState,
    staging: Path,
    writer: Writer,
    progress: Progress,
) -> tuple[ShardFacts, ...]:
    """Let the nodes create the copies, and download these side by side, each to its place."""
    with ExitStack() as stack:
        copies = {
            shard.id: stack.enter_context(
                ServerCopy(
                    what.collection,
                    what.nodes.of(holders[shard.id]),
                    what.journal,
                    progress,
                    keep=what.keep_server_copy,
                    shard=shard.id,
                )
            )
            for shard in layout.shards
        }
        label = (
            f"taking {counted(len(copies), 'shard')} of {what.collection}"
            f" ({before.points_count:,} points) from {counted(len(set(holders.values())), 'node')}"
        )
        with progress.phase(label, total_bytes=0) as advance:
            transfer = Transfer(copies, holders, before, staging, writer, advance)
            transfer.run()
    return tuple(
        ShardFacts(
            id=shard.id,
            key=shard.key,
            size_bytes=transfer.made[shard.id].size_bytes,
            sha256=transfer.hashes[shard.id],
            node=what.nodes.of(holders[shard.id]).endpoint.url,
        )
        for shard in layout.shards
    )


def _streamed(
    what: TakeShards,
    layout: Layout,
    holders: Mapping[int, int],
    writer: Writer,
    progress: Progress,
) -> Iterator[ShardFacts]:
    """Take one shard after the other as a stream, whose size nobody knows before."""
    for shard in layout.shards:
        server = what.nodes.of(holders[shard.id])
        digest, place = hashlib.sha256(), writer.open_place(shard.id)
        with progress.phase(
            f"receiving shard {shard.id} of {what.collection}", total_bytes=0
        ) as advance:
            for chunk in server.shard_snapshots(shard.id).stream(what.collection):
                digest.update(chunk)
                place.write(chunk)
                advance(len(chunk))
        yield ShardFacts(
            id=shard.id,
            key=shard.key,
            size_bytes=writer.close(place),
            sha256=digest.hexdigest(),
            node=server.endpoint.url,
        )


def _finished(
    what: TakeShards,
    at: datetime,
    layout: Layout,
    shards: tuple[ShardFacts, ...],
    before: CollectionState,
    after: CollectionState,
    writer: Writer,
) -> Taken:
    """Write the end of the file, and return the facts."""
    described = describe_live(before, after)
    shard_set = ShardSet(shards=shards, keys=_keys(layout))
    size = writer.finish(
        Description(
            shard_set=shard_set,
            config=described.config,
            payload_schema=described.payload_schema,
            qdrant_version=what.version,
        )
    )
    return Taken(
        at=at,
        version=what.version,
        before=before,
        after=after,
        described=described,
        size_bytes=size,
        sha256=writer.sha256(),
        shard_set=shard_set,
    )


def _keys(layout: Layout) -> tuple[KeyFacts, ...]:
    return tuple(
        KeyFacts(
            key=key.key,
            shards_count=len(key.shard_ids),
            replication_factor=layout.replication_of(key),
        )
        for key in layout.keys
    )
