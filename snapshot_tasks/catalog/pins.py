"""The note next to a snapshot that protects it from pruning."""

from __future__ import annotations

import json
import os
from pathlib import Path

from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.system.files import storage_errors, write_text
from snapshot_tasks.system.reading import read_text
from snapshot_tasks.system.untrusted import parse_json

MAX_PIN_BYTES = 64 << 10


def set_pin(snapshot: Snapshot, note: str) -> None:
    """Protect a snapshot from pruning. Raises `StorageError` if the folder cannot be written."""
    with storage_errors(snapshot.path.parent):
        write_text(snapshot.pin_path, json.dumps({"note": note}) + "\n")


def remove_pin(snapshot: Snapshot) -> None:
    """Allow pruning it again. Raises `StorageError` if the folder cannot be written."""
    with storage_errors(snapshot.path.parent):
        snapshot.pin_path.unlink(missing_ok=True)


def read_pin(path: Path) -> str | None:
    """Return the note of a pin, which may be empty; None if there is no pin.

    A pin that cannot be read still counts, because a pin only protects.
    """
    if not os.path.lexists(path):
        return None
    try:
        return str(parse_json(read_text(path, max_bytes=MAX_PIN_BYTES))["note"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
