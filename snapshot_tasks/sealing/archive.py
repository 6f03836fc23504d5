"""The strict check of a snapshot file's structure, without unpacking it.

A collection snapshot is an uncompressed GNU tar: `<shard>/segments/<id>.tar`, `<shard>/wal/…`,
some JSON, and exactly 1,024 zero bytes at its end. The check only reads headers and small members.
It catches truncation, holes over headers, foreign files, missing members, and anything that only
an attacker would write (`tar.py`). The SHA-256 and the seal check that the contents are right.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from snapshot_tasks.domain.cluster import ShardKey, replica_problem, shard_keys
from snapshot_tasks.domain.segments import uses_rocksdb
from snapshot_tasks.sealing.container import (
    DESCRIPTION,
    Description,
    read_description,
    segment_file,
    storage_members,
)
from snapshot_tasks.sealing.tar import NESTED_END_MARKERS, Budget, Member, content, members
from snapshot_tasks.system.errors import Damaged, Refused
from snapshot_tasks.system.files import CHUNK_BYTES
from snapshot_tasks.system.untrusted import parse_json, printable

# Measured: 2 kB. A large one in a segment (the terms of a sparse index) is only skimmed.
MAX_JSON_BYTES = 4 << 20
MAX_MESSAGE = 300
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"PK\x03\x04": "zip",
    b"\x04\x22\x4d\x18": "lz4",
}
_SHARD = re.compile("[0-9]{1,10}")
_COLLECTION_FILES = ("config.json", "version.info")
# What a shard has in its own folder, and the snapshot of a shard has at its root.
_SHARD_FOLDERS = ("segments", "wal")
_SHARD_FILES = ("shard_config.json", "replica_state.json")
_SEGMENT_FILES = ("segment.json", "version.info")
# Copies of a segment's databases; only versions before 1.18 make them.
_ROCKSDB = ("snapshot/db_backup/", "snapshot/payload_index_db_backup/")
_HINT = "Take a new one with `inv snapshot.create`, or use an older one from `inv snapshot.list`."
UNPACK = (
    "A gateway or another tool compressed it. Unpack it (for gzip: `gunzip < FILE > NEW_FILE`), and"
    " use the unpacked file."
)


class WholeStorage(Refused):
    """The file is a snapshot of all collections."""


class OfOneShard(Refused):
    """The file is a snapshot of one shard."""


class Compressed(ValueError):
    """The whole file is compressed; what is in it may be intact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSummary:
    """The facts in the structure of a valid snapshot file."""

    shards: tuple[str, ...]
    segments_count: int
    members_count: int
    config: dict[str, Any]
    shard_keys: tuple[ShardKey, ...] = ()
    uses_rocksdb: bool = False
    description: Description | None = None


def check_archive(path: Path) -> ArchiveSummary:
    """Walk the archive and its nested segment archives, in bounded memory.

    Raises:
        Damaged: if a rule is broken; the message says which one and where.
        WholeStorage: if it is a snapshot of all collections.
        OfOneShard: if it is a snapshot of one shard.
        Refused: if a node of a cluster made it, and did not have all of the current data.
    """
    with path.open("rb") as file:
        try:
            _refuse_no_tar(file.read(8))
            return _Walk(file, path.name).summary()
        except ValueError as error:
            reason = printable(str(error), limit=MAX_MESSAGE)
            name = printable(path.name)
            hint = UNPACK if isinstance(error, Compressed) else _HINT
            raise Damaged(f"{name} is not a valid snapshot: {reason}.", hint=hint) from error


def read_json(file: IO[bytes], member: Member, name: str) -> Any:
    """Parse a JSON member as strictly as Qdrant does.

    Raises:
        ValueError: if it is too large or not valid JSON.
    """
    if member.size > MAX_JSON_BYTES:
        raise ValueError(f"{name} is larger than {MAX_JSON_BYTES >> 20} MiB")
    try:
        return parse_json(content(file, member).read(), strict=True)
    except ValueError as error:
        raise ValueError(f"{name} is not JSON ({error})") from error


class _Walk:
    """One pass over the outer archive that only remembers names."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file = file
        self._file_name = name
        self._budget = Budget()
        self._names: set[str] = set()
        self._wal_shards: set[str] = set()
        self._segments: dict[str, int] = {}
        self._config: Any = None
        self._keys: tuple[ShardKey, ...] = ()
        self._partial: dict[str, str] = {}
        self._uses_rocksdb = False
        self._files_count = 0
        self._description: Description | None = None
        # What is still missing in each streamed segment.
        self._left: dict[str, set[str]] = {}

    def summary(self) -> ArchiveSummary:
        for source, member in storage_members(self._file, self._budget):
            if member.is_file:
                self._take(source, member)
        self._refuse_whole_storage()
        for name in (DESCRIPTION,) if self._description else _COLLECTION_FILES:
            _require(name in self._names, f"{name} is missing")
        config = self._config
        _require(isinstance(config, dict), "config.json is not an object")
        shards = tuple(sorted({n.split("/")[0] for n in self._names if "/" in n}, key=int))
        _require(bool(shards), "it contains no shard")
        self._refuse_partial()
        for shard in shards:
            self._check_shard(shard)
        self._check_shard_count(config, shards)
        return ArchiveSummary(
            shards=shards,
            segments_count=sum(self._segments.values()),
            members_count=self._files_count,
            config=config,
            shard_keys=self._keys,
            uses_rocksdb=self._uses_rocksdb,
            description=self._description,
        )

    def _take(self, file: IO[bytes], member: Member) -> None:
        name, parts = member.name, member.name.split("/")
        self._files_count += 1
        if len(parts) > 1 and parts[0] in _SHARD_FOLDERS:
            self._refuse_of_one_shard()
        if len(parts) > 1:
            _require(bool(_SHARD.fullmatch(parts[0])), f"member {name!r} is not in a shard")
            shard = parts[0]
            # Only the files that a shard must have, not a million files of its log.
            self._names.add(name if len(parts) == 2 and parts[1] in _SHARD_FILES else f"{shard}/")
        elif name in (DESCRIPTION, *_COLLECTION_FILES):
            self._names.add(name)
        if name == DESCRIPTION:
            self._describe(read_description(file, member))
        elif streamed := segment_file(parts):
            self._streamed(file, member, parts[0], *streamed)
        elif name.endswith(".json"):
            self._take_json(name, parts, read_json(file, member, name))
        elif len(parts) > 2 and parts[1] == "wal":
            self._wal_shards.add(parts[0])
        if name.endswith(".tar"):
            in_place = len(parts) == 3 and parts[1] == "segments"
            _require(in_place, f"unexpected archive {name!r}")
            self._check_segment(file, member, name)
            self._segments[parts[0]] = self._segments.get(parts[0], 0) + 1

    def _take_json(self, name: str, parts: list[str], document: Any) -> None:
        if name == "config.json":
            self._config = document
        elif name == "shard_key_mapping.json":
            self._keys = shard_keys(document)
        elif parts[1:] == ["replica_state.json"] and (
            problem := replica_problem(parts[0], document)
        ):
            self._partial[parts[0]] = problem

    def _describe(self, description: Description) -> None:
        self._description = description
        self._config = description.config
        self._keys = description.shard_set.shard_keys

    def _streamed(
        self, file: IO[bytes], member: Member, shard: str, segment: str, path: str
    ) -> None:
        """Take a file of a segment that is no archive of its own."""
        name = f"{shard}/segments/{segment}"
        self._left.setdefault(name, set(_SEGMENT_FILES)).discard(path)
        if path == "segment.json":
            self._segments[shard] = self._segments.get(shard, 0) + 1
            self._uses_rocksdb |= uses_rocksdb(read_json(file, member, f"{name}/{path}"))
        elif path.endswith(".json"):
            _check_json(file, member, f"{name}/{path}")

    def _check_segment(self, file: IO[bytes], member: Member, name: str) -> None:
        self._budget.archive(member)
        nested = content(file, member)
        left = set(_SEGMENT_FILES)
        for entry in members(nested, name, end_markers=NESTED_END_MARKERS, budget=self._budget):
            if not entry.is_file:
                continue
            _require(
                not entry.name.endswith(".tar"), f"{name} contains another archive, {entry.name!r}"
            )
            self._uses_rocksdb |= entry.name.startswith(_ROCKSDB)
            left.discard(entry.name.removeprefix("snapshot/files/"))
            if entry.name == "snapshot/files/segment.json":
                document = read_json(nested, entry, f"{name}/{entry.name}")
                self._uses_rocksdb |= uses_rocksdb(document)
            elif entry.name.endswith(".json"):
                _check_json(nested, entry, f"{name}/{entry.name}")
        for required in sorted(left):
            raise ValueError(f"{name}: {required} is missing")

    def _check_shard(self, shard: str) -> None:
        for name in _SHARD_FILES:
            _require(f"{shard}/{name}" in self._names, f"{shard}/{name} is missing")
        _require(self._segments.get(shard, 0) > 0, f"shard {shard} has no segment")
        streamed = {name: left for name, left in self._left.items() if name.startswith(f"{shard}/")}
        for name, left in streamed.items():
            for required in sorted(left):
                raise ValueError(f"{name}: {required} is missing")
        _require(bool(streamed) or shard in self._wal_shards, f"shard {shard} has no WAL")

    def _refuse_partial(self) -> None:
        """Refuse a node's part of a collection before its empty shards look like damage."""
        if not self._partial:
            return
        reasons = "; ".join(self._partial[shard] for shard in sorted(self._partial, key=int))
        raise Refused(
            f"{printable(self._file_name)} is one node's part of a collection:"
            f" {printable(reasons, limit=MAX_MESSAGE)}.",
            hint="It is not a backup of the whole collection. Take one with `inv snapshot.create`,"
            " with every node in QDRANT_CLUSTER_URLS.",
        )

    def _refuse_of_one_shard(self) -> None:
        """Refuse a snapshot of a shard, which does not say of which shard it is."""
        raise OfOneShard(
            f"{printable(self._file_name)} is a snapshot of one shard, not of a collection.",
            hint="Take one of the whole collection with `inv snapshot.create`. Qdrant restores this"
            " file only into a shard that exists (POST …/shards/ID/snapshots/upload), and does not"
            " check that it is the right one.",
        )

    def _refuse_whole_storage(self) -> None:
        """Refuse a snapshot of all collections, which only a starting server can restore."""
        if isinstance(self._config, dict) and "collections_mapping" in self._config:
            raise WholeStorage(
                f"{printable(self._file_name)} is a snapshot of the whole storage, not of a"
                " collection.",
                hint="It holds one of each collection: unpack it (`tar -xf FILE`), and use `inv"
                " snapshot.import` on each. Or take new ones with `inv snapshot.create --all`."
                " Qdrant restores this file only at its start (--storage-snapshot).",
            )

    def _check_shard_count(self, config: dict[str, Any], shards: tuple[str, ...]) -> None:
        if self._description:
            described = [str(shard.id) for shard in self._description.shard_set.shards]
            _require(
                list(shards) == described, f"{DESCRIPTION} lists other shards than it contains"
            )
            return
        params = config.get("params", {})
        _require(isinstance(params, dict), "config.json has no params")
        if params.get("sharding_method") == "custom" or "shard_number" not in params:
            return
        expected = params["shard_number"]
        _require(
            len(shards) == expected,
            f"config.json says {expected!r} shards, but the file contains {len(shards)}",
        )


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)


def _refuse_no_tar(start: bytes) -> None:
    _require(bool(start), "it is empty")
    for magic, name in _COMPRESSED.items():
        if start.startswith(magic):
            raise Compressed(f"it is compressed ({name}), but Qdrant's are not")


def _check_json(file: IO[bytes], member: Member, name: str) -> None:
    """Parse a segment's JSON; only check that a large one is text from bracket to bracket."""
    if member.size <= MAX_JSON_BYTES or name.endswith("/segment.json"):
        read_json(file, member, name)
        return
    reader, decoder = content(file, member), codecs.getincrementaldecoder("utf-8")()
    first = last = ""
    while data := reader.read(CHUNK_BYTES):
        text = decoder.decode(data).strip()
        first, last = first or text[:1], text[-1:] or last
        # A hole, or a part that was never written.
        _require("\0" not in text, f"{name} is not JSON (zero bytes)")
    decoder.decode(b"", final=True)
    _require(first + last in ("{}", "[]"), f"{name} is not JSON (truncated)")
