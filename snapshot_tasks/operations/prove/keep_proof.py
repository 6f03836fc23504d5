"""Append a proof, and get over it where the folder cannot be written: the findings stand."""

from __future__ import annotations

from snapshot_tasks.catalog.proofs import append_proof
from snapshot_tasks.domain.proof import Proof
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.system.errors import TaskError
from snapshot_tasks.system.progress import Progress


def keep_proof(snapshot: Snapshot, proof: Proof, progress: Progress) -> None:
    """Append one proof; a folder that cannot be written is told, not raised."""
    try:
        append_proof(snapshot, proof)
    except TaskError as error:
        progress.note(f"The proof could not be kept: {error.message}")
