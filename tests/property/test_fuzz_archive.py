"""Mutated snapshots, small and real: `TaskError` or nothing, and no file outside of the folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.amount import amount
from tests.support.archives import BLOCK, archive, header_offsets, overwritten
from tests.support.fuzzing import in_new_folder, read_archive
from tests.support.hostile import CASES, header, signed
from tests.unit.sealing.test_unpack import SOUND

HEADERS = header_offsets(SOUND)
FIELDS = {
    "name": (0, 100),
    "size": (124, 12),
    "checksum": (148, 8),
    "kind": (156, 1),
    "link": (157, 100),
    "magic": (257, 8),
    "prefix": (345, 155),
    "sparse": (386, 96),
    "more": (482, 1),
    "real size": (483, 12),
}
NUMBERS = st.one_of(
    st.integers(0, 1 << 40).map(lambda n: b"%011o\0" % (n % 8**11)),
    st.binary(min_size=11, max_size=11).map(lambda tail: b"\x80" + tail),
    st.sampled_from([b"\xff" * 12, b"-1\0", b" 7 7\0", b"\0" * 12, b"0000000000 \0"]),
)
MANY = settings(max_examples=amount("FUZZ_CASES", quick=150, full=3000), deadline=None)


def taken(content: bytes) -> bool:
    """Read one case in a separate folder."""
    with in_new_folder() as folder:
        return read_archive(Path(folder), content)


def test_the_sound_one_is_taken() -> None:
    """The snapshots that are mutated below are valid before."""
    assert taken(SOUND)


@pytest.mark.parametrize("name", CASES)
def test_no_hostile_case_is_taken(name: str) -> None:
    """The named cases are read by every reader as well."""
    assert not taken(CASES[name][0]())


@MANY
@given(st.data())
def test_any_header_field_may_say_anything(data: st.DataObject) -> None:
    """Fields of any header are replaced, and the header gets a correct checksum again."""
    content = SOUND
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.sampled_from(HEADERS))
        start, size = FIELDS[data.draw(st.sampled_from(sorted(FIELDS)))]
        value = data.draw(NUMBERS | st.binary(max_size=size) | st.text().map(str.encode))[:size]
        block = overwritten(content[at : at + BLOCK], start, value)
        if data.draw(st.booleans()):
            block = signed(block)
        content = overwritten(content, at, block)
    taken(content)


@MANY
@given(st.data())
def test_any_bytes_may_be_others(data: st.DataObject) -> None:
    """Ranges are overwritten, removed, duplicated and swapped."""
    content = SOUND
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        size = data.draw(st.integers(0, 2048))
        piece = content[start : start + size]
        new = data.draw(st.sampled_from([b"", piece * 2, bytes(size)]) | st.binary(max_size=600))
        content = content[:start] + new + content[start + size :]
    taken(content)


@MANY
@given(st.data())
def test_any_members_may_follow(data: st.DataObject) -> None:
    """Members of any type, name and size, with correct checksums, before or after the real ones."""
    made = []
    for _ in range(data.draw(st.integers(1, 4))):
        kind = data.draw(st.sampled_from([b"0", b"\0", b"5", b"S", b"L", b"K", b"x", b"g", b"1"]))
        name = data.draw(st.sampled_from(["0/x", "0/wal/open-2", "1/segments/a.tar", "./", "a/.."]))
        body = data.draw(st.binary(max_size=1100))
        block = header(name, kind, size=data.draw(st.just(len(body)) | st.integers(0, 1 << 33)))
        for key in ("sparse", "real size", "more"):
            start, size = FIELDS[key]
            if kind == b"S":
                block[start : start + size] = data.draw(
                    st.lists(NUMBERS, max_size=8).map(b"".join)
                )[:size].ljust(size, b"\0")
        made.append(signed(block) + body + bytes(-len(body) % BLOCK))
    taken(b"".join(made) + SOUND)
    taken(SOUND[: -2 * BLOCK] + b"".join(made) + bytes(2 * BLOCK))


@MANY
@given(st.binary(max_size=3000))
def test_anything_may_be_called_a_snapshot(content: bytes) -> None:
    """Random bytes as an archive, and as the archive of a segment."""
    assert not taken(content)
    assert not taken(archive([], end=b"") + content)
