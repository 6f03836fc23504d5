"""Packs: read in pieces, and deleted a week after nobody needs them."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from snapshot_tasks.offsite.codec import Packer, Unpacker
from snapshot_tasks.offsite.known import Known
from snapshot_tasks.offsite.pack_store import ABANDONED_AFTER, PackStore
from snapshot_tasks.offsite.packing import Packing
from snapshot_tasks.offsite.packs import OPEN_KEY, PACKS, Block, Place, block_of
from snapshot_tasks.storage.base import Protected
from snapshot_tasks.storage.folder import FolderStore
from snapshot_tasks.storage.stores import parse_place
from snapshot_tasks.system.behind import Behind
from snapshot_tasks.system.errors import Damaged
from tests.support.breaking import Memory

NOW = datetime(2025, 1, 20, tzinfo=UTC)
BLOCKS = [random.Random(seed).randbytes(1000) for seed in range(5)]


@pytest.fixture
def packs(tmp_path: Path) -> PackStore:
    """The packs in a folder."""
    return PackStore(FolderStore(parse_place(str(tmp_path), relative_to=tmp_path), {}))


def packed(packs: PackStore, blocks: list[bytes] = BLOCKS) -> list[tuple[Block, Place]]:
    """Put blocks into one pack; return where they lie."""
    with Behind(1) as behind:
        packing = Packing(Packer(), Known(OPEN_KEY), {}, write=packs.write, behind=behind)
        for block in blocks:
            packing.add(block)
        index = packing.finish()
    return [(one.block, one.place) for one in index.lying()]


def age(packs: PackStore, folder: str, days: float) -> None:
    """Make everything in a folder look as if it were written that long before NOW."""
    written = (NOW - timedelta(days=days)).timestamp()
    for stored in packs.store.list(folder):
        os.utime(Path(packs.store.url, stored.name), (written, written))


@pytest.mark.parametrize("wanted", [[0, 1, 2, 3, 4], [1], [4, 0], [1, 3]])
def test_blocks_are_read_alone(packs: PackStore, wanted: list[int]) -> None:
    """In the order in which they lie, whatever order they are asked for in."""
    places = packed(packs)
    found = dict(packs.read([places[n] for n in wanted], OPEN_KEY, Unpacker()))
    assert found == {block_of(BLOCKS[n], OPEN_KEY): BLOCKS[n] for n in wanted}


@pytest.mark.parametrize("how", ["flipped", "cut", "missing"])
def test_damage_is_told(packs: PackStore, how: str) -> None:
    """By the block that was asked for, and by the name of the whole pack."""
    places = packed(packs)
    path = Path(packs.store.url, PACKS, places[0][1].pack)
    data = path.read_bytes()
    path.unlink()
    if how != "missing":
        path.write_bytes(data[:-1] if how == "cut" else data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(Damaged):
        dict(packs.read(places, OPEN_KEY, Unpacker()))
    with pytest.raises(Damaged):
        packs.read_whole(places[0][1].pack)


def test_a_pack_that_nobody_needs_goes_after_a_week(packs: PackStore) -> None:
    """First it gets a note, so that no push relies on it any more; a week later it goes."""
    name = packed(packs)[0][1].pack
    age(packs, PACKS, days=8)
    assert packs.sweep({name}, now=NOW) == 0
    assert list(packs.usable()) == [name]
    assert packs.sweep(set(), now=NOW) == 0
    assert (list(packs.sizes()), packs.usable()) == ([name], {})
    age(packs, "unused", days=6.9)
    assert packs.sweep(set(), now=NOW) == 0
    age(packs, "unused", days=7.1)
    assert packs.sweep(set(), now=NOW) == 1
    assert list(packs.store.list("")) == []


def test_a_new_pack_is_left_alone(packs: PackStore) -> None:
    """A push is running, and has not made its snapshot visible yet."""
    packed(packs)
    age(packs, PACKS, days=(ABANDONED_AFTER / timedelta(days=1)) - 0.1)
    packs.sweep(set(), now=NOW)
    assert len(packs.usable()) == 1


def test_a_pack_that_is_needed_again_loses_its_note(packs: PackStore) -> None:
    """A push that had begun before the note has made a snapshot of it."""
    name = packed(packs)[0][1].pack
    age(packs, PACKS, days=8)
    packs.sweep(set(), now=NOW)
    age(packs, "unused", days=30)
    assert packs.sweep({name}, now=NOW) == 0
    assert list(packs.usable()) == [name]


def test_a_pack_that_is_kept_does_not_keep_the_others() -> None:
    """All others go, and the error comes last."""
    memory = Memory()
    packs = PackStore(memory)
    kept = [packed(packs, [block])[0][1].pack for block in BLOCKS[:2]][1]
    memory.age(8)
    packs.sweep(set(), now=datetime.now(UTC))
    memory.age(8)
    memory.write(f"{PACKS}/{kept}", b"")
    memory.kept = timedelta(days=1)
    with pytest.raises(Protected):
        packs.sweep(set(), now=datetime.now(UTC))
    assert list(packs.sizes()) == [kept]


def test_other_peoples_objects_stay(packs: PackStore) -> None:
    """Only names of this project are touched."""
    packs.store.write(f"{PACKS}/notes.txt", b"mine")
    age(packs, PACKS, days=100)
    assert packs.sweep(set(), now=NOW) == 0
    assert [stored.name for stored in packs.store.list("")] == [f"{PACKS}/notes.txt"]
