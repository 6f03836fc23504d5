"""Makes what a cluster's snapshot says of its shards' bytes match a damaged file.

Ids, keys, counts and digests stay: they were sealed, and tell the damage from an intact file.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from snapshot_tasks.domain.manifest import Manifest
from snapshot_tasks.domain.shards import ShardSet
from snapshot_tasks.sealing.container import (
    DESCRIPTION,
    Writer,
    open_shard,
    read_description,
    shard_members,
)
from snapshot_tasks.sealing.tar import END_MARKER, Budget, Member, members

Bytes = dict[int, tuple[int, str]]


def resigned_shards(path: Path, manifest: Manifest) -> Manifest:
    """Write sizes and hashes of the shards into the file, and return a manifest that has them.

    A file in which they cannot be found stays as it is.
    """
    if manifest.shard_set is None:
        return manifest
    try:
        found = {
            shard_id: (member.size, _sha256(path, member))
            for shard_id, member in shard_members(path).items()
        }
        _describe_again(path, found)
    except ValueError:
        return manifest
    changed = replace(manifest, shard_set=_with(manifest.shard_set, found))
    seal = manifest.seal
    # What was forged before stays different from what was sealed.
    if seal is None or seal.description != manifest.description:
        return changed
    return changed.sealed_with(seal)


def _sha256(path: Path, member: Member) -> str:
    with open_shard(path, member) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def _describe_again(path: Path, found: Bytes) -> None:
    with path.open("r+b") as file:
        for member in members(file, "the file", end_markers=(END_MARKER,), budget=Budget()):
            if member.name == DESCRIPTION:
                description = read_description(file, member)
                changed = replace(description, shard_set=_with(description.shard_set, found))
                Writer(file, start=member.header).finish(changed)
                return


def _with(shard_set: ShardSet, found: Bytes) -> ShardSet:
    return replace(
        shard_set,
        shards=tuple(
            replace(shard, size_bytes=found[shard.id][0], sha256=found[shard.id][1])
            if shard.id in found
            else shard
            for shard in shard_set.shards
        ),
    )
