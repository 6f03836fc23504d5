"""The proofs beside a snapshot: one JSON line for each drill or verification, append-only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from snapshot_tasks.files import append_line, storage_errors

DRILL = "drill"
REHEARSAL = "rehearsal"
VERIFY = "verify"


def append_proof(path: Path, proof: Mapping[str, Any]) -> None:
    """Append one proof durably. Raises `StorageError` where the folder cannot be written."""
    with storage_errors(path.parent):
        append_line(path, json.dumps(proof, ensure_ascii=False))


def read_proofs(path: Path) -> tuple[Mapping[str, Any], ...]:
    """Return the proofs, oldest first; lines cut by a crash are passed over."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
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
        if not proof["ok"] and proof["kind"] in (DRILL, VERIFY) and proof.get("level") != "source":
            return None
        if proof["kind"] == DRILL and proof["ok"] and proof.get("sha256") == sha256:
            return datetime.fromisoformat(proof["at"])
    return None


def _parse(line: str) -> Mapping[str, Any] | None:
    try:
        proof = json.loads(line)
        if datetime.fromisoformat(proof["at"]).tzinfo is None:
            return None
        return proof if {"kind", "ok"} <= proof.keys() else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
