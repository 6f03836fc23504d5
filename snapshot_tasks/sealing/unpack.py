"""Unpack a snapshot for the in-process engine: defensively, sparsely, without its logs."""

from __future__ import annotations

import json
import shutil
import sys
import tarfile
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from snapshot_tasks.archive import END_MARKER, NESTED_END_MARKERS, members
from snapshot_tasks.errors import Damaged, StorageError
from snapshot_tasks.files import CHUNK_BYTES
from snapshot_tasks.sealing.wal import count_entries, last_operation

NESTED_PREFIX = "snapshot/files/"
MAX_LOGICAL_BYTES = 1 << 42
SPACE_MARGIN = 1.1
# Of segments that still grow and of finished ones: for each point, the last operation on it.
VERSIONS_SUFFIX = "id_tracker.versions"
_DAMAGE = (
    tarfile.TarError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    RecursionError,
    # A member that stands twice, or below another one that is a file.
    FileExistsError,
    NotADirectoryError,
)


@dataclass(slots=True, kw_only=True)
class Shard:
    """An unpacked shard: its folder, and what its log and its segments say of operations.

    `log_end` is the number of the last operation in the log, `applied` that of the last one in the
    segments, and `newest_point` the largest that a point was last changed by; -1 for none.
    """

    name: str
    folder: Path
    log_entries: dict[str, int] = field(default_factory=dict)
    log_end: int = -1
    applied: int = -1
    newest_point: int = -1

    @property
    def pending_count(self) -> int:
        """How many operations are in the log that the segments lack, or may lack."""
        return max(0, self.log_end - self.applied)


def unpack(snapshot: Path, scratch: Path) -> tuple[Shard, ...]:
    """Unpack every shard into a folder of `scratch`, in one pass; holes stay holes.

    The archive must have passed `check_archive`, which refuses links and unsafe names; here nothing
    is ever written but regular files below `scratch`.

    Raises:
        StorageError: when the scratch folder has no room for it (nothing is written then), or
            cannot be written to.
        Damaged: when the archive does not hold what it should.
    """
    free = shutil.disk_usage(scratch).free
    needed = int(snapshot.stat().st_size * SPACE_MARGIN)
    if free < needed:
        raise StorageError(
            f"Reading the snapshot takes {needed:,} bytes in {scratch}, free are {free:,}.",
            hint="Set TMPDIR to a folder with more room.",
        )
    unpacking = _Unpacking(scratch)
    with snapshot.open("rb") as file:
        try:
            for archive, member in members(file, "the file", end_markers=(END_MARKER,)):
                unpacking.take(archive, member)
            for shard in unpacking.shards.values():
                shard.log_end = last_operation(shard.log_entries)
                _check_versions(shard)
        except _DAMAGE as error:
            raise Damaged(
                f"{snapshot.name} cannot be unpacked: {error}.",
                hint="Use an older snapshot from `inv snapshot.list`.",
            ) from error
        except OSError as error:
            raise StorageError(
                f"The snapshot cannot be unpacked in {scratch}: {error.strerror or error}.",
                hint="Set TMPDIR to a folder with more room.",
            ) from error
    return tuple(unpacking.shards.values())


class _Unpacking:
    """One pass over the archive."""

    def __init__(self, scratch: Path) -> None:
        self.shards: dict[str, Shard] = {}
        self._scratch = scratch
        self._logical_bytes = 0

    def take(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        if not member.isreg():
            return
        parts = _parts(member.name)
        if len(parts) < 2:
            return
        shard = self._shard(parts[0])
        content = archive.extractfile(member)
        assert content is not None
        if parts[1] == "wal":
            if parts[-1].startswith(("open-", "closed-")):
                shard.log_entries[parts[-1]] = count_entries(content)
        elif parts[1] == "segments" and parts[-1].endswith(".tar"):
            self._segment(content, shard, parts[-1].removesuffix(".tar"))
        else:
            self._write(content, member, shard.folder / "/".join(parts[1:]))

    def _shard(self, name: str) -> Shard:
        if name not in self.shards:
            self.shards[name] = Shard(name=name, folder=self._scratch / name)
        return self.shards[name]

    def _segment(self, file: IO[bytes], shard: Shard, name: str) -> None:
        for archive, member in members(file, name, end_markers=NESTED_END_MARKERS):
            if not member.isreg() or not member.name.startswith(NESTED_PREFIX):
                continue
            content = archive.extractfile(member)
            assert content is not None
            path = "/".join(_parts(member.name.removeprefix(NESTED_PREFIX)))
            if path == "segment.json":
                shard.applied = max(shard.applied, _version_of(json.loads(content.read())))
                content.seek(0)
            elif path.endswith(VERSIONS_SUFFIX):
                shard.newest_point = max(shard.newest_point, _largest(content, member.size))
                content.seek(0)
            self._write(content, member, shard.folder / "segments" / name / path)

    def _write(self, content: IO[bytes], member: tarfile.TarInfo, target: Path) -> None:
        if not target.resolve().is_relative_to(self._scratch.resolve()):
            raise ValueError(f"member {member.name!r} leads out of the scratch folder")
        self._logical_bytes += member.size
        if self._logical_bytes > MAX_LOGICAL_BYTES:
            raise ValueError("its files are unreasonably large")
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            for start, size in _extents(member):
                content.seek(start)
                file.seek(start)
                _copy(content, file, size)
            file.truncate(member.size)


def _check_versions(shard: Shard) -> None:
    """Refuse points from the future: Qdrant would confirm later writes to them and drop them."""
    last = max(shard.log_end, shard.applied)
    if shard.newest_point > last:
        raise ValueError(
            f"in shard {shard.name} a point was changed by operation {shard.newest_point:,}, but"
            f" the last one was {last:,}"
        )


def _largest(versions: IO[bytes], size: int) -> int:
    """Return the largest of the 64-bit numbers in a file, -1 for none."""
    largest = [-1]
    while size >= 8:
        chunk = array("Q", versions.read(min(size - size % 8, CHUNK_BYTES)))
        if sys.byteorder == "big":
            chunk.byteswap()
        if not chunk:
            raise EOFError("unexpected end of data")
        largest.append(max(chunk))
        size -= 8 * len(chunk)
    return max(largest)


def _parts(name: str) -> list[str]:
    """Return the parts of a member's name, none of which leads anywhere else."""
    parts = name.removeprefix("./").split("/")
    if not {"", ".", ".."}.isdisjoint(parts):
        raise ValueError(f"member {name!r} has an unsafe name")
    return parts


def _extents(member: tarfile.TarInfo) -> list[tuple[int, int]]:
    """Return where a member's file has data; between lie holes."""
    sparse: list[tuple[int, int]] | None = getattr(member, "sparse", None)
    return [(0, member.size)] if sparse is None else sparse


def _copy(source: IO[bytes], target: IO[bytes], size: int) -> None:
    while size > 0:
        chunk = source.read(min(size, CHUNK_BYTES))
        if not chunk:
            raise EOFError("unexpected end of data")
        target.write(chunk)
        size -= len(chunk)


def _version_of(segment: Any) -> int:
    """Return the number of the last operation that a segment applied, -1 for none."""
    version = segment["version"]
    return -1 if version is None else int(version)
