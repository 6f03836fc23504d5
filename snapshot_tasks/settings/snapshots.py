"""The settings of the snapshot folder, and of the command that runs after a new snapshot."""

from __future__ import annotations

import shlex
from pathlib import Path

from snapshot_tasks.settings.values import Values


def read_snapshot_dir(values: Values, root: Path) -> Path:
    """Return the snapshot folder."""
    return values.path("QDRANT_SNAPSHOT_DIR", root / "qdrant_snapshots")


def read_hook(values: Values, problems: list[str]) -> tuple[str, ...]:
    """Return the words of the command that runs after a new snapshot, if there is one."""
    name = "QDRANT_POST_CREATE_HOOK"
    try:
        return tuple(shlex.split(values.text(name) or ""))
    except ValueError as error:
        # The value is not repeated, because a command line may contain a password.
        problems.append(f"{name}: expected a command, but it has {str(error).lower()}")
        return ()
