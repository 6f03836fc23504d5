"""Small snapshot archives with the layout of Qdrant's own, and ways to break them."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

BLOCK = 512
END = bytes(2 * BLOCK)
_SPARSE_MAP_AT, _REAL_SIZE_AT, _CHECKSUM_AT = 386, 483, 148


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One member to write. `claimed_bytes` is the size in its header, if it is wrong."""

    name: str
    data: bytes = b""
    kind: bytes = tarfile.REGTYPE
    link: str = ""
    claimed_bytes: int | None = None


def archive(entries: Iterable[Entry], *, end: bytes = END) -> bytes:
    """Return a GNU tar of exactly these members, even those that no sane program would write."""
    return b"".join(_header(e) + e.data + bytes(-len(e.data) % BLOCK) for e in entries) + end


def segment(*, without: str = "", also: Iterable[Entry] = (), end: bytes = b"") -> bytes:
    """Return a segment's archive; Qdrant ends it right after its last member."""
    entries = [
        _file("snapshot/files/vector_storage/vectors/config.json", {"chunk_size": 4}),
        Entry(
            name="snapshot/files/vector_storage/vectors/chunk_0.mmap",
            data=b"v" * 700,
            kind=tarfile.GNUTYPE_SPARSE,
        ),
        *also,
        _file("snapshot/files/segment.json", {"version": 7, "config": {}}),
        Entry(name="snapshot/files/version.info", data=b"0.6.0"),
    ]
    return archive((e for e in entries if e.name.rpartition("/")[2] != without), end=end)


def snapshot_entries(*, shards: int = 1, segments: int = 2) -> list[Entry]:
    """Return the members of an intact snapshot, in Qdrant's order."""
    entries: list[Entry] = []
    for shard in range(shards):
        for number in range(segments):
            entries.append(Entry(name=f"{shard}/segments/seg-{number}.tar", data=segment()))
        entries.append(
            Entry(name=f"{shard}/wal/open-1", data=b"w" * 600, kind=tarfile.GNUTYPE_SPARSE)
        )
        entries.append(_file(f"{shard}/replica_state.json", {"is_local": True}))
        entries.append(_file(f"{shard}/shard_config.json", {"type": "ReplicaSet"}))
    params = {"vectors": {"size": 4, "distance": "Cosine"}, "shard_number": shards}
    return [
        *entries,
        Entry(name="version.info", data=b"0.4.2"),
        _file("config.json", {"params": params}),
        _file("shard_key_mapping.json", []),
        _file("payload_index.json", {"schema": {}}),
    ]


def replaced(entries: Iterable[Entry], name: str, data: bytes) -> list[Entry]:
    """Return the members, with other data in one of them."""
    return [Entry(name=e.name, data=data, kind=e.kind) if e.name == name else e for e in entries]


def snapshot_bytes(*, shards: int = 1, segments: int = 2) -> bytes:
    """Return a complete, intact snapshot file."""
    return archive(snapshot_entries(shards=shards, segments=segments))


def write_snapshot(path: Path, content: bytes | None = None) -> Path:
    """Write a snapshot file, by default an intact one."""
    path.write_bytes(snapshot_bytes() if content is None else content)
    return path


def header_offsets(content: bytes, *, start: int = 0, length: int | None = None) -> list[int]:
    """Return the offsets of all headers, including those of the nested segments."""
    part = content[start : None if length is None else start + length]
    offsets: list[int] = []
    with tarfile.open(fileobj=io.BytesIO(part), mode="r:") as tar:
        for member in tar:
            offsets.append(start + member.offset)
            if member.name.endswith(".tar"):
                inner = start + member.offset_data
                offsets += header_offsets(content, start=inner, length=member.size)
    return offsets


def overwritten(content: bytes, offset: int, data: bytes) -> bytes:
    """Return the content with other bytes at one place."""
    return content[:offset] + data + content[offset + len(data) :]


def _file(name: str, value: object) -> Entry:
    return Entry(name=name, data=json.dumps(value).encode())


def _header(entry: Entry) -> bytes:
    info = tarfile.TarInfo(entry.name)
    info.type, info.linkname = entry.kind, entry.link
    info.size = len(entry.data) if entry.claimed_bytes is None else entry.claimed_bytes
    header = info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    if entry.kind != tarfile.GNUTYPE_SPARSE:
        return header
    # Qdrant writes sparse files like this: one piece of data, then a hole up to the real size.
    sparse = bytearray(header)
    pieces = f"{0:011o}\0{len(entry.data):011o}\0".encode()
    sparse[_SPARSE_MAP_AT : _SPARSE_MAP_AT + len(pieces)] = pieces
    sparse[_REAL_SIZE_AT : _REAL_SIZE_AT + 12] = f"{1 << 20:011o}\0".encode()
    sparse[_CHECKSUM_AT : _CHECKSUM_AT + 8] = b" " * 8
    sparse[_CHECKSUM_AT : _CHECKSUM_AT + 8] = f"{sum(sparse):06o}\0 ".encode()
    return bytes(sparse)
