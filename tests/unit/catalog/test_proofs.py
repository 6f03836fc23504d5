"""Proofs are append-only lines; only a passed drill with exactly these bytes proves them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.catalog.proofs import append_proof, read_proofs
from snapshot_tasks.domain.proof import Bytes, Proof, Verdict, last_passed_at
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.system.errors import StorageError
from tests.support.manifests import TAKEN_AT, add_drill, catalogued

SHA = "ab" * 32


def proof(hours: int, **changes: Any) -> Proof:
    """Return the proof of a drill that passed the given number of hours after the snapshot."""
    at = (TAKEN_AT + timedelta(hours=hours)).isoformat()
    return Proof.from_json({"kind": "drill", "at": at, "ok": True, "sha256": SHA} | changes)


def snapshot_in(folder: Path) -> Snapshot:
    """Return a snapshot in a folder; the contents of its file do not matter here."""
    return Snapshot(
        path=folder / "books.snapshot",
        collection="books",
        created_at=TAKEN_AT,
        size_bytes=0,
        manifest=None,
    )


def test_what_is_appended_is_read(tmp_path: Path) -> None:
    """Proofs are read back in order, with all their facts."""
    snapshot, path = snapshot_in(tmp_path), tmp_path / "books.proofs.jsonl"
    assert read_proofs(path) == ()
    lines = [proof(1, note="zwölf"), proof(2, kind="verify", ok=False)]
    for line in lines:
        append_proof(snapshot, line)
    assert list(read_proofs(path)) == lines


@pytest.mark.parametrize(
    "damage",
    [
        b'{"kind": "drill", "at": "2025-01-0',
        b"\x00\x00\x00",
        b"\xff\xfe",
        b"",
        b"[]",
        b"null",
        b'"text"',
        b"{}",
        b'{"kind": "drill", "ok": true}',
        b'{"kind": "drill", "ok": true, "at": 7}',
        b'{"kind": "drill", "ok": true, "at": "2025-01-01T12:00:00"}',
        b'{"kind": "drill", "ok": true, "at": "yesterday"}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_line_is_passed_over(tmp_path: Path, damage: bytes) -> None:
    """Lines cut short by a crash, or that are no proofs, do not hide the others."""
    snapshot, path = snapshot_in(tmp_path), tmp_path / "books.proofs.jsonl"
    append_proof(snapshot, proof(1))
    with path.open("ab") as file:
        file.write(damage + b"\n")
    append_proof(snapshot, proof(2))
    assert list(read_proofs(path)) == [proof(1), proof(2)]


def test_a_cut_line_does_not_swallow_the_next_proof(tmp_path: Path) -> None:
    """After a crash cut a line short, the next proof starts on a new line."""
    snapshot, path = snapshot_in(tmp_path), tmp_path / "books.proofs.jsonl"
    append_proof(snapshot, proof(1))
    with path.open("ab") as file:
        file.write(json.dumps(proof(2).as_json()).encode()[:20])
    append_proof(snapshot, proof(3))
    assert list(read_proofs(path)) == [proof(1), proof(3)]


@pytest.mark.parametrize("odd", ["\u2028", "\u0085", "\x0b", "\x1c", "\r"])
def test_a_message_may_hold_any_character(tmp_path: Path, odd: str) -> None:
    """A line only ends at a newline, not at other Unicode line breaks."""
    snapshot, path = snapshot_in(tmp_path), tmp_path / "books.proofs.jsonl"
    append_proof(snapshot, proof(1, findings=[{"message": f"a{odd}b"}]))
    assert list(read_proofs(path)) == [proof(1, findings=[{"message": f"a{odd}b"}])]


@pytest.mark.parametrize(
    ("proofs", "hours"),
    [
        ([], None),
        ([proof(1)], 1),
        ([proof(1), proof(2)], 2),
        ([proof(1), proof(2, ok=False)], None),
        ([proof(1), proof(2, ok=False, kind="verify")], None),
        ([proof(1), proof(2, ok=False, kind="verify", level="source")], 1),
        ([proof(1), proof(2, ok=False), proof(3)], 3),
        ([proof(1, kind="verify")], None),
        ([proof(1, sha256="cd" * 32)], None),
        ([proof(1), proof(2, sha256="cd" * 32)], 1),
        ([proof(1, sha256=None)], None),
    ],
)
def test_only_a_drill_of_these_bytes_proves(proofs: list[Any], hours: int | None) -> None:
    """Only a drill with these bytes is a proof, and a later failure undoes it."""
    expected = None if hours is None else TAKEN_AT + timedelta(hours=hours)
    of = Bytes(sha256=SHA, sealed=True)
    assert last_passed_at(proofs, of, (Verdict.PROVEN,)) == expected
    assert last_passed_at(proofs, of) == expected


@pytest.mark.parametrize("recorded", [{}, {"verdict": "PROVEN"}, {"verdict": "RESTORES"}])
def test_proven_is_for_sealed_snapshots_only(recorded: dict[str, str]) -> None:
    """A passed drill without a seal, or whose seal was taken away, shows that the file restores.

    Lines of earlier versions have no verdict: they count as proven if there is a seal.
    """
    passed = [proof(1, **recorded)]
    at = passed[0].at
    sealed, unsealed = (Bytes(sha256=SHA, sealed=sealed) for sealed in (True, False))
    assert last_passed_at(passed, unsealed) == last_passed_at(passed, sealed) == at
    assert last_passed_at(passed, unsealed, (Verdict.PROVEN,)) is None
    proven = None if recorded.get("verdict") == "RESTORES" else at
    assert last_passed_at(passed, sealed, (Verdict.PROVEN,)) == proven


@pytest.mark.parametrize(
    ("size", "changed_hours", "counts"),
    [(7, 0, True), (8, 0, False), (7, 2, False), (None, 0, False)],
)
def test_without_a_manifest_the_file_must_be_as_it_was(
    size: int | None, changed_hours: int, counts: bool
) -> None:
    """A file that was changed after its test, or has another size, is not what was tested."""
    changed_at = TAKEN_AT + timedelta(hours=changed_hours)
    of = Bytes(sha256=None, sealed=False, size_bytes=7, changed_at=changed_at)
    passed = [proof(1, verdict="RESTORES", size_bytes=size)]
    assert (last_passed_at(passed, of) is not None) == counts


def test_a_snapshot_knows_its_proofs(catalog: Catalog) -> None:
    """A snapshot returns its last success, until a failure."""
    snapshot = catalogued(catalog)
    at = datetime(2025, 1, 2, tzinfo=UTC)
    add_drill(snapshot, at)
    assert snapshot.proofs_path == catalog.folder / "books_20250101_120000.proofs.jsonl"
    assert catalog.newest("books").proven_at == at
    add_drill(snapshot, at + timedelta(days=1), ok=False)
    fresh = catalog.newest("books")
    assert fresh.proven_at is None
    assert len(fresh.proofs) == 2


def test_a_proof_that_cannot_be_kept_is_told(tmp_path: Path) -> None:
    """A folder that cannot be written is a storage error with a hint."""
    (tmp_path / "file").touch()
    with pytest.raises(StorageError) as caught:
        append_proof(snapshot_in(tmp_path / "file"), proof(1))
    assert caught.value.exit_code == 15
