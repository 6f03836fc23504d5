"""The proofs beside a snapshot: one JSON line for each drill or verification, append-only."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from snapshot_tasks.domain.findings import Finding, Status
from snapshot_tasks.system.files import append_line, storage_errors
from snapshot_tasks.system.untrusted import parse_json, read_end

DRILL = "drill"
REHEARSAL = "rehearsal"
VERIFY = "verify"
# Thousands of proofs; older ones are passed over.
MAX_PROOFS_BYTES = 8 << 20


def append_proof(path: Path, proof: Mapping[str, Any]) -> None:
    """Append one proof durably. Raises `StorageError` where the folder cannot be written."""
    with storage_errors(path.parent):
        append_line(path, json.dumps(proof, ensure_ascii=False))


def read_proofs(path: Path) -> tuple[Mapping[str, Any], ...]:
    """Return the proofs, oldest first; lines cut by a crash are passed over."""
    try:
        lines = read_end(path, max_bytes=MAX_PROOFS_BYTES).split("\n")
    except (OSError, ValueError):
        return ()
    return tuple(proof for line in lines if (proof := _parse(line)) is not None)


def last_proven_at(proofs: tuple[Mapping[str, Any], ...], sha256: str | None) -> datetime | None:
    """Return when a drill last succeeded with exactly these bytes, or None.

    A drill or a verification of the file that failed since then undoes it.
    Without a manifest nothing tells which bytes these should be, so nothing is proven for long.
    """
    if sha256 is None:
        return None
    for proof in reversed(proofs):
        if _undoes(proof):
            return None
        if proof["kind"] == DRILL and proof["ok"] and proof.get("sha256") == sha256:
            return datetime.fromisoformat(proof["at"])
    return None


def last_failed_at(proofs: tuple[Mapping[str, Any], ...]) -> datetime | None:
    """Return when the file failed a drill or a verification that no drill has made good since."""
    for proof in reversed(proofs):
        if _undoes(proof):
            return datetime.fromisoformat(proof["at"])
        if proof["kind"] == DRILL and proof["ok"]:
            return None
    return None


def _undoes(proof: Mapping[str, Any]) -> bool:
    """Say whether the file itself failed; a source that differs is no fault of the file's."""
    about_file = proof["kind"] in (DRILL, VERIFY) and proof.get("level") != "source"
    return about_file and not proof["ok"]


def findings_of(proof: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Return the findings that a proof holds; what is none, in a file of others, is passed over."""
    listed = proof.get("findings")
    found = map(_finding, listed if isinstance(listed, list) else ())
    return tuple(finding for finding in found if finding is not None)


def _finding(item: object) -> Finding | None:
    if not isinstance(item, dict):
        return None
    try:
        check, message, remedy = item["check"], item["message"], item.get("remedy", "")
        if not all(isinstance(text, str) for text in (check, message, remedy)):
            return None
        status = Status(item["status"])
        return Finding(check=check, status=status, message=message, remedy=remedy)
    except (KeyError, ValueError):
        return None


def _parse(line: str) -> Mapping[str, Any] | None:
    try:
        proof = parse_json(line)
        at = datetime.fromisoformat(proof["at"])
        at.astimezone(UTC)
        seconds = proof.get("restore_seconds")
        is_whole = {"kind", "ok"} <= proof.keys() and at.tzinfo is not None
        return proof if is_whole and (seconds is None or math.isfinite(seconds)) else None
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError):
        return None
