"""The file of a cluster's snapshot: a plain tar of each shard's own snapshot file.

`shard-<id>.snapshot` in the order of the ids, as Qdrant made them, then `shards.json`, which says
of which shard each one is. A shard's file does not, and Qdrant never checks it. `tar -xf` gives
files that Qdrant takes. All sizes are known before, so every shard is written straight to its
place, by several threads at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from snapshot_tasks.domain.shards import ShardSet
from snapshot_tasks.sealing.tar import BLOCK, END_MARKER, Budget, Member, content, members
from snapshot_tasks.system.errors import Damaged
from snapshot_tasks.system.files import CHUNK_BYTES, sha256_of_open
from snapshot_tasks.system.untrusted import JsonObject, parse_json, typed

DESCRIPTION = "shards.json"
SHARD = re.compile(r"shard-(0|[1-9][0-9]{0,9})\.snapshot")
SCHEMA = 1
# A shard of a cluster of a hundred nodes takes 300 bytes.
MAX_DESCRIPTION_BYTES = 4 << 20
# The parts of a segment in a streamed shard; otherwise a segment is an archive of its own.
STREAMED = "files"
# A place is asked so often whether it has more bytes.
FOLLOW_SECONDS = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What the file says about itself, so that it can be restored without its manifest."""

    shard_set: ShardSet
    config: JsonObject
    payload_schema: JsonObject
    qdrant_version: str

    def dump(self) -> bytes:
        """Return the bytes of the file's last member."""
        document = {
            "schema": SCHEMA,
            "qdrant_version": self.qdrant_version,
            **self.shard_set.as_json(),
            "config": self.config,
            "payload_schema": self.payload_schema,
        }
        return json.dumps(document, indent=2, sort_keys=True).encode() + b"\n"

    @classmethod
    def parse(cls, data: bytes) -> Description:
        """Parse what `dump` wrote. Raises ValueError if it is something else, or newer."""
        document: Any = parse_json(data, strict=True)
        try:
            if typed(document, "schema", int) > SCHEMA:
                raise ValueError(f"{DESCRIPTION} is of a later version of this project")
            return cls(
                shard_set=ShardSet.from_json(document),
                config=typed(document, "config", dict),
                payload_schema=typed(document, "payload_schema", dict),
                qdrant_version=typed(document, "qdrant_version", str),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"{DESCRIPTION} is not valid: {error}") from error


def shard_name(shard_id: int) -> str:
    """Return the name of the member that is a shard's own file."""
    return f"shard-{shard_id}.snapshot"


class Writer:
    """Writes a container: places for the shards first, then their bytes in any order."""

    def __init__(self, file: IO[bytes], *, start: int = 0) -> None:
        self._descriptor = file.fileno()
        self._end = start
        self._places: list[Place] = []
        self._digest, self._hashed_bytes = hashlib.sha256(), start

    def place(self, shard_id: int, size_bytes: int) -> Place:
        """Make the place for the next shard. Its bytes may be written by another thread."""
        return self._place(shard_name(shard_id), size_bytes)

    def open_place(self, shard_id: int) -> Place:
        """Make a place of unknown size, after which nothing can be placed until it is closed."""
        return self._place(shard_name(shard_id), None)

    def close(self, place: Place) -> int:
        """Write the size of an open place, and return it in bytes."""
        size = place.written_bytes
        self._end = place.start - BLOCK
        self._places.remove(place)
        self._place(place.name, size).written_bytes = size
        return size

    def follow(self, go_on: Callable[[], None], *, until: Callable[[], bool]) -> None:
        """Hash what has been placed, in the order of the file, while other threads write it.

        `go_on` is called now and then; it raises if this must not go on. It ends when there are no
        more places to come, which `until` says, and all are written.
        """
        while not until() or self._hashed_bytes < self._end:
            go_on()
            if not self._hash_to(self._complete_to()):
                time.sleep(FOLLOW_SECONDS)

    def sha256(self) -> str:
        """Return the SHA-256 of the file, after `finish`; what was followed is not read again."""
        self._hash_to(os.fstat(self._descriptor).st_size)
        return self._digest.hexdigest()

    def finish(self, description: Description | None = None) -> int:
        """Write the description and the end, and return the size of the whole file in bytes."""
        if description:
            data = description.dump()
            self._place(DESCRIPTION, len(data)).write(data)
        size = self._end + len(END_MARKER)
        os.ftruncate(self._descriptor, size)
        return size

    def _complete_to(self) -> int:
        """Return up to where all bytes are written."""
        # Taken first: another thread may add a place meanwhile, of which nothing is written yet.
        end = self._end
        for place in self._places:
            if place.written_bytes < (place.size_bytes or 0):
                return place.start + place.written_bytes
        return end

    def _hash_to(self, end: int) -> bool:
        """Hash the next bytes up to there; return whether there were any."""
        start = self._hashed_bytes
        while count := min(end - self._hashed_bytes, CHUNK_BYTES):
            chunk = os.pread(self._descriptor, count, self._hashed_bytes)
            self._digest.update(chunk)
            self._hashed_bytes += len(chunk)
        return self._hashed_bytes > start

    def _place(self, name: str, size_bytes: int | None) -> Place:
        header = tarfile.TarInfo(name)
        header.size = size_bytes or 0
        os.pwrite(self._descriptor, header.tobuf(tarfile.GNU_FORMAT), self._end)
        place = Place(self._descriptor, name, self._end + BLOCK, size_bytes)
        self._places.append(place)
        self._end = place.start + header.size + -header.size % BLOCK
        # The padding, and all that is not written yet.
        os.ftruncate(self._descriptor, self._end)
        return place


class Place:
    """Where one shard's bytes go: `start` is that of the first byte. An open place has no size."""

    def __init__(self, descriptor: int, name: str, start: int, size_bytes: int | None) -> None:
        self.name = name
        self.start = start
        self.size_bytes = size_bytes
        self.written_bytes = 0
        self._descriptor = descriptor

    def write(self, data: bytes) -> None:
        """Write the next bytes. Raises `Damaged` if they are more than there is place for."""
        if self.size_bytes is not None and self.written_bytes + len(data) > self.size_bytes:
            raise Damaged(
                f"More bytes of {self.name} came than Qdrant had announced.",
                hint="Run this again. If it happens again, check the network to that node.",
            )
        view = memoryview(data)
        while view:
            written = os.pwrite(self._descriptor, view, self.start + self.written_bytes)
            self.written_bytes += written
            view = view[written:]


def storage_members(file: IO[bytes], budget: Budget) -> Iterator[tuple[IO[bytes], Member]]:
    """Yield each member of a snapshot file, and the file to read its content from.

    In a container, a shard's members have the names that they have in a collection's snapshot:
    `<shard>/segments/…`.

    Raises:
        ValueError: if anything was not written by Qdrant or by `Writer`.
    """
    before = ""
    for member in members(file, "the file", end_markers=(END_MARKER,), budget=budget):
        found = SHARD.fullmatch(member.name) if member.is_file else None
        kind = _kind_of(member, found)
        if not _follows(before, kind):
            raise ValueError(f"member {member.name!r} is not in its place")
        before = kind
        if not found:
            yield file, member
            continue
        shard = content(file, member)
        for inner in members(shard, member.name, end_markers=(END_MARKER,), budget=budget):
            yield shard, replace(inner, name=f"{int(found[1])}/{inner.name}")


def _kind_of(member: Member, shard: re.Match[str] | None) -> str:
    if shard:
        return "shard"
    return "description" if member.name == DESCRIPTION else "other"


def _follows(before: str, kind: str) -> bool:
    """Return whether a member may come next: shards and then their description, or neither."""
    if kind == "description":
        return before == "shard"
    return before in ("", kind)


def segment_file(parts: list[str]) -> tuple[str, str] | None:
    """Return segment and path of a streamed `<shard>/segments/<id>/files/…`; else None."""
    is_one = len(parts) > 4 and parts[1] == "segments" and parts[3] == STREAMED
    return (parts[2], "/".join(parts[4:])) if is_one else None


def read_description(file: IO[bytes], member: Member) -> Description:
    """Read a container's description. Raises ValueError if it is not one."""
    if member.size > MAX_DESCRIPTION_BYTES:
        raise ValueError(f"{DESCRIPTION} is larger than {MAX_DESCRIPTION_BYTES >> 20} MiB")
    return Description.parse(content(file, member).read())


def shard_members(path: Path) -> dict[int, Member]:
    """Return the member of each shard of a container that has passed `check_archive`."""
    with path.open("rb") as file:
        return {
            int(found[1]): member
            for member in members(file, "the file", end_markers=(END_MARKER,), budget=Budget())
            if (found := SHARD.fullmatch(member.name))
        }


@contextmanager
def open_shard(path: Path, member: Member) -> Iterator[IO[bytes]]:
    """Open one shard's own file inside a container, for the block."""
    with path.open("rb") as file:
        yield content(file, member)


def other_shards(path: Path, shard_set: ShardSet) -> list[int]:
    """Return the shards of a container whose bytes are not those that a description speaks of.

    The container must have passed `check_archive`, with this description.
    """
    found = shard_members(path)
    return [
        shard.id for shard in shard_set.shards if _sha256(path, found[shard.id]) != shard.sha256
    ]


def _sha256(path: Path, member: Member) -> str:
    with open_shard(path, member) as file:
        return sha256_of_open(file)
