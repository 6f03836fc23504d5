"""Any manifest, proofs and fingerprint of a snapshot: `TaskError` or nothing."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.fingerprint import Accumulator
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.system.errors import Damaged
from tests.support.amount import amount
from tests.support.fuzzing import (
    NAME,
    PROBES,
    first_schema,
    in_new_folder,
    read_catalog,
    read_fingerprint,
    sound_manifest,
)

SOUND = sound_manifest()
FIRST = first_schema()
PROOF = {"at": "2025-01-01T00:00:00+00:00", "kind": "drill", "ok": True, "restore_seconds": 1.5}
FINGERPRINT = Accumulator().result().as_json()
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(1e999, -1e999, float("nan"), 10**400, -(10**400), 1 << 64, -1, 0, 1e308),
        *("\ud800", "\x1b[2J", "../../x", "", "a" * 300, "\0", "9999-12-31T23:59:59-23:59"),
        *("0001-01-01T00:00:00+23:59", "2025-01-01T00:00:00", "١", "1.17.0\n", [], {}, [[]], None),
    ]
)
VALUES = ODD | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
MANY = settings(max_examples=amount("FUZZ_CASES", quick=150, full=3000), deadline=None)


def read(
    manifest: bytes = b"",
    proofs: bytes = b"",
    fingerprint: bytes = b"",
    probes: bytes | None = None,
) -> None:
    """Read one case in a separate folder."""
    with in_new_folder() as folder:
        read_catalog(Path(folder), manifest, proofs, fingerprint, probes)


def paths(value: Any, *before: Any) -> list[tuple[Any, ...]]:
    """Return the path to every value of a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, inner in items:
        found.append((*before, key))
        if isinstance(inner, dict | list):
            found += paths(inner, *before, key)
    return found


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return a copy with another value in one place."""
    copy = json.loads(json.dumps(document))
    target = copy
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return copy


def encoded(value: Any) -> bytes:
    """Return the JSON, including everything that only Python accepts."""
    return json.dumps(value).encode()


@pytest.mark.parametrize("sound", [SOUND, FIRST], ids=["schema 2", "schema 1"])
def test_the_sound_one_is_read(tmp_path: Path, sound: dict[str, Any]) -> None:
    """The files that are mutated below are valid before."""
    read_catalog(tmp_path, encoded(sound), encoded(PROOF), b"")
    (entry,) = Catalog(tmp_path).entries()
    assert entry.manifest is not None
    assert len(entry.probes) == len(entry.proofs) == 1


@MANY
@given(st.data())
def test_any_value_may_be_another(data: st.DataObject) -> None:
    """Up to three values of a valid manifest are replaced by odd ones."""
    document = data.draw(st.sampled_from([SOUND, FIRST]))
    for _ in range(data.draw(st.integers(1, 3))):
        document = changed(document, data.draw(st.sampled_from(paths(document))), data.draw(VALUES))
    read(encoded(document))


@MANY
@given(st.data())
def test_any_search_may_say_anything(data: st.DataObject) -> None:
    """Searches with odd values, whose file the manifest identifies."""
    document = json.loads(PROBES)
    for _ in range(data.draw(st.integers(1, 3))):
        document = changed(document, data.draw(st.sampled_from(paths(document))), data.draw(VALUES))
        if not document or not isinstance(document[0], dict):
            break
    text = encoded(document)
    recorded = {"count": 1, "sha256": hashlib.sha256(text).hexdigest()}
    read(encoded(SOUND | {"probes": recorded}), probes=text)


@MANY
@given(st.data())
def test_any_proof_may_say_anything(data: st.DataObject) -> None:
    """Proofs with odd values, and lines that are not proofs, are ignored."""
    lines = [encoded(changed(PROOF, (key,), data.draw(VALUES))) for key in PROOF]
    lines.append(data.draw(st.binary(max_size=100)))
    read(encoded(SOUND), b"\n".join(lines), b"")


@MANY
@given(st.data())
def test_any_fingerprint_is_one_or_none(data: st.DataObject) -> None:
    """Sums with odd values are rejected, and nothing worse happens."""
    component = {"kind": "payload", "name": "", "points_count": 0, "buckets": "AAAA"}
    document = changed({**FINGERPRINT, "components": [component]}, ("x",), 1)
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(paths(document)))
        document = changed(document, path, data.draw(VALUES))
    read_fingerprint(encoded(document).decode())
    read(encoded(SOUND), b"", encoded(document))


@MANY
@given(VALUES, st.binary(max_size=300))
def test_anything_may_stand_there(value: Any, content: bytes) -> None:
    """Any JSON and any bytes in each of the four files."""
    for case in (encoded(value), content):
        read(case, case, case, case)
        read(encoded(SOUND), probes=case)


def deep(opening: bytes, closing: bytes, depth: int) -> bytes:
    """Return one value in that many others."""
    return opening * depth + b"1" + closing * depth


def read_whole(entry: Snapshot) -> None:
    """Read everything that a restore test needs from the files of a snapshot."""
    entry.check_manifest()
    assert entry.probes
    assert entry.sealed


CASES: dict[str, bytes] = {
    "deep": encoded(SOUND)[:-1] + b', "config": ' + deep(b'{"a":', b"}", 900) + b"}",
    "a million deep": deep(b"[", b"]", 1_000_000),
    "a million values": b"[" + b"[]," * 1_000_000 + b"1]",
    "a number that overflows": encoded(changed(FIRST, ("probes", 0, "recall"), 10**400)),
    "a score that overflows": encoded(changed(FIRST, ("probes", 0, "exact"), [[1, 10**400]])),
    "an id that is a list": encoded(changed(FIRST, ("probes", 0, "id"), [])),
    "a seal that overflows": encoded(changed(SOUND, ("fingerprint", "points_count"), 1e999)),
    "the end of time": encoded(changed(SOUND, ("created_at",), "0001-01-01T00:00:00+23:59")),
    "half a character": encoded(changed(SOUND, ("collection",), "\ud800")),
    "half a character as a label": encoded(changed(SOUND, ("label",), "\udfff")),
}


@pytest.mark.parametrize("name", CASES)
def test_what_was_found_once_is_damage(tmp_path: Path, name: str) -> None:
    """Each of these ended in a traceback, or would have later."""
    read_catalog(tmp_path, CASES[name], b"", b"")
    (entry,) = Catalog(tmp_path).entries()
    with pytest.raises(Damaged) as caught:
        read_whole(entry)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 500


@pytest.mark.parametrize("suffix", [".json", ".fingerprint.json", ".probes.json", ".proofs.jsonl"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "loop"])
def test_no_other_kind_of_file_is_waited_for(tmp_path: Path, suffix: str, kind: str) -> None:
    """A pipe would block forever, a device would never end, and a link to itself leads nowhere."""
    read_catalog(tmp_path, encoded(SOUND), b"", encoded(FINGERPRINT))
    stem = NAME if suffix != ".proofs.jsonl" else NAME.removesuffix(".snapshot")
    path = tmp_path / (stem + suffix)
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "device" else path.name)
    (entry,) = Catalog(tmp_path).entries()
    assert entry.proofs == ()
    if suffix != ".proofs.jsonl":
        with pytest.raises(Damaged):
            read_whole(entry)
