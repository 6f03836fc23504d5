"""Any marker and any object off-site: `TaskError` or what was pushed."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from snapshot_tasks.offsite.codec import Packer, Unpacker
from snapshot_tasks.offsite.layout import parse_data_name, parse_marker_name
from snapshot_tasks.offsite.marker import Blob, Marker, parse_marker
from snapshot_tasks.system.errors import Damaged, TaskError
from snapshot_tasks.system.untrusted import printable
from tests.property.test_fuzz_manifest import MANY, VALUES, changed, encoded, paths

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
DOCUMENT: dict[str, Any] = json.loads(SOUND.dump())
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
    assert parse_marker(SOUND.dump(), SOUND.key) == SOUND


@MANY
@given(path=st.sampled_from(paths(DOCUMENT)), value=VALUES)
def test_any_value_anywhere(path: tuple[Any, ...], value: Any) -> None:
    """A marker with one wrong value."""
    read(encoded(changed(DOCUMENT, path, value)))


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
