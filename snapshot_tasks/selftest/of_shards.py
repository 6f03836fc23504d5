"""Faults of a cluster's snapshot: Qdrant never checks of which shard a file is."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from itertools import combinations

from snapshot_tasks.domain.shards import ShardFacts, ShardSet
from snapshot_tasks.sealing.container import DESCRIPTION
from snapshot_tasks.selftest.copies import Copy, NotApplicable
from snapshot_tasks.selftest.rewrite import BLOCK, Member, overwrite, read_at


def shards_of(copy: Copy) -> ShardSet:
    """Return the shards of the intact file. Raises `NotApplicable` if it is not a cluster's."""
    manifest = copy.snapshot().manifest
    if manifest is None or manifest.shard_set is None:
        raise NotApplicable("it is not a cluster's snapshot")
    return manifest.shard_set


def largest_shard(copy: Copy) -> ShardFacts:
    """Return the shard with most points."""
    return max(shards_of(copy).shards, key=lambda shard: shard.points_count or 0)


def _largest(copy: Copy) -> Member:
    return copy.member(str(largest_shard(copy).id))


def _two(found: ShardSet) -> tuple[ShardFacts, ShardFacts]:
    """Return two shards that have other points than each other."""
    for first, second in combinations(found.shards, 2):
        if first.digest != second.digest:
            return first, second
    raise NotApplicable("no two shards have different points")


def swap_shards(copy: Copy) -> None:
    """The names of two shards are exchanged, and nothing else: all points are there."""
    first, second = (copy.member(str(shard.id)) for shard in _two(shards_of(copy)))
    for member, other in ((first, second), (second, first)):
        header = tarfile.TarInfo(f"shard-{other.name}.snapshot")
        header.size = member.size
        overwrite(copy.file, member.data - BLOCK, header.tobuf(tarfile.GNU_FORMAT))


def swap_keys(copy: Copy) -> None:
    """Two shards have each other's key, in the file and in the manifest."""
    found = shards_of(copy)
    keys = list(dict.fromkeys(shard.key for shard in found.shards))
    if len(keys) < 2:
        raise NotApplicable("it has no two shard keys")
    other = {keys[0]: keys[1], keys[1]: keys[0]}
    swapped = [replace(shard, key=other.get(shard.key, shard.key)) for shard in found.shards]

    def change(document: dict[str, object]) -> None:
        document["shards"] = [shard.as_json() for shard in swapped]

    copy.change_json(copy.member(DESCRIPTION), change)
    copy.change_manifest(shard_set=replace(found, shards=tuple(swapped)))


def lose_shard(copy: Copy) -> None:
    """The largest shard is not in the file."""
    copy.rewrite({_largest(copy).name: None})


def cut_stream(copy: Copy) -> None:
    """The largest shard ends at half, as when the connection was lost."""
    shard = _largest(copy)
    copy.rewrite({shard.name: read_at(copy.file, shard.data, shard.size // 2)})


def end_stream_early(copy: Copy) -> None:
    """The largest shard ends properly, but too early: its collection was deleted meanwhile."""
    shard = _largest(copy)
    own = [m for m in copy.members(shard=shard.name) if ".tar/" not in m.name]
    copy.rewrite({member.name: None for member in own[len(own) // 2 :]})
