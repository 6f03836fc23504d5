"""A schedule as lines and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snapshot_tasks.cli.console import tell

if TYPE_CHECKING:
    from snapshot_tasks.schedule.request import Schedule
    from snapshot_tasks.system.progress import Progress


def schedule_json(schedule: Schedule, written: Sequence[Path]) -> dict[str, Any]:
    """Return a schedule for `--json`, with the files that were written."""
    return {
        "files": schedule.files,
        "folder": schedule.folder,
        "install": list(schedule.install),
        "written": [str(path) for path in written],
    }


def render_schedule(
    schedule: Schedule, written: Sequence[Path], folder: Path, progress: Progress
) -> None:
    """Print the written paths, else the files; how to install them goes to stderr."""
    lines = map(str, written) if written else "\n".join(schedule.files.values()).splitlines()
    for line in lines:
        tell(line, is_file=True)
    # GitHub finds a file in one folder of the project only; others are installed from any.
    target = (
        schedule.folder if schedule.folder and not Path(schedule.folder).is_absolute() else "DIR"
    )
    how = f"in {folder}" if written else f"run this with --output-dir {target}, then in that folder"
    progress.note(f"To install it, {how}:")
    for line in schedule.install:
        progress.note(f"  {line}")
