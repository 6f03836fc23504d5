"""`snapshot.verify` on files of a real server, intact and damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Inv
from tests.integration.conftest import Samples
from tests.support.world import (
    assert_error,
    edit_manifest,
    flip_byte,
    manifest_of,
    proofs_of,
)


@pytest.fixture
def folder(inv: Inv) -> Path:
    """The snapshot folder of this test's own project."""
    return inv.root / "qdrant_snapshots"


def statuses(document: dict[str, object]) -> dict[str, str]:
    """Return check and status of the only verified snapshot."""
    result = document["result"]
    assert isinstance(result, dict)
    [one] = result["snapshots"]
    return {finding["check"]: finding["status"] for finding in one["findings"]}


@pytest.mark.parametrize("kind", ["plain", "rich"])
def test_a_sound_file_is_proven_sound(samples: Samples, inv: Inv, folder: Path, kind: str) -> None:
    """Every check is OK, by name, by path and by default, and each run leaves a proof line."""
    file = samples.put(kind, folder)
    for flags in (
        ("--snapshot", file.name),
        ("--snapshot", str(file)),
        ("--snapshot", file.name.removesuffix(".snapshot")),
        ("--collection", f"sample-{kind}"),
        ("--snapshot", f"sample-{kind}_latest.snapshot"),
    ):
        ran = inv("snapshot.verify", *flags, "--json")
        assert ran.code == 0, ran.stderr
        assert set(statuses(ran.document).values()) == {"OK"}
    proofs = proofs_of(file)
    assert len(proofs) == 5
    assert {(p["kind"], p["ok"]) for p in proofs} == {("verify", True)}


@pytest.mark.parametrize("at", [0.0, 0.3, 0.5, 0.999])
def test_one_flipped_byte_is_found(samples: Samples, inv: Inv, folder: Path, at: float) -> None:
    """One changed byte anywhere is exit code 20, and the proof says so."""
    file = samples.put("plain", folder)
    flip_byte(file, at=at)
    ran = inv("snapshot.verify", "--collection", "sample-plain")
    assert_error(ran, 20, file.name, "sha256")
    assert [p["ok"] for p in proofs_of(file)] == [False]


@pytest.mark.parametrize("manifest", [True, False])
@pytest.mark.parametrize("cut", [1, 100_000])
def test_a_truncated_file_is_found(
    samples: Samples, inv: Inv, folder: Path, cut: int, manifest: bool
) -> None:
    """A file that is cut off is exit code 20, even if no manifest has its size."""
    file = samples.put("plain", folder, manifest=manifest)
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size - cut)
    ran = inv("snapshot.verify", "--snapshot", file.name)
    assert_error(ran, 20, "damaged")


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"hello, I am no snapshot\n" * 500])
def test_a_foreign_file_is_found(inv: Inv, folder: Path, content: bytes) -> None:
    """A file that is not a snapshot is exit code 20, without a traceback."""
    (folder / "thing_20250101_120000.snapshot").write_bytes(content)
    ran = inv("snapshot.verify", "--collection", "thing")
    assert_error(ran, 20, "thing_20250101_120000.snapshot")


def test_the_manifest_of_another_snapshot_is_found(
    samples: Samples, inv: Inv, folder: Path
) -> None:
    """Swapped manifests are exit code 20: the bytes are not the ones that were recorded."""
    plain, rich = samples.put("plain", folder), samples.put("rich", folder)
    manifest_of(rich).replace(manifest_of(plain))
    ran = inv("snapshot.verify", "--snapshot", plain.name)
    assert_error(ran, 20, plain.name)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("aliases", []),
        ("points_count", 1),
        ("payload_schema", {}),
        ("probes", None),
        ("config", {}),
    ],
)
def test_a_manifest_that_was_edited_is_found(
    samples: Samples, inv: Inv, folder: Path, key: str, value: object
) -> None:
    """The seal also covers what the manifest says about the collection, such as its aliases."""
    file = samples.put("rich", folder)
    edit_manifest(file, lambda m: m.update({key: value}), bind=False)
    assert_error(inv("snapshot.verify", "--snapshot", file.name), 20, file.name, "manifest")


def test_a_file_without_manifest_is_listed_and_verified(
    samples: Samples, inv: Inv, folder: Path
) -> None:
    """The structure of a file from another tool is checked; unrecorded facts are a warning."""
    file = samples.put("plain", folder, manifest=False)
    ran = inv("snapshot.verify", "--collection", "sample-plain", "--json")
    assert ran.code == 0, ran.stderr
    found = statuses(ran.document)
    assert found.pop("manifest") == "WARN"
    assert set(found.values()) == {"OK"}
    [listed] = inv("snapshot.list", "--json").document["result"]["snapshots"]
    assert listed["snapshot"] == file.name
    assert listed["points_count"] is None


@pytest.mark.parametrize("task", [("snapshot.list",), ("snapshot.verify", "--all")])
def test_a_collection_without_a_snapshot_is_named(
    samples: Samples, inv: Inv, folder: Path, task: tuple[str, ...]
) -> None:
    """It exits with 10, like other tasks, and an alias leads to its collection."""
    samples.put("plain", folder)
    assert_error(inv(*task, "--collection", "nope"), 10, "no snapshot of nope", "snapshot.create")
    alias = inv(*task, "--collection", "plain-alias")
    assert_error(alias, 10, "no snapshot of plain-alias", "`--collection sample-plain`")
    assert inv(*task, "--collection", "sample-plain").code == 0


def test_a_newer_schema_is_refused(samples: Samples, inv: Inv, folder: Path) -> None:
    """A manifest of a newer schema is exit code 24, and the hint says what to do."""
    file = samples.put("plain", folder)
    edit_manifest(file, lambda m: m.update(schema=3))
    ran = inv("snapshot.verify", "--snapshot", file.name)
    assert_error(ran, 24, "schema 3", "Update")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema": 1}'])
def test_a_broken_manifest_is_no_snapshot_without_one(
    samples: Samples, inv: Inv, folder: Path, text: str
) -> None:
    """An unreadable manifest is exit code 20, and is never ignored."""
    file = samples.put("plain", folder)
    manifest_of(file).write_text(text, encoding="utf-8")
    ran = inv("snapshot.verify", "--snapshot", file.name)
    assert_error(ran, 20, manifest_of(file).name)


def test_unknown_keys_of_a_manifest_are_ignored(samples: Samples, inv: Inv, folder: Path) -> None:
    """A manifest of the same schema with additional keys is still good."""
    file = samples.put("plain", folder)
    edit_manifest(file, lambda m: m.update(colour="blue"))
    assert inv("snapshot.verify", "--snapshot", file.name).code == 0


def test_all_names_the_bad_ones_and_checks_the_rest(
    samples: Samples, inv: Inv, folder: Path
) -> None:
    """`--all` continues after a damaged file, names it, and exits with 20."""
    plain, rich = samples.put("plain", folder), samples.put("rich", folder)
    assert inv("snapshot.verify", "--all").code == 0
    flip_byte(plain)
    ran = inv("snapshot.verify", "--all", "--json")
    assert ran.code == 20
    by_name = {s["snapshot"]: s["ok"] for s in ran.document["result"]["snapshots"]}
    assert by_name == {plain.name: False, rich.name: True}
    assert [f["name"] for f in ran.document["result"]["failed"]] == [plain.name]


def test_dry_leaves_no_proof(samples: Samples, inv: Inv, folder: Path) -> None:
    """`inv --dry snapshot.verify` writes nothing."""
    file = samples.put("plain", folder)
    assert inv("--dry", "snapshot.verify", "--snapshot", file.name).code == 0
    assert proofs_of(file) == []
