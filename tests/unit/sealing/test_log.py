"""A log's entries are counted by their lengths, and numbered as Qdrant numbers them."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapshot_tasks.sealing.log import count_entries, last_operation

HEADER = b"wal\0seed"


def entry(data: bytes) -> bytes:
    """Return one entry: length, data, a checksum, and zeros up to a multiple of eight."""
    whole = struct.pack("<Q", len(data)) + data + b"\xaa\xbb\xcc\xdd"
    return whole + bytes(-len(whole) % 8)


def count(content: bytes) -> int:
    """Count the entries of a file with these bytes."""
    return count_entries(io.BytesIO(content))


@pytest.mark.parametrize("rest", [b"", bytes(1), bytes(7), bytes(8), bytes(4096)])
def test_an_empty_log_has_no_entry(rest: bytes) -> None:
    """Only a header, with allocated space after it."""
    assert count(HEADER + rest) == 0


@pytest.mark.parametrize("length", range(1, 25))
def test_entries_are_padded_to_eight(length: int) -> None:
    """At every length modulo eight, the next entry is found; its data is never read as an entry."""
    content = HEADER + 3 * entry(b"\x01" * length)
    assert len(content) % 8 == 0
    assert count(content) == 3
    assert count(content + bytes(512)) == 3


@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(st.integers(1, 60), max_size=8), room=st.integers(0, 64))
def test_all_entries_are_counted(sizes: list[int], room: int) -> None:
    """Entries of any size are counted, however much allocated space is left."""
    content = HEADER + b"".join(entry(b"\xff" * size) for size in sizes) + bytes(room)
    assert count(content) == len(sizes)


@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4), data=st.data())
def test_a_cut_entry_does_not_count(sizes: list[int], data: st.DataObject) -> None:
    """Exactly the entries that are complete with their checksum; padding may be missing."""
    content = HEADER
    ends = []
    for size in sizes:
        content += entry(b"\xff" * size)
        ends.append(len(content) - (-(8 + size + 4)) % 8)
    cut = data.draw(st.integers(len(HEADER), len(content)))
    assert count(content[:cut]) == sum(end <= cut for end in ends)


def test_an_absurd_length_ends_the_log() -> None:
    """A length beyond the end of the file is not an entry, and nothing is read for it."""
    for length in (1 << 20, (1 << 63) - 1, (1 << 64) - 1):
        assert count(HEADER + entry(b"x") + struct.pack("<Q", length) + bytes(64)) == 1


@pytest.mark.parametrize(
    "content", [b"", b"wal", b"WAL\0seed", b"wal1seed", bytes(64), b"\x1f\x8b" + bytes(62)]
)
def test_a_foreign_file_is_refused(content: bytes) -> None:
    """A file with another header is not a log."""
    with pytest.raises(ValueError, match="wrong header"):
        count(content)


@pytest.mark.parametrize(
    ("entries", "last"),
    [
        ({}, -1),
        ({"open-1": 0}, -1),
        ({"open-1": 5}, 4),
        ({"open-1": 5, "open-2": 0}, 4),
        ({"open-2": 0, "open-1": 5}, 4),
        ({"closed-0": 10, "open-3": 0}, 9),
        ({"closed-0": 10, "open-3": 2, "open-4": 0}, 11),
        ({"closed-0": 10, "closed-10": 7, "open-5": 1}, 17),
        ({"open-5": 1, "closed-10": 7, "closed-0": 10}, 17),
        # The first ones were acknowledged and removed.
        ({"closed-110": 7, "open-9": 3}, 119),
        # As for a shard that was given its segments without their log.
        ({"closed-42": 0, "open-1": 0}, 41),
        ({"closed-42": 0, "open-1": 1}, 42),
    ],
)
def test_operations_are_numbered_from_the_logs_first(entries: dict[str, int], last: int) -> None:
    """A closed file's name says where it starts, and the open ones continue after the last."""
    assert last_operation(entries) == last


@pytest.mark.parametrize("name", ["closed-", "closed-x", "closed-1.5"])
def test_a_closed_file_without_a_number_is_refused(name: str) -> None:
    """It is unknown where such a log starts."""
    with pytest.raises(ValueError, match="invalid literal"):
        last_operation({name: 1})
