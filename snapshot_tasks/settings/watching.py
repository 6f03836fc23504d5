"""The settings of alarms and metrics, read separately: other wrong settings are worth an alarm."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path

from snapshot_tasks.settings.reader import Reader

FAILURE, ALWAYS = "failure", "always"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """The targets of pings, webhooks and metrics; URLs may contain secrets, so none is shown."""

    ping_url: str | None = field(repr=False)
    webhook_url: str | None = field(repr=False)
    webhook_on: str
    metrics_file: Path | None
    snapshot_dir: Path


def read_watching(reader: Reader, root: Path) -> Watching:
    """Read the settings of alarms and metrics; a wrong one counts as not set."""
    metrics_file = reader.text("QDRANT_METRICS_FILE")
    return Watching(
        ping_url=reader.secret_url("QDRANT_PING_URL"),
        webhook_url=reader.secret_url("QDRANT_WEBHOOK_URL"),
        webhook_on=reader.choice("QDRANT_WEBHOOK_ON", (FAILURE, ALWAYS), FAILURE),
        metrics_file=root / Path(metrics_file).expanduser() if metrics_file else None,
        snapshot_dir=reader.path("QDRANT_SNAPSHOT_DIR", root / "qdrant_snapshots"),
    )


def read_hook(reader: Reader, problems: list[str]) -> tuple[str, ...]:
    """Return the words of the command that runs after a new snapshot, if there is one."""
    name = "QDRANT_POST_CREATE_HOOK"
    try:
        return tuple(shlex.split(reader.text(name) or ""))
    except ValueError as error:
        # The value is not repeated, because a command line may contain a password.
        problems.append(f"{name}: expected a command, but it has {str(error).lower()}")
        return ()
