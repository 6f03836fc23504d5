"""A proof is one typed value, whatever else its line contains."""

from __future__ import annotations

import json
from typing import Any

import pytest

from snapshot_tasks.domain.findings import fail
from snapshot_tasks.domain.proof import DRILL, VERIFY, Proof, last_failed_at, last_of, parse_proofs
from tests.support.manifests import TAKEN_AT

LINE: dict[str, Any] = {"kind": DRILL, "at": TAKEN_AT.isoformat(), "ok": True}


def test_a_line_comes_back_whole() -> None:
    """Keys without a field are kept for display, and so is the time as it was written."""
    line = LINE | {"at": "2025-01-01T12:00:00Z", "later": {"a": 1}, "sha256": None}
    proof = Proof.from_json(line)
    assert proof.as_json() == line
    assert (proof.at, proof.sha256, proof.level, proof.restore_seconds) == (
        TAKEN_AT,
        None,
        "",
        None,
    )


@pytest.mark.parametrize(
    "lost", [{"kind": None}, {"ok": None}, {"at": None}, {"at": "2025-01-01T12:00:00"}]
)
def test_a_line_that_states_too_little_is_no_proof(lost: dict[str, Any]) -> None:
    """Without a kind, a result or an exact time, a line proves nothing."""
    line = {key: value for key, value in (LINE | lost).items() if value is not None}
    assert parse_proofs(json.dumps(line)) == ()


@pytest.mark.parametrize(
    ("seconds", "read"),
    [(1.5, 1.5), (2, 2.0), (0, 0.0), (-5, None), (None, None)],
)
def test_a_measured_time_is_a_number(seconds: Any, read: float | None) -> None:
    """A negative time was not measured, but the proof still counts."""
    [proof] = parse_proofs(json.dumps(LINE | {"restore_seconds": seconds}))
    assert proof.restore_seconds == read


@pytest.mark.parametrize("seconds", ["1.5", [], 1e999, 10**400])
def test_an_impossible_time_is_no_proof(seconds: Any) -> None:
    """No version of this project writes such a line."""
    assert parse_proofs(json.dumps(LINE | {"restore_seconds": seconds})) == ()


def test_the_findings_are_read_past_what_is_none() -> None:
    """Invalid items in a list of findings do not hide the others."""
    finding = fail("count", "two are missing", "Take another.")
    listed = [None, 1, {"check": 1}, {"status": "?"}, finding.as_json(), {"check": "x"}]
    assert Proof.from_json(LINE | {"findings": listed}).findings == (finding,)
    assert Proof.from_json(LINE | {"findings": "none"}).findings == ()


def test_the_last_proof_of_a_kind_is_about_the_file() -> None:
    """A changed live collection is neither damage to the file nor a failed test of it."""
    verified = Proof.from_json(LINE | {"kind": VERIFY, "level": "bytes"})
    moved_on = Proof.from_json(LINE | {"kind": VERIFY, "level": "source", "ok": False})
    proofs = (verified, Proof.from_json(LINE), moved_on)
    assert last_of(proofs, VERIFY) is verified
    assert last_of(proofs, "rehearsal") is None
    assert last_failed_at(proofs) is None
