"""A short report as lines; `report/` makes the page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from snapshot_tasks.cli.console import tell

if TYPE_CHECKING:
    from snapshot_tasks.operations.report import Report


def render_report(path: Path, collected: Report) -> None:
    """Print a summary of the page, and its path."""
    for name, finding in collected.attention:
        tell(f"{finding.status.value:<4}  {name}: {finding.check}: {finding.message}")
    if collected.collections and not collected.attention:
        count = len(collected.collections)
        tell(f"All is well: {count} collection{'s' * (count != 1)}.")
    tell(str(path))
