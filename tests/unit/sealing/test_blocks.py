"""Where a snapshot is cut: what did not change makes the same blocks, wherever it lies."""

from __future__ import annotations

import io
import random

import pytest

from snapshot_tasks.sealing.blocks import BLOCK_BYTES, SMALL_BYTES, cut
from tests.support.archives import Entry, archive, replaced, segment, snapshot_entries

BIG = random.Random(1).randbytes(3 * BLOCK_BYTES + 100_000)


def blocks(data: bytes) -> list[bytes]:
    """Return the blocks of a file; together they are the file."""
    found = [data[start : start + size] for start, size in cut(io.BytesIO(data))]
    assert b"".join(found) == data
    assert all(0 < len(block) <= BLOCK_BYTES for block in found)
    return found


def with_file(content: bytes, *, before: int = 0) -> bytes:
    """Return a snapshot with a file in its segment, and a small one of some size before it."""
    seg = segment(
        also=[
            Entry(name="files/a", data=bytes([1]) * before),
            Entry(name="files/vectors", data=content),
        ]
    )
    return archive(replaced(snapshot_entries(), "0/segments/seg-0.tar", seg))


def test_a_file_that_moved_makes_the_same_blocks() -> None:
    """Only what was put before it is new: blocks are counted from the start of each file."""
    old, new = blocks(with_file(BIG)), blocks(with_file(BIG, before=5000))
    assert set(blocks_of(BIG)) <= set(old) & set(new)


def blocks_of(content: bytes) -> list[bytes]:
    """Return the blocks of a file of its own."""
    return [content[at : at + BLOCK_BYTES] for at in range(0, len(content), BLOCK_BYTES)]


def test_a_byte_that_changed_makes_one_new_block() -> None:
    """The others are those that were there."""
    changed = BIG[:BLOCK_BYTES] + b"x" + BIG[BLOCK_BYTES + 1 :]
    new = set(blocks(with_file(changed))) - set(blocks(with_file(BIG)))
    assert len(new) == 1


def test_small_files_share_a_block_with_their_headers() -> None:
    """A block for each of them would cost more than it saves."""
    small = blocks(archive(snapshot_entries()))
    assert len(small) == 1
    last = blocks(with_file(BIG[: BLOCK_BYTES + SMALL_BYTES - 1]))
    assert BIG[BLOCK_BYTES : BLOCK_BYTES + SMALL_BYTES - 1] not in last


@pytest.mark.parametrize(
    "data", [b"", b"x", BIG, archive(snapshot_entries())[:-700], bytes(600_000)]
)
def test_what_is_no_archive_is_cut_from_its_start(data: bytes) -> None:
    """Cut off, damaged or something else: still every byte is in one block."""
    if data[257:262] != b"ustar":
        assert blocks(data) == blocks_of(data)
    assert b"".join(blocks(data)) == data


def test_damage_inside_costs_only_more_blocks() -> None:
    """An inner archive that cannot be read is a file like any other."""
    data = bytearray(with_file(BIG))
    at = data.index(b"files/vectors")
    data[at + 148] ^= 1
    assert b"".join(blocks(bytes(data))) == bytes(data)
