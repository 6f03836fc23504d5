"""Makes exact changes to a snapshot's tar, without changing any other byte.

A fault must look as if Qdrant had written it, so nothing is unpacked and packed again: members are
copied with their raw headers and sparse maps. Only if the size of a member changes, size and
checksum are written again, in its header and in the header of the segment archive around it.
"""

from __future__ import annotations

import dataclasses
import json
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from snapshot_tasks.sealing import tar
from snapshot_tasks.sealing.container import SHARD
from snapshot_tasks.sealing.tar import END_MARKER, NESTED_END_MARKERS
from snapshot_tasks.system.files import CHUNK_BYTES

BLOCK = tar.BLOCK
_SIZE, _CHECKSUM = slice(124, 136), slice(148, 156)
_MAX_OCTAL = 8**11


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member of the file or of a segment archive in it; offsets count from the file's start.

    `name` starts with the archive's name: `0/segments/<id>.tar/snapshot/files/segment.json`. In a
    cluster's file, the archive of a shard is called as the folder of a shard in another file: `0`.
    `extents` are the stored pieces of the logical file, in that order; the rest are holes.
    """

    name: str
    header: int
    data: int
    end: int
    extents: tuple[tuple[int, int], ...]
    is_sparse: bool
    size: int

    @property
    def stored_bytes(self) -> int:
        """How many of its bytes are stored in the archive."""
        return sum(size for _, size in self.extents)

    def position(self, offset: int) -> int | None:
        """Return the position of a byte of the logical file; None in a hole or past the end."""
        stored = self.data
        for start, size in self.extents:
            if start <= offset < start + size:
                return stored + offset - start
            stored += size
        return None

    def offset(self, position: int) -> int:
        """Return the offset in the logical file of the byte at a position of the file."""
        stored = self.data
        for start, size in self.extents:
            if stored <= position < stored + size:
                return start + position - stored
            stored += size
        raise ValueError(f"{self.name} has no stored data at {position:,}")


def read_members(path: Path) -> tuple[Member, ...]:
    """Return all members; those of a segment archive follow the archive."""
    with path.open("rb") as file:
        return tuple(_walk(file))


def read_json(path: Path, member: Member) -> Any:
    """Parse a JSON member."""
    with path.open("rb") as file:
        file.seek(member.data)
        return json.loads(file.read(member.stored_bytes))


def find_once(path: Path, needle: bytes, within: list[Member]) -> tuple[Member, int] | None:
    """Return the member and the position of these bytes; None unless they appear exactly once.

    If they appear twice, one may be an old version of a point, which no reader ever sees.
    """
    found: list[tuple[Member, int]] = []
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for member in within:
            end = member.data + member.stored_bytes
            position = content.find(needle, member.data, end)
            while position >= 0 and len(found) < 2:
                found.append((member, position))
                position = content.find(needle, position + 1, end)
    return found[0] if len(found) == 1 else None


def read_at(path: Path, position: int, size: int) -> bytes:
    """Read bytes of the file."""
    with path.open("rb") as file:
        file.seek(position)
        return file.read(size)


def read_logical(path: Path, member: Member) -> bytes:
    """Return the logical file: what is stored, and zeros for holes."""
    content = bytearray(member.size)
    position = member.data
    with path.open("rb") as file:
        for start, size in member.extents:
            file.seek(position)
            content[start : start + size] = file.read(size)
            position += size
    return bytes(content)


def overwrite(path: Path, position: int, data: bytes) -> None:
    """Change bytes in place."""
    with path.open("r+b") as file:
        file.seek(position)
        file.write(data)


def rewrite(source: Path, target: Path, changes: Mapping[str, bytes | None]) -> None:
    """Copy a snapshot with new contents of some members, and without those that map to None.

    A sparse member becomes a regular one: its new content is the logical file.

    Raises:
        ValueError: if a member to change does not exist.
    """
    with source.open("rb") as file, target.open("w+b") as out:
        left = set(changes)
        _copy_archive(file, tuple(_walk(file)), out, changes, left)
        _copy(file, out, file.tell(), source.stat().st_size)
    if left:
        raise ValueError(f"the archive has no member {', '.join(sorted(left))}")


def _copy_archive(
    file: IO[bytes],
    parts: tuple[Member, ...],
    out: IO[bytes],
    changes: Mapping[str, bytes | None],
    left: set[str],
) -> None:
    """Copy members one by one; afterwards `file` is positioned after the last one."""
    index = 0
    while index < len(parts):
        part = parts[index]
        inner = index + 1
        while inner < len(parts) and parts[inner].header < part.end:
            inner += 1
        within = parts[index + 1 : inner]
        if part.name in changes:
            left.discard(part.name)
            content = changes[part.name]
            if content is not None:
                _write(file, part, content, out)
        elif any(each.name in changes for each in within):
            header = out.tell()
            _copy(file, out, part.header, part.data)
            _copy_archive(file, within, out, changes, left)
            _copy(file, out, file.tell(), part.data + part.stored_bytes)
            _close(out, header, part.data - part.header)
        else:
            _copy(file, out, part.header, part.end)
        file.seek(part.end)
        index = inner


def _write(file: IO[bytes], part: Member, content: bytes, out: IO[bytes]) -> None:
    header = out.tell()
    if part.is_sparse:
        end = _main_header(file, part) + BLOCK
        _copy(file, out, part.header, end - BLOCK)
        file.seek(end - BLOCK)
        out.write(_regular(file.read(BLOCK)))
    else:
        end = part.data
        _copy(file, out, part.header, end)
    out.write(content)
    _close(out, header, end - part.header)


def _main_header(file: IO[bytes], part: Member) -> int:
    """Return the position of a member's header: a long name is stored in blocks before it."""
    file.seek(part.header)
    block = file.read(BLOCK)
    if block[156:157] != b"L":
        return part.header
    name_bytes = int(block[_SIZE].rstrip(b"\0 ") or b"0", 8)
    return part.header + BLOCK + name_bytes + -name_bytes % BLOCK


def _regular(header: bytes) -> bytes:
    """Return the header of a sparse member as that of a regular one, without its map."""
    return header[:156] + b"0" + header[157:386] + bytes(495 - 386) + header[495:]


def _close(out: IO[bytes], header: int, header_bytes: int) -> None:
    """Pad the member that was just written, and write its size and checksum into its header.

    The header is the last block: a long name is stored in separate blocks before it.
    """
    end = out.tell()
    size = end - header - header_bytes
    out.write(bytes(-size % BLOCK))
    back, last_block = out.tell(), header + header_bytes - BLOCK
    out.seek(last_block)
    block = with_size(out.read(BLOCK), size)
    out.seek(last_block)
    out.write(block)
    out.seek(back)


def _copy(file: IO[bytes], out: IO[bytes], start: int, end: int) -> None:
    file.seek(start)
    while start < end:
        chunk = file.read(min(CHUNK_BYTES, end - start))
        if not chunk:
            raise ValueError("the file ends too early")
        out.write(chunk)
        start += len(chunk)


def with_size(header: bytes, size: int) -> bytes:
    """Return a header block with another size and the matching checksum.

    Raises:
        ValueError: if the size cannot be written in octal digits: 8 GiB and more.
    """
    if size >= _MAX_OCTAL:
        raise ValueError(f"a member of {size:,} bytes")
    block = bytearray(header)
    block[_SIZE] = f"{size:011o}\0".encode()
    block[_CHECKSUM] = b" " * 8
    block[_CHECKSUM] = f"{sum(block):07o}\0".encode()
    return bytes(block)


def _walk(file: IO[bytes]) -> Iterator[Member]:
    budget = tar.Budget()
    for entry in tar.members(file, "the file", end_markers=(END_MARKER,), budget=budget):
        found = SHARD.fullmatch(entry.name)
        if not (found and entry.is_file):
            yield from _with_content(file, entry, budget)
            continue
        shard = dataclasses.replace(entry, name=str(int(found[1])))
        yield _placed(shard)
        own = tar.content(file, entry)
        for inner in tar.members(own, entry.name, end_markers=(END_MARKER,), budget=budget):
            yield from _with_content(own, inner, budget, base=entry.data, prefix=f"{shard.name}/")


def _with_content(
    file: IO[bytes], entry: tar.Member, budget: tar.Budget, *, base: int = 0, prefix: str = ""
) -> Iterator[Member]:
    """Yield a member of `file`, which starts at `base`, and those of a segment archive after it."""
    yield _placed(entry, base=base, prefix=prefix)
    if entry.is_file and entry.name.endswith(".tar"):
        if entry.is_sparse:
            raise ValueError(f"{entry.name} is sparse")
        nested = tar.content(file, entry)
        for inner in tar.members(nested, entry.name, end_markers=NESTED_END_MARKERS, budget=budget):
            yield _placed(inner, base=base + entry.data, prefix=f"{prefix}{entry.name}/")


def _placed(entry: tar.Member, *, base: int = 0, prefix: str = "") -> Member:
    return Member(
        name=prefix + entry.name,
        header=base + entry.header,
        data=base + entry.data,
        end=base + entry.end,
        extents=tuple(e for e in entry.extents if e[1] or not entry.is_sparse),
        is_sparse=entry.is_sparse,
        size=entry.size,
    )
