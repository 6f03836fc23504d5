"""Whom a task tells how it ended, read on its own: a wrong setting elsewhere is worth an alarm."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path

from snapshot_tasks.settings.reader import Reader

FAILURE, ALWAYS = "failure", "always"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """Where pings, webhooks and metrics go; URLs may hold secrets, so none is ever shown."""

    ping_url: str | None = field(repr=False)
    webhook_url: str | None = field(repr=False)
    webhook_on: str
    metrics_file: Path | None
    snapshot_dir: Path


def read_watching(reader: Reader, root: Path) -> Watching:
    """Read the settings of alarms and metrics; each that is wrong is none."""
    metrics_file = reader.text("QDRANT_METRICS_FILE")
    return Watching(
        ping_url=reader.secret_url("QDRANT_PING_URL"),
        webhook_url=reader.secret_url("QDRANT_WEBHOOK_URL"),
        webhook_on=reader.choice("QDRANT_WEBHOOK_ON", (FAILURE, ALWAYS), FAILURE),
        metrics_file=root / Path(metrics_file).expanduser() if metrics_file else None,
        snapshot_dir=reader.path("QDRANT_SNAPSHOT_DIR", root / "qdrant_snapshots"),
    )


def read_hook(reader: Reader, problems: list[str]) -> tuple[str, ...]:
    """Return the words of the command that runs after a new snapshot; none without one."""
    name = "QDRANT_POST_CREATE_HOOK"
    try:
        return tuple(shlex.split(reader.text(name) or ""))
    except ValueError as error:
        # What stands there is not repeated: a command line may hold a password.
        problems.append(f"{name}: expected a command line, but there is {str(error).lower()}")
        return ()
