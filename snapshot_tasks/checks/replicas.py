"""Does every replica of every shard hold what was sealed?

A replica can be active, green and empty, and counts are answered by another one. So each replica
is read by itself: as the snapshot that its own node makes of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from snapshot_tasks.checks.expected import Restored
from snapshot_tasks.domain.findings import Concern, Finding, Status, fail, listed
from snapshot_tasks.domain.fingerprint import Fingerprint
from snapshot_tasks.domain.layout import Layout, layout_of
from snapshot_tasks.domain.shards import ShardFacts
from snapshot_tasks.qdrant.nodes import Nodes, open_nodes
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.sealing.container import Writer
from snapshot_tasks.sealing.reader import read_shards
from snapshot_tasks.system.files import storage_errors
from snapshot_tasks.system.progress import Progress
from snapshot_tasks.system.scratch import scratch_folder
from snapshot_tasks.system.units import counted

MAX_LISTED = 5
REPLICA_REMEDY = (
    "Delete that replica and let Qdrant copy a good one, or restore the collection again."
)

# The contents of each replica: by shard, by the URL of its node.
Replicas = Mapping[int, Mapping[str, Fingerprint]]


def read_replicas(nodes: Nodes, collection: str, progress: Progress) -> Replicas:
    """Read every replica of a collection whose layout is settled, node by node.

    Raises:
        StorageError: if the temporary folder has no room for the replicas of one node.
        Damaged: if one cannot be read.
    """
    layout = layout_of(nodes.views(collection)[0])
    found: dict[int, dict[str, Fingerprint]] = {shard.id: {} for shard in layout.shards}
    for peer in layout.peers:
        node = nodes.of(peer)
        with scratch_folder() as folder:
            file = folder / "replicas"
            _receive(node, collection, layout, peer, file, progress)
            for shard_id, contents in read_shards(file, progress).items():
                found[int(shard_id)][node.endpoint.url] = contents
    return found


def check_replicas(restored: Restored) -> Iterator[Finding]:
    """Every replica of every shard has the sealed points of this shard, and no others.

    Where shards were not sealed one by one, the replicas of each shard are the same.
    """
    expected = restored.expected.shards
    if not expected and not restored.endpoint.cluster_urls:
        return
    with (
        Server(
            restored.endpoint, operation_timeout_seconds=restored.endpoint.answer_seconds
        ) as entry,
        open_nodes(entry) as nodes,
    ):
        replicas = read_replicas(nodes, restored.collection, restored.progress)
    if wrong := list(unsealed(expected, replicas) if expected else disagreements(replicas)):
        yield fail("replicas", listed(wrong, MAX_LISTED), REPLICA_REMEDY, Concern.COUNT)
        return
    count = counted(sum(map(len, replicas.values())), "replica")
    same = "each identical to its seal" if expected else "the same on all nodes"
    message = f"{count} of {counted(len(replicas), 'shard')}, {same}"
    yield Finding(check="replicas", status=Status.OK, message=message, concern=Concern.COUNT)


def unsealed(expected: Mapping[int, ShardFacts], replicas: Replicas) -> Iterator[str]:
    """Yield each replica that has other points than were sealed in its shard."""
    for shard_id, by_node in sorted(replicas.items()):
        sealed = expected.get(shard_id)
        for url, found in by_node.items():
            where = f"shard {shard_id} on {url}"
            if sealed is None:
                yield f"{where} is not in the snapshot"
            elif found.points_count != sealed.points_count:
                yield f"{where} has {found.points_count:,} points, not {sealed.points_count:,}"
            elif found.digest != sealed.digest:
                yield f"{where} has other points than were sealed"
    for shard_id in sorted(expected.keys() - replicas.keys()):
        yield f"shard {shard_id} is missing"


def is_half_restored(sealed: Mapping[int, ShardFacts], replicas: Replicas) -> bool:
    """Return whether some replicas lack all of their points, and the others are as sealed.

    That is what a restore leaves that was cut off, unless somebody has written to it since.
    """
    if replicas.keys() != sealed.keys():
        return False
    wrong = [
        found
        for shard_id, by_node in replicas.items()
        for found in by_node.values()
        if found.digest != sealed[shard_id].digest
    ]
    return bool(wrong) and all(found.points_count == 0 for found in wrong)


def disagreements(replicas: Replicas) -> Iterator[str]:
    """Yield each shard whose replicas are not the same; a write that is going on explains one."""
    for shard_id, by_node in sorted(replicas.items()):
        if len({found.digest for found in by_node.values()}) > 1:
            counts = ", ".join(f"{url}: {found.points_count:,}" for url, found in by_node.items())
            yield f"the replicas of shard {shard_id} differ ({counts} points)"


def _receive(
    node: Server, collection: str, layout: Layout, peer: int, file: Path, progress: Progress
) -> None:
    """Write the shards that a node holds into one file, as streams that leave no copy there."""
    held = layout.held_by(peer)
    label = f"receiving {counted(len(held), 'replica')} from {node.endpoint.url}"
    with (
        storage_errors(file.parent, setting="TMPDIR"),
        file.open("w+b") as target,
        progress.phase(label, total_bytes=0) as advance,
    ):
        writer = Writer(target)
        for shard_id in held:
            place = writer.open_place(shard_id)
            for chunk in node.shard_snapshots(shard_id).stream(collection):
                place.write(chunk)
                advance(len(chunk))
            writer.close(place)
        writer.finish()
