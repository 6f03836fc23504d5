"""Unpacks a snapshot for the reader: defensively, with holes, and without its logs."""

from __future__ import annotations

import os
import sys
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from snapshot_tasks.sealing.archive import MAX_MESSAGE, read_json
from snapshot_tasks.sealing.container import segment_file, storage_members
from snapshot_tasks.sealing.log import count_entries, last_operation
from snapshot_tasks.sealing.room import HINT, require_room
from snapshot_tasks.sealing.tar import NESTED_END_MARKERS, Budget, Member, content, members
from snapshot_tasks.system.errors import Damaged, StorageError
from snapshot_tasks.system.files import CHUNK_BYTES
from snapshot_tasks.system.untrusted import printable

NESTED_PREFIX = "snapshot/files/"
# In growing and in finished segments: the last operation on each point.
VERSIONS_SUFFIX = "id_tracker.versions"
_NUMBER_BYTES = 8
_ZEROS = bytes(CHUNK_BYTES)
_DAMAGE = (
    ValueError,
    EOFError,
    # Two names that are the same on this disk, which may ignore case.
    FileExistsError,
    NotADirectoryError,
    IsADirectoryError,
)


@dataclass(slots=True, kw_only=True)
class Shard:
    """An unpacked shard: its folder, and the operations in its log and its segments.

    `log_end` is the number of the last operation in the log, `applied` the number of the last one
    in the segments, and `newest_point` the number of the last one that changed a point; -1 if none.
    """

    name: str
    folder: Path
    log_entries: dict[str, int] = field(default_factory=dict)
    log_end: int = -1
    applied: int = -1
    newest_point: int = -1

    @property
    def pending_count(self) -> int:
        """How many operations in the log are missing in the segments, or may be missing."""
        return max(0, self.log_end - self.applied)


def unpack(snapshot: Path, scratch: Path) -> tuple[Shard, ...]:
    """Unpack every shard into a folder of `scratch`, in one pass; holes stay holes.

    The archive must have passed `check_archive`, which rejects links and unsafe names. This code
    only ever writes regular files below `scratch`.

    Raises:
        StorageError: if the scratch folder has too little space (nothing is written then), or
            cannot be written to.
        Damaged: if the archive does not contain what it should.
    """
    unpacking = _Unpacking(scratch)
    with snapshot.open("rb") as file:
        try:
            require_room(snapshot, scratch)
            unpacking.take_all(file)
            for shard in unpacking.shards.values():
                shard.log_end = last_operation(shard.log_entries)
                _check_versions(shard)
        except _DAMAGE as error:
            raise Damaged(
                f"Cannot unpack {printable(snapshot.name)}: "
                f"{printable(str(error), limit=MAX_MESSAGE)}.",
                hint="Use an older snapshot from `inv snapshot.list`.",
            ) from error
        except OSError as error:
            raise StorageError(
                f"Cannot unpack the snapshot in {scratch}: {error.strerror or error}.",
                hint=HINT,
            ) from error
    return tuple(unpacking.shards.values())


def point_of_the_future(snapshot: Path) -> str:
    """Say which point has a version that no operation has reached; "" if there is none.

    Nothing is unpacked. The archive must have passed `check_archive`. If a later version writes its
    log in another way, nothing is known.
    """
    walk = _Walk(Path())
    with snapshot.open("rb") as file:
        try:
            walk.take_all(file)
            ends = {shard.name: last_operation(shard.log_entries) for shard in walk.shards.values()}
        except _DAMAGE:
            return ""
    for shard in walk.shards.values():
        shard.log_end = ends[shard.name]
        try:
            _check_versions(shard)
        except ValueError as error:
            return str(error)
    return ""


class _Unpacking:
    """One pass over the archive."""

    def __init__(self, scratch: Path) -> None:
        self.shards: dict[str, Shard] = {}
        self._scratch = scratch
        self._budget = Budget()

    def take_all(self, file: IO[bytes]) -> None:
        """Write the parts of each member that the reader needs, and only count the rest."""
        for source, member in storage_members(file, self._budget):
            parts = member.name.split("/")
            if member.is_file and len(parts) > 1:
                self._take(source, member, parts)

    def _take(self, file: IO[bytes], member: Member, parts: list[str]) -> None:
        shard = self._shard(parts[0])
        if parts[1] == "wal":
            if parts[-1].startswith(("open-", "closed-")):
                shard.log_entries[parts[-1]] = count_entries(content(file, member))
        elif parts[1] == "segments" and parts[-1].endswith(".tar"):
            self._budget.archive(member)
            self._segment(content(file, member), shard, parts[-1].removesuffix(".tar"))
        elif streamed := segment_file(parts):
            self._segment_file(file, member, shard, *streamed)
        else:
            self._write(content(file, member), member, shard.folder / "/".join(parts[1:]))

    def _shard(self, name: str) -> Shard:
        if name not in self.shards:
            self.shards[name] = Shard(name=name, folder=self._scratch / name)
        return self.shards[name]

    def _segment(self, file: IO[bytes], shard: Shard, name: str) -> None:
        if name in ("", ".", ".."):
            raise ValueError("a segment has no name")
        for member in members(file, name, end_markers=NESTED_END_MARKERS, budget=self._budget):
            if not member.is_file or not member.name.startswith(NESTED_PREFIX):
                continue
            path = member.name.removeprefix(NESTED_PREFIX)
            self._segment_file(file, member, shard, name, path)

    def _segment_file(
        self, file: IO[bytes], member: Member, shard: Shard, segment: str, path: str
    ) -> None:
        if path == "segment.json":
            version = _version_of(read_json(file, member, f"{segment}/{path}"))
            shard.applied = max(shard.applied, version)
        elif path.endswith(VERSIONS_SUFFIX):
            shard.newest_point = max(shard.newest_point, _largest(file, member))
        self._write(content(file, member), member, shard.folder / "segments" / segment / path)

    def _write(self, source: IO[bytes], member: Member, target: Path) -> None:
        if not target.resolve().is_relative_to(self._scratch.resolve()):
            raise ValueError(f"member {member.name!r} points outside the temporary folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            for start, size in member.extents:
                source.seek(start)
                file.seek(start)
                _copy(source, file, size)
            file.truncate(member.size)


class _Walk(_Unpacking):
    """The same pass, but nothing is written."""

    def _write(self, source: IO[bytes], member: Member, target: Path) -> None:
        pass


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a folder of regular files; holes stay holes. Raises OSError if it cannot."""
    for path in sorted(source.rglob("*")):
        if path.is_dir():
            continue
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        with path.open("rb") as reader, copy.open("xb") as writer:
            size = path.stat().st_size
            _copy(reader, writer, size)
            writer.truncate(size)


def _check_versions(shard: Shard) -> None:
    """Reject points from the future: Qdrant would confirm later writes to them and drop these."""
    last = max(shard.log_end, shard.applied)
    if shard.newest_point > last:
        raise ValueError(
            f"in shard {shard.name}, a point was changed by operation {shard.newest_point:,}, but "
            f"the last operation was {last:,}"
        )


def _largest(file: IO[bytes], member: Member) -> int:
    """Return the largest of the 64-bit numbers in a file, or -1; holes are not read."""
    whole = member.size - member.size % _NUMBER_BYTES
    largest = 0 if whole else -1
    source = content(file, member)
    for start, size in member.extents:
        # A number may begin before a piece, or end after it.
        position = start - start % _NUMBER_BYTES
        end = min(whole, start + size + -(start + size) % _NUMBER_BYTES)
        source.seek(position)
        while position < end:
            data = source.read(min(end - position, CHUNK_BYTES))
            if not data or len(data) % _NUMBER_BYTES:
                raise EOFError("unexpected end of data")
            numbers = array("Q", data)
            if sys.byteorder == "big":
                numbers.byteswap()
            largest = max(largest, *numbers)
            position += len(data)
    return largest


def _copy(source: IO[bytes], target: IO[bytes], size: int) -> None:
    """Copy bytes; a chunk of zeros becomes a hole, because it may have been one."""
    while size > 0:
        chunk = source.read(min(size, CHUNK_BYTES))
        if not chunk:
            raise EOFError("unexpected end of data")
        if chunk == _ZEROS[: len(chunk)]:
            target.seek(len(chunk), os.SEEK_CUR)
        else:
            target.write(chunk)
        size -= len(chunk)


def _version_of(segment: Any) -> int:
    """Return the number of the last operation that a segment applied, or -1 if none."""
    version = segment.get("version", "") if isinstance(segment, dict) else ""
    if version is None:
        return -1
    if isinstance(version, bool) or not isinstance(version, int):
        raise ValueError("a segment has no version")
    return version
