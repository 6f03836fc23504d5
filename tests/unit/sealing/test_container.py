"""The file of a cluster's snapshot: what is written is what is read, and nothing else is read."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from snapshot_tasks.domain.shards import KeyFacts, ShardFacts, ShardSet
from snapshot_tasks.sealing.archive import check_archive
from snapshot_tasks.sealing.container import Description, Writer, open_shard, shard_members
from snapshot_tasks.sealing.extract import write_shard
from snapshot_tasks.system.errors import Damaged
from snapshot_tasks.system.files import sha256_of
from tests.support.archives import snapshot_bytes, write_snapshot

CONFIG = {"params": {"vectors": {"size": 4, "distance": "Dot"}, "shard_number": 2}}


def described(shards: dict[int, bytes]) -> Description:
    """Return a description of these shards."""
    facts = tuple(
        ShardFacts(id=shard, key=None, size_bytes=len(data), sha256="0" * 64)
        for shard, data in sorted(shards.items())
    )
    return Description(
        shard_set=ShardSet(shards=facts),
        config=CONFIG,
        payload_schema={"t": {"data_type": "keyword"}},
        qdrant_version="1.17.0",
    )


def written(path: Path, shards: dict[int, bytes], description: Description | None = None) -> Path:
    """Write a container, the last shard's bytes first, as another thread may."""
    with path.open("w+b") as file:
        writer = Writer(file)
        places = {shard: writer.place(shard, len(data)) for shard, data in sorted(shards.items())}
        for shard, data in sorted(shards.items(), reverse=True):
            for start in range(0, len(data), 700):
                places[shard].write(data[start : start + 700])
        assert writer.finish(description or described(shards)) == path.stat().st_size
    return path


@pytest.fixture
def shards(tmp_path: Path) -> dict[int, bytes]:
    """Two shards' own files, taken out of a collection's snapshot."""
    whole = write_snapshot(tmp_path / "whole", snapshot_bytes(shards=2))
    found = {}
    for shard in (0, 1):
        target = io.BytesIO()
        write_shard(whole, shard, target)
        found[shard] = target.getvalue()
    return found


def test_it_is_a_plain_tar(tmp_path: Path, shards: dict[int, bytes]) -> None:
    """`tar xf` gives each shard's file byte for byte, and then the description."""
    path = written(tmp_path / "x.snapshot", shards)
    with tarfile.open(path) as archive:
        names = archive.getnames()
        assert names == ["shard-0.snapshot", "shard-1.snapshot", "shards.json"]
        for shard, data in shards.items():
            member = archive.extractfile(f"shard-{shard}.snapshot")
            assert member
            assert member.read() == data
    assert Description.parse(described(shards).dump()) == described(shards)


def test_its_shards_are_found_again(tmp_path: Path, shards: dict[int, bytes]) -> None:
    """The check of its structure sees what a collection's snapshot would have."""
    path = written(tmp_path / "x.snapshot", shards)
    summary = check_archive(path)
    assert summary.shards == ("0", "1")
    assert summary.config == CONFIG
    for shard, member in shard_members(path).items():
        with open_shard(path, member) as file:
            assert file.read() == shards[shard]


def test_a_stream_of_unknown_size_finds_its_place(tmp_path: Path, shards: dict[int, bytes]) -> None:
    """The header gets the size afterwards; the file is the same."""
    path = tmp_path / "streamed.snapshot"
    with path.open("w+b") as file:
        writer = Writer(file)
        for shard, data in sorted(shards.items()):
            place = writer.open_place(shard)
            place.write(data)
            assert writer.close(place) == len(data)
        writer.finish(described(shards))
    assert path.read_bytes() == written(tmp_path / "x.snapshot", shards).read_bytes()


def test_the_file_is_hashed_while_it_is_written(tmp_path: Path, shards: dict[int, bytes]) -> None:
    """Only what is complete is hashed, in the order of the file; the end comes last."""
    path = tmp_path / "x.snapshot"
    with path.open("w+b") as file:
        writer = Writer(file)
        places = {shard: writer.place(shard, len(data)) for shard, data in sorted(shards.items())}
        rest = [(places[shard], data) for shard, data in sorted(shards.items(), reverse=True)]

        def write_more() -> None:
            if rest:
                place, data = rest.pop()
                place.write(data[:700])
                rest.extend([(place, data[700:])] if len(data) > 700 else [])

        writer.follow(write_more, until=lambda: True)
        writer.finish(described(shards))
        assert writer.sha256() == sha256_of(path)


def test_hashing_ends_with_the_threads_that_write(tmp_path: Path) -> None:
    """Bytes that never come are not waited for."""

    def stop() -> None:
        raise InterruptedError

    with (tmp_path / "x").open("w+b") as file:
        writer = Writer(file)
        writer.place(0, 3)
        with pytest.raises(InterruptedError):
            writer.follow(stop, until=lambda: True)


def test_more_bytes_than_announced_never_reach_the_next_shard(tmp_path: Path) -> None:
    """They are refused before they are written."""
    with (tmp_path / "x").open("w+b") as file:
        place = Writer(file).place(0, 3)
        place.write(b"ab")
        with pytest.raises(Damaged, match="More bytes"):
            place.write(b"cd")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda shards: {0: shards[0]}, "other shards"),
        (lambda shards: shards | {1: shards[1][:-2048]}, "truncated"),
        (lambda shards: shards | {1: b""}, "truncated"),
        (lambda shards: shards | {1: bytes(1024)}, "other shards"),
    ],
    ids=["a shard is missing", "a shard is cut", "a shard is no archive", "a shard is empty"],
)
def test_what_is_not_whole_is_damaged(
    tmp_path: Path,
    shards: dict[int, bytes],
    change: Callable[[dict[int, bytes]], dict[int, bytes]],
    reason: str,
) -> None:
    """A cut stream ends cleanly; only what should follow shows it."""
    path = written(tmp_path / "x.snapshot", change(shards), described(shards))
    with pytest.raises(Damaged, match=reason):
        check_archive(path)


@pytest.mark.parametrize(
    ("names", "foreign"),
    [
        (["shards.json", "shard-0.snapshot", "shard-1.snapshot"], "shards.json"),
        (["shard-0.snapshot", "shard-1.snapshot", "shard-01.snapshot", "shards.json"], "shard-01"),
        (["shard-0.snapshot", "0/wal/x", "shard-1.snapshot", "shards.json"], "0/wal"),
        (["shard-0.snapshot", "shard-1.snapshot", "shards.json", "config.json"], "config.json"),
        (["config.json", "shards.json"], "shards.json"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)}",
)
def test_nothing_is_out_of_its_place(
    tmp_path: Path, shards: dict[int, bytes], names: list[str], foreign: str
) -> None:
    """A second file of a shard, or a part outside: what is sealed would not be what is restored."""
    data = {
        "shard-0.snapshot": shards[0],
        "shard-1.snapshot": shards[1],
        "shard-01.snapshot": shards[1],
        "shards.json": described(shards).dump(),
    }
    with tarfile.open(tmp_path / "x.snapshot", "w", format=tarfile.GNU_FORMAT) as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(data.get(name, b"{}"))
            archive.addfile(member, io.BytesIO(data.get(name, b"{}")))
    with pytest.raises(Damaged, match=f"{foreign}.* is not in its place"):
        check_archive(tmp_path / "x.snapshot")


def test_a_container_that_is_cut_is_damaged(tmp_path: Path, shards: dict[int, bytes]) -> None:
    """As any other snapshot."""
    path = written(tmp_path / "x.snapshot", shards)
    path.write_bytes(path.read_bytes()[:-512])
    with pytest.raises(Damaged, match="truncated"):
        check_archive(path)


@pytest.mark.parametrize(
    "facts",
    [
        {"shards": []},
        {"shards": [{"id": 1}]},
        {"keys": [{"key": "a", "shards_count": 1, "replication_factor": 1}]},
        {"keys": [{"key": True, "shards_count": 1, "replication_factor": 1}]},
    ],
)
def test_a_set_that_contradicts_itself_is_refused(facts: dict[str, object]) -> None:
    """Its shards and keys decide where points go, so nothing is guessed."""
    good = ShardSet(
        shards=(ShardFacts(id=0, key=None, size_bytes=1, sha256="0" * 64),),
    ).as_json()
    with pytest.raises((KeyError, TypeError, ValueError)):
        ShardSet.from_json({**good, **facts})


def test_a_set_is_read_as_it_was_written() -> None:
    """Keys keep their type: a number is another key than its digits."""
    found = ShardSet(
        shards=tuple(
            ShardFacts(id=shard, key=key, size_bytes=9, sha256="a" * 64, node="http://n:6333")
            for shard, key in ((1, "7"), (4, 7), (5, 7))
        ),
        keys=(
            KeyFacts(key="7", shards_count=1, replication_factor=2),
            KeyFacts(key=7, shards_count=2, replication_factor=1),
        ),
    )
    assert ShardSet.from_json(found.as_json()) == found
    sealed = found.sealed_with({1: (3, "x"), 4: (4, "y"), 5: (5, "z")})
    assert [s.points_count for s in sealed.shards] == [3, 4, 5]
    assert replace(sealed, keys=()).shards[0].digest == "x"
