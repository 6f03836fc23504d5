"""The proofs of a snapshot: one JSON line for each drill or verification, append-only."""

from __future__ import annotations

import json
from pathlib import Path

from snapshot_tasks.domain.proof import Proof, parse_proofs
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.system.errors import TaskError
from snapshot_tasks.system.files import append_line, storage_errors
from snapshot_tasks.system.progress import Progress
from snapshot_tasks.system.reading import read_end

# Enough for thousands of proofs; older ones are ignored.
MAX_PROOFS_BYTES = 8 << 20


def append_proof(snapshot: Snapshot, proof: Proof) -> None:
    """Append one proof durably. Raises `StorageError` if the folder cannot be written."""
    with storage_errors(snapshot.path.parent):
        append_line(snapshot.proofs_path, json.dumps(proof.as_json(), ensure_ascii=False))


def read_proofs(path: Path) -> tuple[Proof, ...]:
    """Return the proofs in a file, oldest first; none if it cannot be read."""
    try:
        return parse_proofs(read_end(path, max_bytes=MAX_PROOFS_BYTES))
    except (OSError, ValueError):
        return ()


def keep_proof(snapshot: Snapshot, proof: Proof, progress: Progress) -> None:
    """Append one proof. If the folder cannot be written, only note it; the findings stay valid."""
    try:
        append_proof(snapshot, proof)
    except TaskError as error:
        progress.note(f"The proof could not be saved: {error.message}")
