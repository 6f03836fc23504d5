"""The index of a snapshot off-site comes back as it was, or is refused."""

from __future__ import annotations

import pytest

from snapshot_tasks.offsite.index import Index, Lying, Zeros, joined, parse_index, relocate
from snapshot_tasks.offsite.packs import Block, Place
from snapshot_tasks.system.errors import Damaged, Refused

PACK, OTHER = ("a" * 64 + ".zst", "b" * 64 + "-0123abcd.zst.age")
INDEX = Index(
    key=bytes(range(32)),
    pieces=(
        Lying(Block(b"1" * 32, 10), Place(PACK, 0, 20)),
        Zeros(1 << 40),
        Lying(Block(b"2" * 32, 30), Place(OTHER, 7, 9)),
        Lying(Block(b"1" * 32, 10), Place(PACK, 0, 20)),
    ),
)
TEXT = INDEX.dump().decode()


def test_it_comes_back_as_it_was() -> None:
    """Every value of it, and what it says of the whole."""
    assert parse_index(INDEX.dump(), "x") == INDEX
    assert (INDEX.packs, INDEX.size_bytes) == ((PACK, OTHER), (1 << 40) + 50)


def test_neighbouring_zeros_are_one() -> None:
    """A hole of a terabyte is one line."""
    block = Lying(Block(b"1" * 32, 10), Place(PACK, 0, 20))
    assert joined([Zeros(1), Zeros(2), block, Zeros(3)]) == (Zeros(3), block, Zeros(3))


def test_blocks_that_have_moved_are_found_at_their_new_place() -> None:
    """Each time they occur; what has not moved, the zeros and the key stay as they are."""
    new = Place("c" * 64 + ".zst", 5, 21)
    moved = relocate(INDEX, {Place(PACK, 0, 20): new})
    _, zeros, other, _ = INDEX.pieces
    assert moved.pieces == (Lying(Block(b"1" * 32, 10), new), zeros, other, moved.pieces[0])
    assert (moved.key, moved.packs) == (INDEX.key, (new.pack, OTHER))
    assert relocate(INDEX, {}) == INDEX


@pytest.mark.parametrize(
    "text",
    [
        "",
        "blocks",
        TEXT.replace("key", "kez"),
        TEXT.replace(" 10 0 0 20", " 10 2 0 20"),
        TEXT.replace(" 10 0 0 20", " 0 0 0 20"),
        TEXT.replace(" 10 0 0 20", " 99999999 0 0 20"),
        TEXT.replace(" 10 0 0 20", " 10 0 99999999 20"),
        TEXT.replace(" 10 0 0 20", " 10 0 0 0"),
        TEXT.replace(PACK, "../" + "a" * 64),
        TEXT.replace(PACK, "a" * 64 + ".txt"),
        TEXT + "rubbish\n",
        TEXT.replace("zeros", "zeros -"),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    """Whoever can write to the store can write an index: it leads nowhere else."""
    with pytest.raises(Damaged, match="index of x cannot be read"):
        parse_index(text.encode(), "x")


def test_a_newer_format_is_told_from_damage() -> None:
    """An update of this project helps."""
    with pytest.raises(Refused, match="newer version"):
        parse_index(TEXT.replace("blocks 1", "blocks 2").encode(), "x")
