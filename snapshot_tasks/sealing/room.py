"""How much room a snapshot needs in the temporary folder while it is read."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from snapshot_tasks.sealing.container import storage_members
from snapshot_tasks.sealing.tar import (
    NESTED_END_MARKERS,
    Budget,
    Member,
    content,
    holes_of,
    members,
)
from snapshot_tasks.system.errors import StorageError
from snapshot_tasks.system.files import is_in_memory

PAGE = 4096
# What Qdrant Edge writes when it opens a shard. Measured: up to 18 MB.
ENGINE_BYTES = 16 << 20
# On a tmpfs, holes that are read take memory. Measured: 0.55 to 1.0 of them are read.
LEAST_HOLES_SHARE = 0.5
# A disk with less is called full. A file that is mapped keeps the space that it could get.
FULL_BYTES = 4 << 20
HINT = "Set TMPDIR to a folder with more free space, on a disk."


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """The bytes that a snapshot's files take when they are unpacked, and their holes."""

    stored_bytes: int
    hole_bytes: int

    def needed_bytes(self, *, in_memory: bool) -> int:
        """Return how much the reader certainly needs."""
        holes = int(self.hole_bytes * LEAST_HOLES_SHARE) if in_memory else 0
        return self.stored_bytes + ENGINE_BYTES + holes

    def enough_bytes(self, *, in_memory: bool) -> int:
        """Return how much is enough in any case."""
        return self.stored_bytes + 2 * ENGINE_BYTES + (self.hole_bytes if in_memory else 0)


def room_of(snapshot: Path) -> Room:
    """Return the room for a file that has passed `check_archive`, from its headers only."""
    stored, holes, budget = 0, 0, Budget()

    def take(member: Member) -> None:
        nonlocal stored, holes
        hole = holes_of(member)
        stored += -(-(member.size - hole) // PAGE) * PAGE
        holes += hole

    with snapshot.open("rb") as file:
        for source, member in storage_members(file, budget):
            parts = member.name.split("/")
            if not member.is_file or len(parts) < 2 or parts[1] == "wal":
                continue
            if not member.name.endswith(".tar"):
                take(member)
                continue
            nested = content(source, member)
            for entry in members(
                nested, member.name, end_markers=NESTED_END_MARKERS, budget=budget
            ):
                take(entry)
    return Room(stored_bytes=stored, hole_bytes=holes)


def require_room(snapshot: Path, scratch: Path) -> None:
    """Check that a folder has the room to read a snapshot in it.

    Raises:
        StorageError: if it certainly has not.
        ValueError: if the file is not a valid archive.
    """
    needed = room_of(snapshot).needed_bytes(in_memory=is_in_memory(scratch))
    _require("Reading the snapshot", needed, scratch)


def require_room_for_replicas(snapshot: Path, scratch: Path, *, share: float) -> None:
    """Check that a folder has the room to receive and read what one node has of a snapshot.

    `share` is the part of all shards that a node has at least, if it has the most.

    Raises:
        StorageError: if it certainly has not.
        ValueError: if the file is not a valid archive.
    """
    unpacked = room_of(snapshot).needed_bytes(in_memory=is_in_memory(scratch))
    needed = int((snapshot.stat().st_size + unpacked) * share)
    _require("Comparing the replicas of one node", needed, scratch)


def _require(what: str, needed_bytes: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise StorageError(
            f"{what} needs {needed_bytes:,} bytes in {folder}, but {free:,} are free.", hint=HINT
        )


def no_room(snapshot: Path, scratch: Path) -> StorageError:
    """Return the error of a reader that ran out of space."""
    enough = room_of(snapshot).enough_bytes(in_memory=is_in_memory(scratch))
    return StorageError(
        f"There was not enough space in {scratch} to read {snapshot.name}; "
        f"{enough:,} bytes are enough.",
        hint=HINT,
    )


def is_full(folder: Path) -> bool:
    """Return whether no space is left for what a reader could not write."""
    return shutil.disk_usage(folder).free < FULL_BYTES
