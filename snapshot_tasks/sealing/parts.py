"""Which process reads which points of an unpacked snapshot.

Qdrant Edge holds Python's lock while it reads, and locks the folder that it opens. So where there
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
# Each has tables of ids of the whole shard in memory, and a copy of it on the disk.
MAX_READERS = 2
# Copies are for speed alone: they never take more than this share of what is free.
MAX_COPIES_SHARE = 0.25
COPY = "copy-"


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
    """Return the parts of all shards: more than one of each where that is worth it."""
    readers = min(MAX_READERS, processors() // len(shards))
    is_small = points_count is not None and points_count < SMALL_POINTS
    if not is_small and readers > 1 and _has_room(shards, scratch, readers - 1):
        try:
            return tuple(part for shard in shards for part in _parts(shard, scratch, readers))
        except OSError:
            # Somebody else filled the disk, or there is a quota: it goes without copies.
            for copies in scratch.glob(f"{COPY}*"):
                shutil.rmtree(copies, ignore_errors=True)
    return whole(shards)


def whole(shards: tuple[Shard, ...]) -> tuple[Part, ...]:
    """Return one part for each shard: all of it."""
    return tuple(Part(shard=shard, folder=shard.folder, index=0, of=1) for shard in shards)


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _parts(shard: Shard, scratch: Path, readers: int) -> Iterator[Part]:
    for index in range(readers):
        folder = shard.folder
        if index:
            folder = scratch / f"{COPY}{index}" / shard.name
            copy_sparse(shard.folder, folder)
        yield Part(shard=shard, folder=folder, index=index, of=readers)


def _has_room(shards: tuple[Shard, ...], scratch: Path, copies: int) -> bool:
    stored = (path.lstat().st_blocks * 512 for shard in shards for path in shard.folder.rglob("*"))
    return copies * sum(stored) <= MAX_COPIES_SHARE * shutil.disk_usage(scratch).free
