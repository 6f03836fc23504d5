"""A strict reader of the kind of tar that Qdrant writes: GNU headers, files, folders and holes.

A snapshot may come from anyone. Python's tarfile accepts much that Qdrant never writes (pax headers
that override a name or a size, four notations of holes, links, negative sizes), reads as much at
once as a header asks for, and keeps everything that it has read. This reader rejects everything
that Qdrant does not write, and counts everything that it must remember against a `Budget`. So no
two readers can see different files in one archive, and memory and time are limited by the number
of bytes in the file.
"""

from __future__ import annotations

import io
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

BLOCK = 512
# Qdrant's archives end with exactly this.
END_MARKER = bytes(1024)
# Qdrant ends a segment's archive directly after its last member.
NESTED_END_MARKERS = (b"", END_MARKER)
_MAGICS = (b"ustar  \0", b"ustar\x0000")
_FILES, _FOLDER, _SPARSE, _LONG_NAME = (b"0", b"\0"), b"5", b"S", b"L"
_OCTAL = re.compile(rb" *[0-7]* *")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_SPARSE_ENTRY, _IN_HEADER, _IN_EXTENSION = 24, 4, 21

# All limits are for a whole file with its segment archives. Measured: 40 members per segment, names
# of up to 88 bytes five folders deep, 6 pieces in a sparse file, 125 MB of holes per segment. A few
# hundred segments are many, so each limit is a hundred times as large, and no larger.
MAX_MEMBERS = 500_000
MAX_NAMES_BYTES = 48 << 20
MAX_NAME_BYTES = 4096
MAX_PART_BYTES = 255
MAX_DEPTH = 32
MAX_EXTENTS = 200_000
MAX_HOLE_BYTES = 1 << 40
# Holes that must be read: a compressing file system may show holes in a segment's archive.
MAX_ARCHIVE_HOLE_BYTES = 64 << 30
MAX_OFFSET = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A file or a folder. `header` is the start of its first header, `end` that of the next.

    `size` is the size of the logical file. `extents` are its stored pieces, in their order from
    `data` on; the rest are holes.
    """

    name: str
    is_file: bool
    is_sparse: bool
    header: int
    data: int
    end: int
    size: int
    extents: tuple[tuple[int, int], ...]


class Budget:
    """How much of a file may still be remembered or read."""

    def __init__(self) -> None:
        self._members = 0
        self._names_bytes = 0
        self._hole_bytes = 0
        self._archive_hole_bytes = 0

    def member(self, member: Member) -> None:
        """Count a member and its holes. Raises ValueError if it is one too many."""
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise ValueError(f"it has more than {MAX_MEMBERS:,} members")
        self._hole_bytes += holes_of(member)
        if self._hole_bytes > MAX_HOLE_BYTES:
            raise ValueError("its files exceed the size limit")

    def name(self, name: str) -> None:
        """Count a name that is kept. Raises ValueError if all names together are too long."""
        self._names_bytes += len(name)
        if self._names_bytes > MAX_NAMES_BYTES:
            raise ValueError("its names exceed the length limit")

    def archive(self, member: Member) -> None:
        """Count the holes of a segment's archive. Raises ValueError if they are too large."""
        self._archive_hole_bytes += holes_of(member)
        if self._archive_hole_bytes > MAX_ARCHIVE_HOLE_BYTES:
            raise ValueError("its segments exceed the size limit")


def holes_of(member: Member) -> int:
    """Return how many bytes of a member are not stored."""
    return member.size - sum(size for _, size in member.extents)


def members(
    file: IO[bytes], label: str, *, end_markers: tuple[bytes, ...], budget: Budget
) -> Iterator[Member]:
    """Yield the members of one archive, then check that it ends as Qdrant's archives do.

    Raises:
        ValueError: if anything was not written by Qdrant.
    """
    size, position, names = file.seek(0, io.SEEK_END), 0, _Names(budget)
    while block := _header_at(file, position, size, label):
        member = _member(file, position, block, label)
        if member.end > size:
            break
        budget.member(member)
        if not (member.name == "." and not member.is_file):
            names.take(member, label)
            yield member
        position = member.end
    file.seek(position)
    if file.read(max(map(len, end_markers)) + 1) not in end_markers:
        raise ValueError(
            f"{label} is truncated, overwritten or too long at byte {position:,} of {size:,}"
        )


def content(file: IO[bytes], member: Member) -> IO[bytes]:
    """Return a reader of a member's logical file."""
    return io.BufferedReader(_Content(file, member))


class _Names:
    """The names of one archive: each appears once, and nothing is inside a file."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def take(self, member: Member, label: str) -> None:
        name = member.name
        parts = name.split("/")
        for end in range(1, len(parts)):
            self._folder("/".join(parts[:end]), name, label)
        if not member.is_file:
            self._folder(name, name, label)
        elif name in self._files or name in self._folders:
            raise ValueError(f"{label}: member {name!r} appears twice")
        else:
            self._keep(self._files, name)

    def _folder(self, folder: str, name: str, label: str) -> None:
        if folder in self._files:
            raise ValueError(f"{label}: member {name!r} appears twice, or is inside a file")
        if folder not in self._folders:
            self._keep(self._folders, folder)

    def _keep(self, kept: set[str], name: str) -> None:
        self._budget.name(name)
        kept.add(name)


class _Content(io.RawIOBase):
    """The logical bytes of a member: the stored bytes, and zeros for holes."""

    def __init__(self, file: IO[bytes], member: Member) -> None:
        self._file = file
        self._size = member.size
        self._position = 0
        self._starts = [start for start, size in member.extents if size]
        self._pieces: list[tuple[int, int, int]] = []
        stored = member.data
        for start, size in member.extents:
            if size:
                self._pieces.append((start, start + size, stored))
            stored += size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._size - self._position)
        if wanted <= 0:
            return 0
        index = bisect_right(self._starts, self._position) - 1
        if index >= 0 and self._position < self._pieces[index][1]:
            start, end, stored = self._pieces[index]
            wanted = min(wanted, end - self._position)
            self._file.seek(stored + self._position - start)
            data = self._file.read(wanted)
        else:
            hole_end = self._starts[index + 1] if index + 1 < len(self._starts) else self._size
            data = bytes(min(wanted, hole_end - self._position))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def _header_at(file: IO[bytes], position: int, size: int, label: str) -> bytes:
    """Return the header block at a position, or no bytes at the end of the archive."""
    file.seek(position)
    block = file.read(BLOCK)
    if len(block) < BLOCK or not any(block):
        return b""
    if block[257:265] not in _MAGICS:
        raise ValueError(f"{label} is overwritten or not a tar at byte {position:,} of {size:,}")
    if _number(block[148:156]) != sum(block) - sum(block[148:156]) + 8 * ord(" "):
        raise ValueError(f"{label} has a wrong header checksum at byte {position:,} of {size:,}")
    return block


def _member(file: IO[bytes], header: int, block: bytes, label: str) -> Member:
    raw, position = _short_name(block), header + BLOCK
    if block[156:157] == _LONG_NAME:
        raw, position = _long_name(file, position, block, label)
        block = _header_at(file, position, position, label)
        position += BLOCK
    kind = block[156:157] or b"?"
    if kind not in (*_FILES, _FOLDER, _SPARSE):
        raise ValueError(
            f"{label}: member {_shown(raw)} is not a regular file (type {kind.decode('latin-1')!r})"
        )
    stored = _number(block[124:136])
    size = stored
    extents: tuple[tuple[int, int], ...] = ((0, stored),)
    if kind == _SPARSE:
        size, extents, position = _sparse_map(file, block, position, label, _shown(raw))
    if kind == _FOLDER and stored:
        raise ValueError(f"{label}: the folder {_shown(raw)} has content")
    return Member(
        name=_name(raw, label, is_folder=kind == _FOLDER),
        is_file=kind != _FOLDER,
        is_sparse=kind == _SPARSE,
        header=header,
        data=position,
        end=position + stored + -stored % BLOCK,
        size=size,
        extents=extents,
    )


def _short_name(block: bytes) -> bytes:
    name = block[:100].partition(b"\0")[0]
    prefix = b"" if block[257:265] == _MAGICS[0] else block[345:500].partition(b"\0")[0]
    return prefix + b"/" + name if prefix else name


def _long_name(file: IO[bytes], position: int, block: bytes, label: str) -> tuple[bytes, int]:
    """Return a name from separate blocks, and the position of the member's header."""
    size = _number(block[124:136])
    if size > MAX_NAME_BYTES:
        raise ValueError(f"{label} has a member with a name of {size:,} bytes: an unsafe name")
    file.seek(position)
    return file.read(size).removesuffix(b"\0"), position + size + -size % BLOCK


def _name(raw: bytes, label: str, *, is_folder: bool) -> str:
    """Return a member's name without a leading `./`, if it is unambiguous."""
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{label}: member {_shown(raw)} has an unsafe name: not UTF-8") from None
    if is_folder:
        name = name.removesuffix("/")
    parts = name.removeprefix("./").split("/")
    if is_folder and name == ".":
        return name
    if (
        not {"", ".", ".."}.isdisjoint(parts)
        or len(parts) > MAX_DEPTH
        or _CONTROL.search(name)
        or any(len(part.encode()) > MAX_PART_BYTES for part in parts)
    ):
        raise ValueError(f"{label}: member {_shown(raw)} has an unsafe name")
    return "/".join(parts)


def _shown(raw: bytes) -> str:
    text = raw.decode("utf-8", "backslashreplace")
    return repr(text if len(text) <= 80 else text[:80] + "…")


def _number(field: bytes) -> int:
    """Return the number in a header field: octal digits, or base 256 for large numbers."""
    if field[:1] == b"\x80":
        number = int.from_bytes(field[1:], "big")
    else:
        text = field.partition(b"\0")[0]
        if not _OCTAL.fullmatch(text):
            raise ValueError(f"a header has {_shown(field)} instead of a number")
        number = int(text.strip() or b"0", 8)
    if number > MAX_OFFSET:
        raise ValueError(f"a header has an impossible size, {number:,}")
    return number


def _sparse_map(
    file: IO[bytes], block: bytes, position: int, label: str, name: str
) -> tuple[int, tuple[tuple[int, int], ...], int]:
    """Return a sparse member's logical size, its extents, and the position of its data."""
    extents = _entries(block[386:482], _IN_HEADER)
    more = block[482]
    while more:
        file.seek(position)
        block_of_more = file.read(BLOCK)
        if len(block_of_more) < BLOCK or len(extents) > MAX_EXTENTS:
            raise ValueError(f"{label}: the map of {name} is truncated or too long")
        extents += _entries(block_of_more, _IN_EXTENSION)
        more = block_of_more[504]
        position += BLOCK
    size, end = _number(block[483:495]), 0
    for start, length in extents:
        if start < end:
            raise ValueError(f"{label}: the pieces of {name} overlap or are out of order")
        end = start + length
    if end > size or sum(length for _, length in extents) != _number(block[124:136]):
        raise ValueError(f"{label}: the pieces of {name} do not add up to its size")
    return size, tuple(extents), position


def _entries(table: bytes, count: int) -> list[tuple[int, int]]:
    found = []
    for start in range(0, count * _SPARSE_ENTRY, _SPARSE_ENTRY):
        offset, size = table[start : start + 12], table[start + 12 : start + 24]
        if offset[0] and size[0]:
            found.append((_number(offset), _number(size)))
    return found
