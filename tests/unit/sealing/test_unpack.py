"""A snapshot is unpacked below one folder, with its holes and without its logs."""

from __future__ import annotations

import errno
import json
import os
import shutil
import struct
import tarfile
from collections import namedtuple
from pathlib import Path
from typing import IO

import pytest

from snapshot_tasks.sealing import unpack as unpack_module
from snapshot_tasks.sealing.room import room_of
from snapshot_tasks.sealing.unpack import Shard, point_of_the_future, unpack
from snapshot_tasks.system.errors import Damaged, StorageError
from tests.support.archives import (
    Entry,
    archive,
    replaced,
    segment,
    snapshot_bytes,
    snapshot_entries,
    write_snapshot,
)

REAL_SIZE = 1 << 20  # The builder's size for every sparse member.
Usage = namedtuple("Usage", "total used free")


def wal(entries: int) -> bytes:
    """Return a log file with the given number of entries of four bytes."""
    return b"wal\0seed" + entries * (struct.pack("<Q", 4) + b"datacrc!")


def entries_with_logs(*, shards: int = 1, operations: int = 8) -> list[Entry]:
    """Return a valid snapshot with that many operations in its log; its segments say 7."""
    entries = snapshot_entries(shards=shards)
    for shard in range(shards):
        entries = replaced(entries, f"{shard}/wal/open-1", wal(operations))
    return entries


SOUND = archive(entries_with_logs())


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """The folder to unpack into; the file is next to it."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def unpacked(scratch: Path, content: bytes) -> tuple[Shard, ...]:
    """Unpack a file with these bytes."""
    return unpack(write_snapshot(scratch.parent / "books.snapshot", content), scratch)


def files_below(folder: Path) -> list[str]:
    """Return every path below a folder that is not a folder."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir())


def assert_refused(scratch: Path, content: bytes) -> str:
    """Assert that the file is rejected as damaged, and nothing is written outside of the folder."""
    with pytest.raises(Damaged) as caught:
        unpacked(scratch, content)
    assert sorted(p.name for p in scratch.parent.iterdir()) == ["books.snapshot", "scratch"]
    return caught.value.message


@pytest.mark.parametrize("shards", [1, 3])
def test_shards_and_their_segments_are_unpacked(scratch: Path, shards: int) -> None:
    """Nested archives become folders; logs and the files of the collection are omitted."""
    found = unpacked(scratch, archive(entries_with_logs(shards=shards)))
    assert [shard.name for shard in found] == [str(number) for number in range(shards)]
    assert [shard.folder for shard in found] == [scratch / str(n) for n in range(shards)]
    inner = ("segment.json", "vector_storage/vectors/chunk_0.mmap", "version.info")
    for shard in found:
        files = files_below(shard.folder)
        assert [f for f in files if "segments" not in f] == [
            "replica_state.json",
            "shard_config.json",
        ]
        for number in range(2):
            for name in inner:
                assert f"segments/seg-{number}/{name}" in files
        segment_folder = shard.folder / "segments" / "seg-1"
        assert json.loads((segment_folder / "segment.json").read_bytes())["version"] == 7
        assert (segment_folder / "version.info").read_bytes() == b"0.6.0"
        assert not (segment_folder / "snapshot").exists()
    assert [p.name for p in scratch.iterdir() if p.is_file()] == []


def test_holes_stay_holes(scratch: Path) -> None:
    """A sparse member has its full size, its data, and almost no blocks on disk."""
    (shard,) = unpacked(scratch, SOUND)
    chunk = shard.folder / "segments/seg-0/vector_storage/vectors/chunk_0.mmap"
    assert chunk.read_bytes() == b"v" * 700 + bytes(REAL_SIZE - 700)
    full = scratch / "full"
    full.write_bytes(b"v" * REAL_SIZE)
    assert chunk.stat().st_blocks * 8 < full.stat().st_blocks


def test_data_behind_a_hole_stands_where_it_belongs(scratch: Path) -> None:
    """A file that begins with a hole and has another one in its middle."""
    pieces = [(1 << 16, 512), (1 << 18, 1024), (1 << 19, 0)]
    member = sparse_member("0/some.bin", pieces, [b"a" * 512, b"b" * 1024])
    entries = archive(entries_with_logs(), end=b"") + member + bytes(1024)
    (shard,) = unpacked(scratch, entries)
    content = (shard.folder / "some.bin").read_bytes()
    expected = bytearray(1 << 19)
    expected[1 << 16 : (1 << 16) + 512] = b"a" * 512
    expected[1 << 18 : (1 << 18) + 1024] = b"b" * 1024
    assert content == expected
    assert (shard.folder / "some.bin").stat().st_blocks * 512 <= 1 << 16


def sparse_member(name: str, pieces: list[tuple[int, int]], data: list[bytes]) -> bytes:
    """Return an old-style GNU sparse member: up to four pieces, given by offset and size."""
    info = tarfile.TarInfo(name)
    info.type, info.size = tarfile.GNUTYPE_SPARSE, sum(map(len, data))
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    table = b"".join(f"{offset:011o}\0{size:011o}\0".encode() for offset, size in pieces)
    header[386 : 386 + len(table)] = table
    header[483:495] = f"{pieces[-1][0] + pieces[-1][1]:011o}\0".encode()
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    return bytes(header) + b"".join(data)


ESCAPES = [
    "../evil",
    "../../evil",
    "0/../../evil",
    "0/segments/../../../evil",
    "0/x/../evil",
    "/tmp/evil-of-the-unpack-test",
    "//tmp/evil-of-the-unpack-test",
    "0//tmp/evil-of-the-unpack-test",
    "0/./evil",
    "../wal/open-1",
]


@pytest.mark.parametrize("name", ESCAPES)
def test_no_name_leads_out(scratch: Path, name: str) -> None:
    """`..`, absolute and empty parts are rejected, and nothing of them is written anywhere."""
    content = archive([*entries_with_logs(), Entry(name=name, data=b"evil")])
    assert "unsafe name" in assert_refused(scratch, content)
    assert not Path("/tmp/evil-of-the-unpack-test").exists()
    assert not any("evil" in file for file in files_below(scratch))


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil-of-the-unpack-test", "a/../../../../evil"])
def test_no_nested_name_leads_out(scratch: Path, name: str) -> None:
    """The same in a segment archive."""
    nested = segment(also=[Entry(name=f"snapshot/files/{name}", data=b"evil")])
    content = archive(replaced(entries_with_logs(), "0/segments/seg-0.tar", nested))
    assert "unsafe name" in assert_refused(scratch, content)
    assert not Path("/tmp/evil-of-the-unpack-test").exists()
    assert not any("evil" in file for file in files_below(scratch))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_pipes_are_never_made(scratch: Path, kind: bytes) -> None:
    """Only regular files are written, so no link can redirect the next member."""
    link = Entry(name="0/link", kind=kind, link=str(scratch.parent))
    evil = Entry(name="0/link/evil", data=b"evil")
    content = archive([*entries_with_logs(), link, evil])
    assert "not a regular file" in assert_refused(scratch, content)
    nested = segment(also=[Entry(name="snapshot/files/link", kind=kind, link="/")])
    content = archive(replaced(entries_with_logs(), "0/segments/seg-0.tar", nested))
    assert not list(scratch.iterdir())
    assert "not a regular file" in assert_refused(scratch, content)
    assert not any(p.is_symlink() or p.is_fifo() for p in scratch.rglob("*"))


def test_no_room_writes_nothing(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little free space is reported before the first byte is written."""
    free = len(SOUND) - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1 << 40, 0, free))
    with pytest.raises(StorageError) as caught:
        unpacked(scratch, SOUND)
    assert f"{free:,}" in caught.value.message
    assert "TMPDIR" in caught.value.hint
    assert list(scratch.iterdir()) == []


def test_room_is_asked_for_on_the_scratch_folders_disk(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exactly enough space is enough."""
    asked = []
    (file := scratch.parent / "sound").write_bytes(SOUND)
    needed = room_of(file).needed_bytes(in_memory=False)

    def usage(path: Path) -> Usage:
        asked.append(path)
        return Usage(1 << 40, 0, needed)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    assert len(unpacked(scratch, SOUND)) == 1
    assert asked == [scratch]


def test_a_disk_that_fills_on_the_way_is_told(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Space that another program uses in the meantime is not damage to the file."""

    def full(source: IO[bytes], target: IO[bytes], size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(unpack_module, "_copy", full)
    with pytest.raises(StorageError) as caught:
        unpacked(scratch, SOUND)
    assert "No space left" in caught.value.message


@pytest.mark.parametrize(
    ("operations", "pending"), [(0, 0), (1, 0), (7, 0), (8, 0), (9, 1), (65, 57)]
)
def test_operations_that_the_segments_lack_are_pending(
    scratch: Path, operations: int, pending: int
) -> None:
    """The segments have applied operation 7, so they contain the first eight of the log."""
    (shard,) = unpacked(scratch, archive(entries_with_logs(operations=operations)))
    assert shard.applied == 7
    assert shard.log_end == operations - 1
    assert shard.pending_count == pending


def with_versions(*versions: object) -> list[Entry]:
    """Return a snapshot with one segment per version, and ten operations in the log."""
    entries = [e for e in entries_with_logs(operations=10) if "/segments/" not in e.name]
    for number, version in enumerate(versions):
        nested = archive(
            [Entry(name="snapshot/files/segment.json", data=json.dumps(version).encode())], end=b""
        )
        entries.insert(0, Entry(name=f"0/segments/seg-{number}.tar", data=nested))
    return entries


@pytest.mark.parametrize(
    ("versions", "pending"),
    [([3], 6), ([3, 9], 0), ([9, 3], 0), ([None], 10), ([None, 4], 5), ([11], 0), ([0], 9)],
)
def test_the_newest_segment_counts(scratch: Path, versions: list[int | None], pending: int) -> None:
    """Operations are applied in order, so the largest number counts; an empty segment has none."""
    entries = with_versions(*({"version": version} for version in versions))
    (shard,) = unpacked(scratch, archive(entries))
    assert shard.pending_count == pending


@pytest.mark.parametrize("file", ["mutable_id_tracker.versions", "id_tracker.versions"])
@pytest.mark.parametrize(("newest", "sound"), [(0, True), (7, True), (8, True), (9, False)])
def test_no_point_is_from_the_future(scratch: Path, file: str, newest: int, sound: bool) -> None:
    """The log ends with operation 8, the segments with 7: no point can be newer than both."""
    versions = struct.pack("<4Q", 3, newest, 0, 5) + b"tail"
    nested = segment(also=[Entry(name=f"snapshot/files/{file}", data=versions)])
    content = archive(replaced(entries_with_logs(operations=9), "0/segments/seg-1.tar", nested))
    if sound:
        (shard,) = unpacked(scratch, content)
        assert shard.newest_point == max(newest, 5)
    else:
        assert f"operation {newest}" in assert_refused(scratch, content)


def test_a_point_of_the_future_is_found_without_unpacking(scratch: Path) -> None:
    """Versions that are all ones, in a growing segment; a log of another form says nothing."""
    versions = Entry(name="snapshot/files/mutable_id_tracker.versions", data=b"\xff" * 16)
    entries = entries_with_logs(operations=9)
    damaged = replaced(entries, "0/segments/seg-1.tar", segment(also=[versions]))
    unknown = replaced(damaged, "0/wal/open-1", b"x" * 64)
    said = [
        point_of_the_future(write_snapshot(scratch / "a.snapshot", archive(each)))
        for each in (entries, damaged, unknown)
    ]
    assert [bool(text) for text in said] == [False, True, False]
    assert not [path for path in scratch.iterdir() if path.is_dir()]


def test_each_shard_has_its_own_log(scratch: Path) -> None:
    """Closed files count too, at any position in the archive."""
    entries = entries_with_logs(shards=2)
    entries = replaced(entries, "1/wal/open-1", wal(2))
    entries.append(Entry(name="1/wal/closed-100", data=wal(5)))
    entries.append(Entry(name="1/wal/closed-0", data=wal(100)))
    entries.append(Entry(name="1/wal/first-index", data=b'{"ack_index": 3}'))
    first, second = unpacked(scratch, archive(entries))
    assert (first.pending_count, second.pending_count) == (0, 106 - 7)
    assert second.log_entries == {"open-1": 2, "closed-0": 100, "closed-100": 5}


DAMAGES: dict[str, bytes] = {
    "no archive": b"x" * 4096,
    "empty": b"",
    "cut": SOUND[:-1024],
    "cut in a member": SOUND[: len(SOUND) // 2],
    "continued": SOUND + b"x",
    "a segment that is no archive": archive(
        replaced(entries_with_logs(), "0/segments/seg-0.tar", b"x" * 1024)
    ),
    "a log that is none": archive(replaced(entries_with_logs(), "0/wal/open-1", b"x" * 64)),
    "a log without a number": archive(
        [*entries_with_logs(), Entry(name="0/wal/closed-x", data=wal(1))]
    ),
    "a member twice": archive([*entries_with_logs(), entries_with_logs()[3]]),
    "a file below a file": archive(
        [*entries_with_logs(), Entry(name="0/replica_state.json/x", data=b"x")]
    ),
    "a file over a folder": archive([*entries_with_logs(), Entry(name="0/segments", data=b"x")]),
    "a segment without a version": archive(with_versions({})),
    "a version that is no number": archive(with_versions({"version": "x"})),
    "a version that is a list": archive(with_versions({"version": []})),
    "a segment.json that is a list": archive(with_versions([])),
    "a segment.json that is deep": archive(
        [
            *entries_with_logs(),
            Entry(
                name="0/segments/deep.tar",
                data=archive(
                    [Entry(name="snapshot/files/segment.json", data=b"[" * 100_000)], end=b""
                ),
            ),
        ]
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_told_as_such(scratch: Path, name: str) -> None:
    """Any damage of the file is one error with a remedy."""
    assert "Cannot unpack" in assert_refused(scratch, DAMAGES[name])


def test_the_shared_builder_has_no_true_log(scratch: Path) -> None:
    """The archives of other tests only have a valid structure; here their logs are rejected."""
    assert "WAL" in assert_refused(scratch, snapshot_bytes())


def test_files_that_claim_too_much_are_refused(scratch: Path) -> None:
    """A hole costs nothing, but a snapshot does not have terabytes of holes."""
    huge = sparse_huge("0/huge.bin", (1 << 40) + 512)
    content = archive(entries_with_logs(), end=b"") + huge + bytes(1024)
    assert "exceed the size limit" in assert_refused(scratch, content)
    assert not (scratch / "0/huge.bin").exists()


def sparse_huge(name: str, real_size: int) -> bytes:
    """Return a sparse member that is one hole; its size is written in base 256."""
    header = bytearray(sparse_member(name, [(0, 0)], []))
    header[483:495] = b"\x80" + real_size.to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    return bytes(header)
