"""Cuts a snapshot file into blocks, so that what did not change makes the same blocks again.

Qdrant overwrites files in place, and orders and dates the members of its archives anew each time.
Blocks counted from the start of the snapshot would therefore all differ. Counted from the start of
each file inside it, about 97 % of them stay the same after 1 % of the points have changed
(docs/offsite.md).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO

from snapshot_tasks.sealing.tar import BLOCK as TAR_BLOCK
from snapshot_tasks.sealing.tar import NESTED_END_MARKERS, Budget, Member, content, members

BLOCK_BYTES = 256 << 10
# Smaller files are put together with the headers around them: a block of its own costs more.
SMALL_BYTES = 16 << 10
_MAGIC_AT, _MAGIC = 257, b"ustar"

Extent = tuple[int, int]


def cut(file: IO[bytes]) -> Iterator[Extent]:
    """Yield the start and the size, in bytes, of each block; together they are the whole file.

    A block never exceeds `BLOCK_BYTES`. The result depends on nothing but the bytes of the file,
    and only headers are read. What is not an archive is cut from its start on.
    """
    end, position = file.seek(0, io.SEEK_END), 0
    for start, size in _aligned(file, 0, Budget()) or ():
        yield from _steps(position, start)
        yield start, size
        position = start + size
    yield from _steps(position, end)


def _steps(start: int, end: int) -> Iterator[Extent]:
    """Yield blocks from a start on: headers, small files and padding, or a file that is no tar."""
    for position in range(start, end, BLOCK_BYTES):
        yield position, min(BLOCK_BYTES, end - position)


def _aligned(file: IO[bytes], base: int, budget: Budget) -> Iterator[Extent] | None:
    """Return the blocks of the files in an archive, or None if it is no archive.

    `base` is where it begins in the snapshot.
    """
    try:
        listed = list(members(file, "", end_markers=NESTED_END_MARKERS, budget=budget))
    except ValueError:
        return None
    return (block for member in listed for block in _of_member(file, member, base, budget))


def _of_member(file: IO[bytes], member: Member, base: int, budget: Budget) -> Iterator[Extent]:
    inner = content(file, member)
    if not member.is_sparse and _looks_like_archive(inner, member):
        nested = _aligned(inner, base + member.data, budget)
        if nested is not None:
            return nested
    return _of_file(member, base)


def _looks_like_archive(inner: IO[bytes], member: Member) -> bool:
    if member.size < TAR_BLOCK:
        return False
    inner.seek(_MAGIC_AT)
    return inner.read(len(_MAGIC)) == _MAGIC


def _of_file(member: Member, base: int) -> Iterator[Extent]:
    """Yield the blocks that begin at multiples of `BLOCK_BYTES` of the file.

    Counted in the file with its holes, because a hole that is filled moves what is stored after it.
    """
    stored = base + member.data
    for start, size in member.extents:
        position, end = start, start + size
        while position < end:
            stop = min(end, position - position % BLOCK_BYTES + BLOCK_BYTES)
            if stop - position >= SMALL_BYTES:
                yield stored + position - start, stop - position
            position = stop
        stored += size
