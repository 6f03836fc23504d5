"""Divides the points of an unpacked snapshot among reader processes.

Qdrant Edge holds Python's global lock while it reads, and locks the folder that it opens. So if
there are more processors than shards, several processes read a shard, each in a separate copy.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from snapshot_tasks.sealing.unpack import Shard, copy_sparse
from snapshot_tasks.system.files import is_in_memory

# Below this many points, copying and starting a process takes longer than it saves.
SMALL_POINTS = 20_000
# Each reader has the id tables of the whole shard in memory, and a copy of the shard on disk.
MAX_READERS = 2
# Copies only save time, so they never take more than this share of the free space.
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
    """Return the parts of all shards; a shard has more than one if that saves time."""
    readers = min(MAX_READERS, processors() // len(shards))
    is_small = points_count is not None and points_count < SMALL_POINTS
    if not is_small and readers > 1 and _has_room(shards, scratch, readers - 1):
        try:
            return tuple(part for shard in shards for part in _parts(shard, scratch, readers))
        except OSError:
            # The disk is full or there is a quota, so continue without copies.
            for copies in scratch.glob(f"{COPY}*"):
                shutil.rmtree(copies, ignore_errors=True)
    return whole(shards)


def whole(shards: tuple[Shard, ...]) -> tuple[Part, ...]:
    """Return one part for each shard, with all of its points."""
    return tuple(Part(shard=shard, folder=shard.folder, index=0, of=1) for shard in shards)


def without_copies(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Return one part for each shard, and make room by removing the copies."""
    for part in parts:
        if part.index:
            shutil.rmtree(part.folder, ignore_errors=True)
    return whole(tuple(part.shard for part in parts if part.index == 0))


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
    in_memory = is_in_memory(scratch)
    files = (path.lstat() for shard in shards for path in shard.folder.rglob("*"))
    # On a tmpfs, a copy's holes take memory as well once they are read.
    needed = sum(file.st_size if in_memory else file.st_blocks * 512 for file in files)
    return copies * needed <= MAX_COPIES_SHARE * shutil.disk_usage(scratch).free
