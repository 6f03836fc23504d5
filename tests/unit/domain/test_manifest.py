"""A manifest is read back as it was written; newer ones are refused, damaged ones reported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from snapshot_tasks.catalog import load
from snapshot_tasks.catalog.load import load_manifest
from snapshot_tasks.domain.manifest import Manifest, dump_manifest, parse_manifest
from snapshot_tasks.domain.probes_file import ProbesFile
from snapshot_tasks.domain.seal import Seal
from snapshot_tasks.system.errors import Damaged, Refused
from tests.support.manifests import SEAL, make_manifest

# What this project sealed such a manifest with before there was a schema 2.
OLD_DESCRIPTION = "74a781aff3ac00df1b63348157770b2c8452d3b4fa5888ec1491e9a5a557261a"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of the manifest."""
    return tmp_path / "books_20250101_120000.snapshot.json"


def document(**changes: Any) -> dict[str, Any]:
    """Return a manifest's JSON with these keys changed."""
    return json.loads(dump_manifest(make_manifest())) | changes  # type: ignore[no-any-return]


def refusal(path: Path, text: str | bytes) -> str:
    """Return the message of the error for such a manifest."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(Damaged) as caught:
        load_manifest(path)
    assert caught.value.exit_code == 20
    assert path.name in caught.value.message
    return caught.value.message


def test_a_manifest_comes_back(path: Path) -> None:
    """Reading a written manifest loses nothing."""
    made = make_manifest(
        label="Umzug ü",
        seal=Seal.from_json({"algorithm": "x", "digest": "y"}),
        probes_file=ProbesFile(count=1, sha256="ab" * 32),
        source_moved=True,
        safety=True,
    )
    path.write_text(dump_manifest(made), encoding="utf-8")
    assert load_manifest(path) == made


def first_schema(**changes: Any) -> Manifest:
    """Return a manifest of schema 1 as it was written, with its searches in it."""
    probes = [{"vector": "", "id": 7, "exact": [[7, 1.0]], "recall": 1.0}]
    old = document(schema=1, probes=probes, **changes)
    del old["indexes"]
    return parse_manifest(json.dumps(old), "old.snapshot.json")


def test_schema_1_stays_readable() -> None:
    """The searches of an old manifest are in it, and the hash that its seal covers is the same."""
    old = first_schema()
    assert old.schema == 1
    assert [probe["id"] for probe in old.probes] == [7]
    assert old.probes_file is None
    assert old.description == OLD_DESCRIPTION
    assert parse_manifest(dump_manifest(old), "old.snapshot.json") == old


def test_the_searches_of_schema_1_are_sealed() -> None:
    """An old manifest whose searches were edited no longer fits its seal."""
    old = first_schema()
    assert replace(old, probes=()).description != old.description
    assert replace(old, schema=2).description != old.description


def test_no_file_is_no_manifest(path: Path) -> None:
    """A snapshot of another tool has no manifest, and that is not an error."""
    assert load_manifest(path) is None


def test_the_keys_are_those_promised() -> None:
    """Other tools read this file, so its keys are a contract."""
    assert set(document()) >= {
        *("schema", "collection", "snapshot", "created_at", "size_bytes", "sha256"),
        *("qdrant_version", "source_url", "label", "points_count", "source_points_before"),
        *("source_points_after", "source_moved", "fingerprint", "config", "payload_schema"),
        *("aliases", "probes"),
    }
    assert document()["schema"] == 2


def test_unknown_keys_are_ignored(path: Path) -> None:
    """Older code reads newer files of the same schema."""
    path.write_text(json.dumps(document(moon={"phase": "full"})), encoding="utf-8")
    assert load_manifest(path) == make_manifest()


@pytest.mark.parametrize("key", ["label", "fingerprint", "probes", "safety"])
def test_later_keys_may_be_missing(path: Path, key: str) -> None:
    """Keys that were introduced later have defaults."""
    without = {k: v for k, v in document().items() if k != key}
    path.write_text(json.dumps(without), encoding="utf-8")
    assert load_manifest(path) == make_manifest(seal=None if key == "fingerprint" else SEAL)


def test_a_newer_schema_is_refused(path: Path) -> None:
    """A manifest with a newer schema is refused by that number, whatever else it contains."""
    path.write_text(json.dumps({"schema": 3, "collection": ["moved"]}), encoding="utf-8")
    with pytest.raises(Refused, match="schema 3") as caught:
        load_manifest(path)
    assert caught.value.exit_code == 24


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b"\x00" * 64, b"[" * 100_000, b"{}"],
)
def test_what_is_no_manifest_is_damaged(path: Path, text: bytes) -> None:
    """A truncated, zeroed, binary or endlessly nested file is damage, not a crash."""
    refusal(path, text)


@pytest.mark.parametrize(
    "key",
    ["schema", "collection", "created_at", "sha256", "points_count", "config", "aliases"],
)
def test_a_missing_key_is_named(path: Path, key: str) -> None:
    """If a fact is missing from the manifest, the error names it."""
    without = {k: v for k, v in document().items() if k != key}
    assert f"'{key}' is missing" in refusal(path, json.dumps(without))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schema", "1"),
        ("schema", True),
        ("collection", None),
        ("created_at", "yesterday"),
        ("created_at", "2025-01-01T12:00:00"),
        ("size_bytes", "3"),
        ("points_count", True),
        ("points_count", 1.5),
        ("source_moved", 0),
        ("config", []),
        ("payload_schema", None),
        ("aliases", "library"),
        ("probes", 7),
        ("probes", []),
        ("probes", {"count": 1}),
        ("fingerprint", "abc"),
    ],
)
def test_a_value_of_another_kind_is_damage(path: Path, key: str, value: Any) -> None:
    """Facts of the wrong type are found when they are read, not when they are used."""
    refusal(path, json.dumps(document(**{key: value})))


def test_a_huge_manifest_is_not_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Manifests are small, so a large file is not loaded into memory."""
    monkeypatch.setattr(load, "MAX_MANIFEST_BYTES", 1 << 20)
    assert "larger than 1 MiB" in refusal(path, b" " * ((1 << 20) + 1))


def test_a_folder_in_its_place_is_damage(path: Path) -> None:
    """Anything else in place of the manifest is reported."""
    path.mkdir()
    with pytest.raises(Damaged):
        load_manifest(path)
