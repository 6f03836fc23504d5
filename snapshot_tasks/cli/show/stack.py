"""What a running Qdrant holds, as a table and JSON."""

from __future__ import annotations

from typing import Any

from snapshot_tasks.cli.console import tell
from snapshot_tasks.cli.show.table import table
from snapshot_tasks.operations.stack import StackReport


def stack_json(report: StackReport) -> dict[str, Any]:
    """Return a stack's contents for `--json`."""
    return {
        "qdrant_version": report.version,
        "collections": [{"name": n, "points_count": count} for n, count in report.collections],
        "aliases": report.aliases,
    }


def render_stack(report: StackReport) -> None:
    """Print the collections and counts of a running Qdrant."""
    if not report.collections:
        tell(f"Qdrant {report.version} holds no collection.")
        return
    owned = {
        name: [a for a, c in report.aliases.items() if c == name] for name, _ in report.collections
    }
    table(
        f"Qdrant {report.version}",
        ("collection", "#points", "aliases"),
        [(name, f"{count:,}", ", ".join(owned[name]) or "–") for name, count in report.collections],
    )
