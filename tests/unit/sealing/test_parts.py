"""Several readers share a shard, and none of its points can be missed."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from snapshot_tasks.sealing import parts as parts_module
from snapshot_tasks.sealing import reader as read
from snapshot_tasks.sealing.parts import SMALL_POINTS, Part, split
from snapshot_tasks.sealing.unpack import Shard
from snapshot_tasks.system.errors import Damaged

MIB = 1 << 20


@pytest.fixture(autouse=True)
def _four_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})


def shard(scratch: Path, name: str) -> Shard:
    """Create an unpacked shard with a file that is mostly a hole."""
    folder = scratch / name / "segments" / "one"
    folder.mkdir(parents=True)
    with (folder / "page.dat").open("wb") as file:
        file.write(b"begin")
        file.seek(8 * MIB)
        file.write(b"end")
    return Shard(name=name, folder=scratch / name)


def test_each_reader_has_a_copy_of_its_own(tmp_path: Path) -> None:
    """Same bytes, same holes, separate files: the engine locks and writes the files it opens."""
    parts = split((shard(tmp_path, "0"),), tmp_path, points_count=None)
    assert [(part.index, part.of) for part in parts] == [(0, 2), (1, 2)]
    pages = [part.folder / "segments" / "one" / "page.dat" for part in parts]
    assert len({page.stat().st_ino for page in pages}) == 2
    assert {page.read_bytes() for page in pages} == {pages[0].read_bytes()}
    assert all(page.stat().st_blocks * 512 < 4 * MIB for page in pages)


def test_processors_are_shared_by_the_shards(tmp_path: Path) -> None:
    """Two shards on four processors: two readers each; five shards: one each."""
    two = tuple(shard(tmp_path, str(number)) for number in range(2))
    assert [part.of for part in split(two, tmp_path, points_count=None)] == [2] * 4
    five = tuple(shard(tmp_path, f"1{number}") for number in range(5))
    assert [part.of for part in split(five, tmp_path, points_count=None)] == [1] * 5


def test_a_small_collection_is_not_worth_it(tmp_path: Path) -> None:
    """Starting a process takes longer than reading a few thousand points."""
    (part,) = split((shard(tmp_path, "0"),), tmp_path, points_count=SMALL_POINTS - 1)
    assert part.folder == tmp_path / "0"


def test_copies_never_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without space for copies, one reader does all the work."""
    monkeypatch.setattr(parts_module, "MAX_COPIES_SHARE", 0)
    (part,) = split((shard(tmp_path, "0"),), tmp_path, points_count=None)
    assert (part.index, part.of) == (0, 1)


def test_a_copy_that_cannot_be_written_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the disk fills up or there is a quota, one reader does all the work; no copy is left."""

    def full(source: Path, target: Path) -> None:
        target.mkdir(parents=True)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(parts_module, "copy_sparse", full)
    (part,) = split((shard(tmp_path, "0"),), tmp_path, points_count=None)
    assert (part.folder, part.of) == (tmp_path / "0", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["0"]


@pytest.mark.parametrize("seen", [(40, 59), (40, 61)])
def test_points_between_two_readers_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: tuple[int, int]
) -> None:
    """Slices with fewer points than the shard are an error, however the engine slices."""
    asked: list[int] = []

    def each(snapshot: Path, parts: tuple[Part, ...], *rest: Any) -> list[dict[str, int]]:
        asked.append(len(parts))
        counts = seen if len(parts) == 2 else (100,)
        return [{"seen": number, "counted": 100} for number in counts]

    monkeypatch.setattr(read, "_each", each)
    parts, results = read.read_parts(tmp_path / "x", two_parts(tmp_path), lambda line: None)
    assert asked == [2, 1]
    assert [part.of for part in parts] == [1]
    assert [result["seen"] for result in results] == [100]


def test_what_one_reader_alone_cannot_read_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that is killed for its memory use, first as one of two and then alone."""
    monkeypatch.setattr(read, "_each", lambda snapshot, parts, *rest: [SHORT] * len(parts))
    with pytest.raises(Damaged, match="counted 100 points, but read 7"):
        read.read_parts(tmp_path / "x.snapshot", two_parts(tmp_path), lambda line: None)


SHORT = {"seen": 7, "counted": 100}


def two_parts(folder: Path) -> tuple[Part, ...]:
    """Return one shard for two readers."""
    one = Shard(name="0", folder=folder)
    return tuple(Part(shard=one, folder=folder, index=index, of=2) for index in range(2))
