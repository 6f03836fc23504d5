"""Any marker and any object off-site: `TaskError` or what was pushed."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import starmap
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from snapshot_tasks.offsite.codec import Packer, Unpacker
from snapshot_tasks.offsite.index import Index, Lying, Zeros, parse_index
from snapshot_tasks.offsite.known import Known, load_known
from snapshot_tasks.offsite.layout import parse_data_name, parse_marker_name
from snapshot_tasks.offsite.marker import Blob, Marker, Pack, parse_marker
from snapshot_tasks.offsite.pack_store import PackStore
from snapshot_tasks.offsite.packs import OPEN_KEY, Place, block_of
from snapshot_tasks.system.errors import Damaged, TaskError
from snapshot_tasks.system.untrusted import printable
from tests.property.test_fuzz_manifest import MANY, VALUES, changed, encoded, paths
from tests.support.breaking import Memory

AT = datetime(2025, 1, 1, 12, tzinfo=UTC)
PART = Blob(name=f"parts/00000-{'a' * 16}.zst", size_bytes=3, stored_bytes=9, sha256="ab" * 32)
MANIFEST = Blob(
    name=f"manifest-{'b' * 16}.json-{'c' * 8}.zst.age",
    size_bytes=3,
    stored_bytes=9,
    sha256="cd" * 32,
)
SOUND = Marker(
    snapshot="books_20250101_120000.snapshot",
    collection="books",
    created_at=AT,
    size_bytes=3,
    sha256="ef" * 32,
    parts=(PART,),
    beside={"manifest.json": MANIFEST},
    points_count=1,
    qdrant_version="1.17.0",
    proven_at=AT,
    label="a label",
    encrypted_to=("age1x",),
)
PACK = f"{'d' * 64}.zst"
INDEX = Blob(name=f"index-{'a' * 16}.zst", size_bytes=3, stored_bytes=9, sha256="ab" * 32)
SOUND_OF_BLOCKS = replace(SOUND, parts=(), index=INDEX, packs=(Pack(PACK, 99),))
DOCUMENTS: list[dict[str, Any]] = [json.loads(m.dump()) for m in (SOUND, SOUND_OF_BLOCKS)]
CHANGES = [(number, path) for number, one in enumerate(DOCUMENTS) for path in paths(one)]
BLOCKS = {block_of(plain, OPEN_KEY): plain for plain in (b"one" * 50, b"two" * 50, b"3" * 99)}
PIECES = [Packer().pack(plain) for plain in BLOCKS.values()]
STARTS = [sum(map(len, PIECES[:number])) for number in range(len(PIECES))]
PLACES = {
    block: Place(PACK, start, len(piece))
    for block, start, piece in zip(BLOCKS, STARTS, PIECES, strict=True)
}
INDEXED = Index(OPEN_KEY, (*starmap(Lying, PLACES.items()), Zeros(1000)))
TEXT = INDEXED.dump()
PACKED = Packer().pack(b"what was pushed" * 100)


def read(data: bytes) -> None:
    """Read a marker, and use it as a pull and a list do."""
    with suppress(TaskError):
        marker = parse_marker(data, SOUND.key)
        assert marker.key == SOUND.key
        assert all(".." not in blob.name for blob in marker.blobs)
        assert marker.stored_bytes >= 0
        marker.created_at.isoformat()
        printable(f"{marker.label} {marker.qdrant_version} {marker.encrypted_to}").encode()
        assert parse_marker(marker.dump(), SOUND.key) == marker


def test_the_sound_one_is_read() -> None:
    """The objects that are mutated below are valid before."""
    for sound in (SOUND, SOUND_OF_BLOCKS):
        assert parse_marker(sound.dump(), SOUND.key) == sound
    assert parse_index(TEXT, "x") == INDEXED


@MANY
@given(change=st.sampled_from(CHANGES), value=VALUES)
def test_any_value_anywhere(change: tuple[int, tuple[Any, ...]], value: Any) -> None:
    """A marker with one wrong value, of blocks or of parts."""
    number, path = change
    read(encoded(changed(DOCUMENTS[number], path, value)))


@MANY
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode) | VALUES.map(encoded))
def test_anything_instead_of_a_marker(data: bytes) -> None:
    """Bytes, text, any JSON."""
    read(data)


@MANY
@given(at=st.integers(0, len(PACKED) - 1), value=st.integers(0, 255), cut=st.booleans())
def test_any_damage_of_an_object(at: int, value: int, cut: bool) -> None:
    """One byte changed, or the rest truncated: never more memory, never another error."""
    data = PACKED[:at] if cut else PACKED[:at] + bytes([value]) + PACKED[at + 1 :]
    for name in ("x.zst", "x.zst.age"):
        with suppress(TaskError):
            assert len(Unpacker().unpack(name, data, max_bytes=1500)) <= 1500
    with suppress(Damaged):
        Unpacker().unpack("x.zst", data, max_bytes=1500)


@MANY
@given(st.text(max_size=60) | st.sampled_from(["pushed/a/b.json", "data/a/b/parts/x", "pushed/%/"]))
def test_any_name_of_an_object(name: str) -> None:
    """A name is ours and decoded correctly, or it is not ours."""
    key, data = parse_marker_name(name), parse_data_name(name)
    assert key is None or key.marker == name
    assert data is None or f"{data[0].folder}/{data[1]}" == name


def read_blocks(index: Index, stored: bytes) -> None:
    """Read all blocks of an index from its pack, as a pull does: an error, or what was sent."""
    packs = PackStore(Memory())
    packs.write(PACK, stored)
    places = [(one.block, one.place) for one in index.lying() if one.place.pack == PACK]
    with suppress(TaskError):
        for block, plain in packs.read(places, index.key, Unpacker()):
            assert block_of(plain, index.key) == block


@MANY
@given(
    line=st.integers(0, 6),
    text=st.text(max_size=120)
    | st.from_regex(r"block [0-9a-f]{64} \d{1,9} \d \d{1,9} \d{1,9}", fullmatch=True)
    | st.sampled_from(TEXT.decode().splitlines()),
    extra=st.booleans(),
)
def test_any_line_of_an_index(line: int, text: str, extra: bool) -> None:
    """Whatever it says, no other bytes are taken for those of a block."""
    lines = TEXT.decode().splitlines()
    lines[line : line + (not extra)] = [text]
    with suppress(TaskError):
        index = parse_index("\n".join(lines).encode(), "x")
        assert parse_index(index.dump(), "x").size_bytes == index.size_bytes
        read_blocks(index, b"".join(PIECES))


@MANY
@given(st.binary(max_size=300))
def test_anything_instead_of_an_index(data: bytes) -> None:
    """Bytes of any kind."""
    with suppress(TaskError):
        parse_index(data, "x")
    with suppress(TaskError):
        parse_index(TEXT + data, "x")


@MANY
@given(at=st.integers(0, sum(map(len, PIECES)) - 1), value=st.integers(0, 255), cut=st.booleans())
def test_any_damage_of_a_pack(at: int, value: int, cut: bool) -> None:
    """One byte changed, or the rest truncated."""
    stored = b"".join(PIECES)
    read_blocks(INDEXED, stored[:at] if cut else stored[:at] + bytes([value]) + stored[at + 1 :])


def remembered(folder: Path) -> Path:
    """Return a file of what a machine has sent."""
    known = Known(OPEN_KEY, folder / "x" / "y.known")
    known.save()
    known.remember(PACK, PLACES)
    return folder / "x" / "y.known"


@MANY
@given(at=st.integers(0, 700), value=st.binary(max_size=3), rest=st.booleans())
def test_any_damage_of_what_a_machine_knows(at: int, value: bytes, rest: bool) -> None:
    """It never says that a block lies where it does not, so more is sent than needed."""
    with TemporaryDirectory() as folder:
        path = remembered(Path(folder))
        data = path.read_bytes()
        path.write_bytes(data[:at] + value + (data[at + 1 :] if rest else b""))
        known = load_known(path, ".zst")
    if known and known.key == OPEN_KEY:
        places = known.places({PACK: sum(map(len, PIECES))})
        assert places.items() <= PLACES.items()


@MANY
@given(st.binary(max_size=200))
def test_anything_instead_of_what_a_machine_knows(data: bytes) -> None:
    """Also after a sound first line."""
    with TemporaryDirectory() as folder:
        path = remembered(Path(folder))
        for start in (b"", path.read_bytes()):
            path.write_bytes(start + data)
            known = load_known(path, ".zst")
            assert known is None or known.places({PACK: 1}) == {}
