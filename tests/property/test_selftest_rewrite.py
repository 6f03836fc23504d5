"""Changes to an archive are exact: every other byte stays the same."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from snapshot_tasks.sealing.archive import check_archive
from snapshot_tasks.selftest.rewrite import (
    Member,
    find_once,
    read_at,
    read_json,
    read_logical,
    read_members,
    rewrite,
    with_size,
)
from snapshot_tasks.system.errors import Damaged
from tests.support.archives import write_snapshot

SEGMENT = "0/segments/seg-0.tar"
NESTED = f"{SEGMENT}/snapshot/files/segment.json"
SPARSE = f"{SEGMENT}/snapshot/files/vector_storage/vectors/chunk_0.mmap"


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A valid snapshot file."""
    return write_snapshot(tmp_path / "sound.snapshot")


def named(path: Path, name: str) -> Member:
    """Return one member."""
    return next(m for m in read_members(path) if m.name == name)


def content(path: Path, member: Member) -> bytes:
    """Return the stored bytes of a member."""
    return read_at(path, member.data, member.stored_bytes)


def test_no_change_changes_no_byte(sound: Path, tmp_path: Path) -> None:
    """A copy without changes is the same file."""
    rewrite(sound, tmp_path / "copy", {})
    assert (tmp_path / "copy").read_bytes() == sound.read_bytes()


def test_the_same_content_gives_the_same_members(sound: Path, tmp_path: Path) -> None:
    """Rewritten headers mean the same as the old ones."""
    same = {n: content(sound, named(sound, n)) for n in (NESTED, "config.json")}
    rewrite(sound, tmp_path / "copy", dict(same))
    assert read_members(tmp_path / "copy") == read_members(sound)


@pytest.mark.parametrize("extra_bytes", [0, 1, 511, 512, 5000])
def test_other_content_leaves_a_sound_archive(
    sound: Path, tmp_path: Path, extra_bytes: int
) -> None:
    """Sizes and checksums match again, in the nested archive and around it."""
    copy = tmp_path / "copy"
    rewrite(sound, copy, {NESTED: b'{"version":8}' + b" " * extra_bytes})
    assert check_archive(copy) == check_archive(sound)
    assert read_json(copy, named(copy, NESTED)) == {"version": 8}
    for before, after in zip(read_members(sound), read_members(copy), strict=True):
        assert before.name == after.name
        if after.name not in (NESTED, SEGMENT):
            assert content(copy, after) == content(sound, before)


def test_members_can_be_left_out(sound: Path, tmp_path: Path) -> None:
    """Whole segments and members of segments are removed, even sparse ones."""
    copy = tmp_path / "copy"
    rewrite(sound, copy, {SPARSE: None, "0/segments/seg-1.tar": None})
    left = [m.name for m in read_members(copy)]
    expected = [m.name for m in read_members(sound) if not m.name.startswith("0/segments/seg-1")]
    assert left == [name for name in expected if name != SPARSE]
    assert check_archive(copy).segments_count == 1


def test_a_member_left_out_is_missed(sound: Path, tmp_path: Path) -> None:
    """The archive check reports missing members."""
    rewrite(sound, tmp_path / "copy", {"0/wal/open-1": None})
    with pytest.raises(Damaged, match="no WAL"):
        check_archive(tmp_path / "copy")


def test_what_cannot_be_changed_is_said(sound: Path, tmp_path: Path) -> None:
    """A missing member cannot be changed."""
    with pytest.raises(ValueError, match="no member"):
        rewrite(sound, tmp_path / "copy", {"nowhere.json": b"{}"})


def test_a_changed_sparse_member_is_a_regular_one(sound: Path, tmp_path: Path) -> None:
    """Its holes can be filled then, and Python's own reader of archives reads the same bytes."""
    whole = read_logical(sound, named(sound, SPARSE))
    assert len(whole) == named(sound, SPARSE).size > named(sound, SPARSE).stored_bytes
    rewrite(sound, tmp_path / "copy", {SPARSE: b"x" + whole[1:]})
    changed = named(tmp_path / "copy", SPARSE)
    assert not changed.is_sparse
    assert content(tmp_path / "copy", changed) == b"x" + whole[1:]
    check_archive(tmp_path / "copy")
    with tarfile.open(tmp_path / "copy") as outer:
        nested = outer.extractfile(SEGMENT)
        assert nested is not None
        with tarfile.open(fileobj=nested) as inner:
            read = inner.extractfile(SPARSE.removeprefix(f"{SEGMENT}/"))
            assert read is not None
            assert read.read() == b"x" + whole[1:]


def test_sparse_members_know_where_their_bytes_are(sound: Path) -> None:
    """Stored bytes are found, holes are not."""
    member = named(sound, SPARSE)
    assert member.is_sparse
    assert member.stored_bytes == 700
    assert member.position(699) == member.data + 699
    assert member.position(700) is None
    assert member.offset(member.data + 5) == 5
    with pytest.raises(ValueError, match="no stored data"):
        member.offset(member.data + 700)


def test_only_bytes_that_stand_there_once_are_found(sound: Path) -> None:
    """Bytes that appear twice may be an old version, so they are not found."""
    members = [named(sound, NESTED)]
    found = find_once(sound, b'"version"', members)
    assert found is not None
    assert read_at(sound, found[1], 9) == b'"version"'
    assert find_once(sound, b'"', members) is None
    assert find_once(sound, b"nowhere", members) is None


def test_a_header_with_another_size_is_a_sound_header() -> None:
    """tarfile, which verifies the checksum, can read it."""
    header = tarfile.TarInfo("config.json").tobuf(tarfile.GNU_FORMAT)
    again = tarfile.TarInfo.frombuf(with_size(header, 1234), "utf-8", "strict")
    assert (again.name, again.size) == ("config.json", 1234)
    with pytest.raises(ValueError, match="bytes"):
        with_size(header, 8**11)
