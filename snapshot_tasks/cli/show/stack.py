"""The collections of a running Qdrant, as a table and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snapshot_tasks.cli.console import tell
from snapshot_tasks.cli.show.restored import render_restored_all, restore_json
from snapshot_tasks.cli.show.table import table

if TYPE_CHECKING:
    from snapshot_tasks.engines.select import Selection
    from snapshot_tasks.operations.stack import StackReport, StackStatus, StackUp


def stack_json(report: StackReport) -> dict[str, Any]:
    """Return a stack's contents for `--json`."""
    return {
        "qdrant_version": report.version,
        "collections": [{"name": n, "points_count": count} for n, count in report.collections],
        "aliases": report.aliases,
        "counted_otherwise": report.ways,
    }


def render_stack(report: StackReport) -> None:
    """Print the collections and counts of a running Qdrant."""
    if not report.collections:
        tell(f"Qdrant {report.version} has no collections.")
        return
    owned = {
        name: [a for a, c in report.aliases.items() if c == name] for name, _ in report.collections
    }
    table(
        f"Qdrant {report.version}",
        ("collection", "#points", "aliases"),
        [(name, f"{count:,}", ", ".join(owned[name]) or "–") for name, count in report.collections],
        drop=("aliases",),
    )
    for name, way in report.ways.items():
        tell(f"The points of {name} were counted {way}.")


def up_json(selection: Selection, done: StackUp) -> dict[str, Any]:
    """Return a started stack for `--json`."""
    return {
        "engine": selection.engine.name,
        "reason": selection.reason,
        **stack_json(done.report),
        "restored": [restore_json(result) for result in done.restored.results],
        "failed": [
            {"collection": failure.name, "message": failure.error.message}
            for failure in done.restored.failures
        ],
    }


def render_up(done: StackUp, *, nothing: str) -> None:
    """Print the restores, or `nothing` if there were none, and the collections."""
    render_restored_all(done.restored, nothing=nothing)
    render_stack(done.report)


def status_json(status: StackStatus, url: str) -> dict[str, Any]:
    """Return an engine and its Qdrant for `--json`."""
    return {
        "engine": status.selection.engine.name,
        "reason": status.selection.reason,
        "running": status.engine.running,
        "detail": status.engine.detail,
        "url": url,
        **(stack_json(status.report) if status.report else {}),
    }


def render_status(status: StackStatus) -> None:
    """Print the engine, and the collections of its Qdrant if it responds."""
    selection = status.selection
    tell(f"engine {selection.engine.name} ({selection.reason}): {status.engine.detail}")
    if status.report:
        render_stack(status.report)
