"""Append a proof, and get over it where the folder cannot be written: the findings stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snapshot_tasks.catalog.snapshot import Snapshot
from snapshot_tasks.system.errors import TaskError
from snapshot_tasks.system.progress import Progress


def keep_proof(snapshot: Snapshot, proof: Mapping[str, Any], progress: Progress) -> None:
    """Append one proof; a folder that cannot be written is told, not raised."""
    try:
        snapshot.append_proof(proof)
    except TaskError as error:
        progress.note(f"The proof could not be kept: {error.message}")
