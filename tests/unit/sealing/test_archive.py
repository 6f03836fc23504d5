"""The strict archive check finds truncated, appended, missing, foreign and hostile content."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapshot_tasks.sealing import archive as archive_module
from snapshot_tasks.sealing import tar as tar_module
from snapshot_tasks.sealing.archive import check_archive
from snapshot_tasks.system.errors import Damaged
from tests.support.archives import (
    BLOCK,
    Entry,
    archive,
    header_offsets,
    overwritten,
    replaced,
    segment,
    snapshot_bytes,
    snapshot_entries,
    write_snapshot,
)

SOUND = snapshot_bytes()
HEADERS = header_offsets(SOUND)
CHECKSUM = range(148, 156)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that each example writes again."""
    return tmp_path_factory.mktemp("archive") / "books.snapshot"


def refusal(path: Path, content: bytes) -> str:
    """Return the message of the check for such a file."""
    with pytest.raises(Damaged) as caught:
        check_archive(write_snapshot(path, content))
    assert caught.value.exit_code == 20
    return caught.value.message


def with_config(text: bytes) -> bytes:
    """Return a snapshot with the given config.json."""
    return archive(replaced(snapshot_entries(), "config.json", text))


@pytest.mark.parametrize("shards", [1, 3, 11])
def test_a_sound_file_is_summed_up(scratch: Path, shards: int) -> None:
    """An intact file passes, and its shards are listed in numerical order."""
    summary = check_archive(write_snapshot(scratch, snapshot_bytes(shards=shards)))
    assert summary.shards == tuple(str(number) for number in range(shards))
    assert summary.segments_count == 2 * shards
    assert summary.members_count == 5 * shards + 4
    assert summary.config["params"]["shard_number"] == shards


def test_what_other_writers_may_do_passes(scratch: Path) -> None:
    """Directories, a leading `./` and a finished segment archive are not damage."""
    entries = [
        Entry(name=f"./{e.name}", data=e.data, kind=e.kind)
        for e in replaced(snapshot_entries(), "0/segments/seg-0.tar", segment(end=bytes(1024)))
    ]
    content = archive([Entry(name="0/", kind=tarfile.DIRTYPE), *entries])
    assert check_archive(write_snapshot(scratch, content)).shards == ("0",)


def test_a_file_cut_at_any_block_is_damaged(scratch: Path) -> None:
    """Truncation at, just before and just after every block boundary is found."""
    for boundary in range(0, len(SOUND) + 1, BLOCK):
        for length in {max(boundary - 1, 0), boundary, boundary + 1}:
            if length < len(SOUND):
                refusal(scratch, SOUND[:length])


@settings(max_examples=15, deadline=None)
@given(length=st.integers(0, len(SOUND) - 1))
def test_a_file_cut_anywhere_is_damaged(scratch: Path, length: int) -> None:
    """Truncation at any byte is found."""
    refusal(scratch, SOUND[:length])


@settings(max_examples=20, deadline=None)
@given(tail=st.binary(min_size=1, max_size=2000) | st.integers(1, 3000).map(bytes))
def test_whatever_is_appended_is_damage(scratch: Path, tail: bytes) -> None:
    """Bytes after the end are found, even zeros."""
    refusal(scratch, SOUND + tail)


def test_a_segment_cut_inside_a_whole_file_is_damage(scratch: Path) -> None:
    """A segment archive that was truncated before the file was made is found, wherever it was."""
    inner = segment()
    for length in range(0, len(inner), BLOCK // 2 - 1):
        entries = replaced(snapshot_entries(), "0/segments/seg-0.tar", inner[:length])
        refusal(scratch, archive(entries))


@pytest.mark.parametrize("offset", HEADERS)
def test_a_hole_over_a_header_is_damage(scratch: Path, offset: int) -> None:
    """A zeroed header is found, even in a segment archive."""
    refusal(scratch, overwritten(SOUND, offset, bytes(BLOCK)))


@pytest.mark.parametrize("offset", HEADERS)
def test_a_hole_up_to_the_end_is_damage(scratch: Path, offset: int) -> None:
    """A file whose end was never written, as after a power failure, is found."""
    refusal(scratch, overwritten(SOUND, offset, bytes(len(SOUND) - offset)))


@settings(max_examples=15, deadline=None)
@given(
    header=st.sampled_from(HEADERS),
    place=st.integers(0, BLOCK - 1).filter(lambda place: place not in CHECKSUM),
    bit=st.integers(0, 7),
)
def test_a_flipped_bit_in_a_header_is_damage(
    scratch: Path, header: int, place: int, bit: int
) -> None:
    """One flipped bit in any header is found by the checksum of that header."""
    flipped = bytes([SOUND[header + place] ^ 1 << bit])
    refusal(scratch, overwritten(SOUND, header + place, flipped))


@pytest.mark.parametrize("content", [b"", b"{}", b"\x1f\x8b" + bytes(600), bytes(2048)])
def test_what_is_no_tar_is_damage(scratch: Path, content: bytes) -> None:
    """An empty file, text, gzip and zeros are refused."""
    refusal(scratch, content)


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "version.info",
        "0/shard_config.json",
        "0/replica_state.json",
        "0/wal/open-1",
    ],
)
def test_a_missing_member_is_named(scratch: Path, name: str) -> None:
    """If a member that a restore needs is missing, the error names it."""
    message = refusal(scratch, archive(e for e in snapshot_entries() if e.name != name))
    assert ("no WAL" if "wal" in name else name) in message


@pytest.mark.parametrize("name", ["segment.json", "version.info"])
def test_a_missing_member_of_a_segment_is_named(scratch: Path, name: str) -> None:
    """A segment archive is checked as well."""
    content = replaced(snapshot_entries(), "0/segments/seg-1.tar", segment(without=name))
    assert f"0/segments/seg-1.tar: {name} is missing" in refusal(scratch, archive(content))


def test_a_shard_without_segments_is_damage(scratch: Path) -> None:
    """A shard without any points is not a shard."""
    message = refusal(scratch, archive(snapshot_entries(segments=0)))
    assert "shard 0 has no segment" in message


def test_a_file_without_shards_is_damage(scratch: Path) -> None:
    """The files of the collection alone are not a snapshot."""
    message = refusal(scratch, archive(e for e in snapshot_entries() if "/" not in e.name))
    assert "no shard" in message


def test_a_whole_shard_too_few_is_damage(scratch: Path) -> None:
    """The number of shards must be the number in config.json."""
    entries = [e for e in snapshot_entries(shards=2) if not e.name.startswith("1/")]
    assert "says 2 shards, but the file contains 1" in refusal(scratch, archive(entries))


def test_custom_sharding_is_not_counted(scratch: Path) -> None:
    """With custom sharding, `shard_number` is per key and says nothing about the file."""
    config = b'{"params": {"shard_number": 4, "sharding_method": "custom"}}'
    assert check_archive(write_snapshot(scratch, with_config(config))).shards == ("0",)


@pytest.mark.parametrize("name", ["/etc/passwd", "../escape", "0/../../x", "0/wal/.."])
def test_an_unsafe_name_is_refused(scratch: Path, name: str) -> None:
    """No member may point outside the archive."""
    assert "unsafe name" in refusal(scratch, archive([Entry(name=name), *snapshot_entries()]))


@pytest.mark.parametrize("name", ["/etc/passwd", "snapshot/files/../../x"])
def test_an_unsafe_name_in_a_segment_is_refused(scratch: Path, name: str) -> None:
    """Members of a segment archive may not do so either."""
    inner = segment(also=[Entry(name=name)])
    message = refusal(scratch, archive(replaced(snapshot_entries(), "0/segments/seg-0.tar", inner)))
    assert "unsafe name" in message


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE],
)
def test_links_and_devices_are_refused(scratch: Path, kind: bytes) -> None:
    """A snapshot contains only files and folders, inside and outside of segments."""
    odd = Entry(name="0/wal/odd", kind=kind, link="/etc/passwd")
    assert "not a regular file" in refusal(scratch, archive([odd, *snapshot_entries()]))
    entries = replaced(snapshot_entries(), "0/segments/seg-0.tar", segment(also=[odd]))
    assert "not a regular file" in refusal(scratch, archive(entries))


def test_a_name_that_stands_twice_is_refused(scratch: Path) -> None:
    """If two members had the same name, the later one would win during unpacking."""
    entries = snapshot_entries()
    assert "appears twice" in refusal(scratch, archive([*entries, entries[-1]]))
    assert "appears twice" in refusal(scratch, archive([*entries, Entry(name="./config.json")]))


@pytest.mark.parametrize("text", [b"", b"{", b"\x00" * 20, b"\xff\xfe", b"[" * 100_000])
@pytest.mark.parametrize("name", ["config.json", "0/replica_state.json", "payload_index.json"])
def test_json_that_does_not_parse_is_damage(scratch: Path, name: str, text: bytes) -> None:
    """Every JSON member is read; a hole, truncation or endless nesting is found."""
    refusal(scratch, archive(replaced(snapshot_entries(), name, text)))


def test_json_of_a_segment_that_does_not_parse_is_damage(scratch: Path) -> None:
    """The JSON in segments is read too."""
    inner = segment(also=[Entry(name="snapshot/files/payload_index/config.json", data=b"{")])
    entries = replaced(snapshot_entries(), "0/segments/seg-0.tar", inner)
    assert "payload_index/config.json is not JSON" in refusal(scratch, archive(entries))


@pytest.mark.parametrize("config", [b"[]", b"null", b"7"])
def test_a_config_that_is_no_object_is_damage(scratch: Path, config: bytes) -> None:
    """The configuration of the collection must be an object."""
    assert "config.json is not an object" in refusal(scratch, with_config(config))


@pytest.mark.parametrize("params", [b"null", b"[]", b'"x"', b"3"])
def test_params_that_are_no_object_are_damage(scratch: Path, params: bytes) -> None:
    """Valid JSON of an unexpected shape is damage, not a crash."""
    refusal(scratch, with_config(b'{"params": ' + params + b"}"))


@pytest.mark.parametrize("claimed", [-512, -(1 << 40), 1 << 40, 1 << 63, 1 << 80])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_a_size_that_lies_is_damage(scratch: Path, kind: bytes, claimed: int) -> None:
    """A header with a negative or absurd size is damage: no loop, no crash, no huge buffer."""
    lying = Entry(name="0/wal/lying", kind=kind, data=b"x" * 100, claimed_bytes=claimed)
    refusal(scratch, archive([lying, *snapshot_entries()]))


def test_too_many_members_are_refused(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Endless members end the check early; those of all segments count together: 9 + 4 + 4."""
    monkeypatch.setattr(tar_module, "MAX_MEMBERS", 16)
    assert "more than 16 members" in refusal(scratch, SOUND)
    monkeypatch.setattr(tar_module, "MAX_MEMBERS", 17)
    assert check_archive(write_snapshot(scratch, SOUND)).members_count == 9


def test_json_that_is_too_large_is_refused(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A JSON member is only read into memory up to a limit."""
    monkeypatch.setattr(archive_module, "MAX_JSON_BYTES", 1 << 20)
    padded = b'{"params": {}}' + b" " * (1 << 20)
    assert "config.json is larger than 1 MiB" in refusal(scratch, with_config(padded))


def test_a_refusal_can_be_printed_whatever_the_names(scratch: Path) -> None:
    """Names that are not UTF-8, or that contain control characters, are harmless in the message."""
    for name in ("\udcff/wal/open-1", "\x1b[2J/wal/open-1"):
        message = refusal(scratch, archive([Entry(name=name), *snapshot_entries()]))
        assert message.encode()
        assert message.isprintable()
