"""The strict check of a snapshot file's structure, without unpacking it.

A collection snapshot is an uncompressed GNU tar: `<shard>/segments/<id>.tar`, `<shard>/wal/…`,
some JSON, and exactly 1,024 zero bytes at its end. The check reads headers and small members
only. It catches truncation, holes over headers, foreign files and missing members; that the
contents are right is the sha256's and the seal's to say.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from snapshot_tasks.errors import Damaged

END_MARKER = bytes(1024)
# Qdrant ends a segment's archive right behind its last member.
NESTED_END_MARKERS = (b"", END_MARKER)
MAX_MEMBERS = 200_000
MAX_JSON_BYTES = 64 << 20
MAX_OFFSET = 1 << 62
_COLLECTION_FILES = ("config.json", "version.info")
_SHARD_FILES = ("shard_config.json", "replica_state.json")
_SEGMENT_FILES = ("segment.json", "version.info")
_HINT = "Take it anew with `inv snapshot.create`, or use an older one from `inv snapshot.list`."


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSummary:
    """What the structure of a sound snapshot file says."""

    shards: tuple[str, ...]
    segments_count: int
    members_count: int
    config: dict[str, Any]


def check_archive(path: Path) -> ArchiveSummary:
    """Walk the archive and its nested segment archives; memory stays constant.

    Raises:
        Damaged: saying which rule is broken and where.
    """
    with path.open("rb") as file:
        try:
            return _Walk(file).summary()
        except (tarfile.TarError, ValueError, EOFError, RecursionError) as error:
            reason = _printable(str(error))
            raise Damaged(f"{path.name} is not a sound snapshot: {reason}.", hint=_HINT) from error


class _Walk:
    """One pass over the outer archive, remembering only names."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._names: set[str] = set()
        self._wal_shards: set[str] = set()
        self._segments: dict[str, int] = {}
        self._documents: dict[str, Any] = {}

    def summary(self) -> ArchiveSummary:
        for archive, member in members(self._file, "the file", end_markers=(END_MARKER,)):
            self._take(archive, member)
        for name in _COLLECTION_FILES:
            self._require(name in self._names, f"{name} is missing")
        config = self._documents["config.json"]
        self._require(isinstance(config, dict), "config.json is not an object")
        shards = tuple(sorted({n.split("/")[0] for n in self._names if "/" in n}, key=_shard_order))
        self._require(bool(shards), "it holds no shard")
        for shard in shards:
            self._check_shard(shard)
        self._check_shard_count(config, shards)
        return ArchiveSummary(
            shards=shards,
            segments_count=sum(self._segments.values()),
            members_count=len(self._names),
            config=config,
        )

    def _take(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        name = member.name.removeprefix("./")
        self._require(_is_plain(name), f"member {name!r} has an unsafe name")
        if member.isdir():
            return
        self._require(member.isreg(), f"member {name!r} is no regular file")
        self._require(name not in self._names, f"member {name!r} stands twice")
        self._names.add(name)
        parts = name.split("/")
        if name.endswith(".json"):
            self._documents[name] = _read_json(archive, member, name)
        elif len(parts) > 2 and parts[1] == "wal":
            self._wal_shards.add(parts[0])
        elif len(parts) == 3 and parts[1] == "segments" and name.endswith(".tar"):
            self._check_segment(archive, member, name)
            self._segments[parts[0]] = self._segments.get(parts[0], 0) + 1

    def _check_segment(self, archive: tarfile.TarFile, member: tarfile.TarInfo, name: str) -> None:
        nested = archive.extractfile(member)
        assert nested is not None
        names = set()
        for inner, entry in members(nested, name, end_markers=NESTED_END_MARKERS):
            self._require(
                _is_plain(entry.name), f"{name}: member {entry.name!r} has an unsafe name"
            )
            self._require(
                entry.isreg() or entry.isdir(), f"{name}: member {entry.name!r} is no regular file"
            )
            if entry.isreg():
                base = entry.name.rsplit("/", 1)[-1]
                names.add(entry.name.removeprefix("snapshot/files/"))
                if base.endswith(".json"):
                    _read_json(inner, entry, f"{name}/{entry.name}")
        for required in _SEGMENT_FILES:
            self._require(required in names, f"{name}: {required} is missing")

    def _check_shard(self, shard: str) -> None:
        for name in _SHARD_FILES:
            self._require(f"{shard}/{name}" in self._names, f"{shard}/{name} is missing")
        self._require(self._segments.get(shard, 0) > 0, f"shard {shard} has no segment")
        self._require(shard in self._wal_shards, f"shard {shard} has no WAL")

    def _check_shard_count(self, config: dict[str, Any], shards: tuple[str, ...]) -> None:
        params = config.get("params", {})
        self._require(isinstance(params, dict), "config.json has no params")
        if params.get("sharding_method") == "custom" or "shard_number" not in params:
            return
        expected = params["shard_number"]
        self._require(
            len(shards) == expected,
            f"config.json says {expected} shards, the file holds {len(shards)}",
        )

    @staticmethod
    def _require(holds: bool, message: str) -> None:
        if not holds:
            raise ValueError(message)


def _shard_order(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdigit() else (1 << 62, name)


def _is_plain(name: str) -> bool:
    return not name.startswith("/") and ".." not in name.split("/") and "\0" not in name


def members(
    file: IO[bytes], label: str, *, end_markers: tuple[bytes, ...]
) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """Yield the members of one archive, then insist that it ends as Qdrant ends it."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    bounded: Any = _Bounded(file)
    with tarfile.open(fileobj=bounded, mode="r:", errorlevel=2) as archive:
        count = 0
        while (member := archive.next()) is not None:
            count += 1
            if member.size < 0 or archive.offset > size + tarfile.BLOCKSIZE:
                raise ValueError(f"{label} has the member {member.name!r} of an impossible size")
            if count > MAX_MEMBERS:
                raise ValueError(f"{label} has more than {MAX_MEMBERS:,} members")
            yield archive, member
            # tarfile remembers every header it has seen; we need none of them again.
            archive.members = []  # type: ignore[attr-defined]
        end = archive.offset
    file.seek(end)
    if end > size or file.read(len(END_MARKER) + 1) not in end_markers:
        raise ValueError(f"{label} is cut, overwritten or continued at byte {end:,} of {size:,}")


class _Bounded:
    """A file that refuses reads and seeks which only a forged header would ask for.

    tarfile reads a long name or a pax header in one piece, however large it says it is.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if size > MAX_JSON_BYTES:
            raise ValueError(f"a header asks for {size:,} bytes")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        if not 0 <= offset < MAX_OFFSET:
            raise ValueError("a header leads out of the file")
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


def _printable(text: str) -> str:
    """Return the text without what a hostile name could do to a terminal or to JSON."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _read_json(archive: tarfile.TarFile, member: tarfile.TarInfo, name: str) -> Any:
    if member.size > MAX_JSON_BYTES:
        raise ValueError(f"{name} is larger than {MAX_JSON_BYTES >> 20} MiB")
    file = archive.extractfile(member)
    assert file is not None
    try:
        return json.loads(file.read())
    except ValueError as error:
        raise ValueError(f"{name} is not JSON ({error})") from error
