"""The settings of alarms and metrics, read separately: other wrong settings are worth an alarm."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from snapshot_tasks.settings.snapshots import read_snapshot_dir
from snapshot_tasks.settings.values import Values

FAILURE, ALWAYS = "failure", "always"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """The targets of pings, webhooks and metrics; URLs may contain secrets, so none is shown."""

    ping_url: str | None = field(repr=False)
    webhook_url: str | None = field(repr=False)
    webhook_on: str
    metrics_file: Path | None
    snapshot_dir: Path


def read_watching(values: Values, root: Path) -> Watching:
    """Read the settings of alarms and metrics; a wrong one counts as not set."""
    metrics_file = values.text("QDRANT_METRICS_FILE")
    return Watching(
        ping_url=values.secret_url("QDRANT_PING_URL"),
        webhook_url=values.secret_url("QDRANT_WEBHOOK_URL"),
        webhook_on=values.choice("QDRANT_WEBHOOK_ON", (FAILURE, ALWAYS), FAILURE),
        metrics_file=root / Path(metrics_file).expanduser() if metrics_file else None,
        snapshot_dir=read_snapshot_dir(values, root),
    )
