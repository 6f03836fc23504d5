"""Which process reads which points of an unpacked snapshot.

The engine holds Python's lock while it reads, and locks the folder that it opens. So where there
are more processors than shards, a shard is read by several processes, each in a copy of its own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from snapshot_tasks.sealing.unpack import Shard, copy_sparse

# Below this many points, copying and starting a process takes longer than it saves.
SMALL_POINTS = 20_000
# Each has the engine's tables of the whole shard in memory, and a copy of it on the disk.
MAX_READERS = 2
# Copies are for speed alone: they never take more than this share of what is free.
MAX_COPIES_SHARE = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of `of` slices of a shard's points, and the folder that only its reader opens."""

    shard: Shard
    folder: Path
    index: int
    of: int


def split(
    shards: tuple[Shard, ...], scratch: Path, *, points_count: int | None
) -> tuple[Part, ...]:
    """Return the parts of all shards: more than one of each where that is worth it.

    Raises:
        OSError: when a copy cannot be written.
    """
    readers = min(MAX_READERS, max(1, (os.cpu_count() or 1) // len(shards)))
    is_small = points_count is not None and points_count < SMALL_POINTS
    if is_small or not _has_room(shards, scratch, readers - 1):
        readers = 1
    return tuple(part for shard in shards for part in _parts(shard, scratch, readers))


def _parts(shard: Shard, scratch: Path, readers: int) -> Iterator[Part]:
    for index in range(readers):
        folder = shard.folder
        if index:
            folder = scratch / f"copy-{index}" / shard.name
            copy_sparse(shard.folder, folder)
        yield Part(shard=shard, folder=folder, index=index, of=readers)


def _has_room(shards: tuple[Shard, ...], scratch: Path, copies: int) -> bool:
    if not copies:
        return True
    stored = (path.lstat().st_blocks * 512 for shard in shards for path in shard.folder.rglob("*"))
    return copies * sum(stored) <= MAX_COPIES_SHARE * shutil.disk_usage(scratch).free
