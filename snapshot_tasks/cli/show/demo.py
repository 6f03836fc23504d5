"""What the demo did, as lines and JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from snapshot_tasks.cli.console import tell
from snapshot_tasks.cli.show.drill import render_drill
from snapshot_tasks.cli.show.snapshots import render_created, snapshot_json

if TYPE_CHECKING:
    from snapshot_tasks.operations.demo import DemoResult


def demo_json(done: DemoResult, folder: Path) -> dict[str, Any]:
    """Return the demo for `--json`."""
    return {
        "snapshot": snapshot_json(done.snapshot),
        "drill": done.report.as_json(),
        "folder": str(folder),
    }


def render_demo(done: DemoResult, folder: Path) -> None:
    """Print the snapshot that was taken, and that it restores."""
    render_created(done.snapshot)
    render_drill(done.report)
    tell(f"Nothing is left running. The snapshot is in {folder}.")
