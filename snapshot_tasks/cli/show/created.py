"""New snapshots, and findings about suspicious contents, as lines and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from snapshot_tasks.cli.console import tell
from snapshot_tasks.cli.show.findings import render_findings
from snapshot_tasks.cli.show.plans import render_dropped
from snapshot_tasks.cli.show.snapshots import render_created, snapshot_json

if TYPE_CHECKING:
    from snapshot_tasks.domain.failure import Failure
    from snapshot_tasks.operations.create.many import CreatedAndPruned
    from snapshot_tasks.operations.create.one import Created


def created_json(done: CreatedAndPruned, failures: Sequence[Failure]) -> dict[str, Any]:
    """Return the new and the deleted snapshots for `--json`."""
    return {
        "snapshots": [snapshot_json(snapshot) for snapshot in done.snapshots],
        "findings": findings_json(done.created),
        "dropped": [snapshot.name for snapshot in done.dropped],
        "failed": [failure.as_json() for failure in failures],
    }


def findings_json(created: Iterable[Created]) -> list[dict[str, str]]:
    """Return the findings about new snapshots, each with the snapshot's name."""
    return [
        {"snapshot": one.snapshot.name, **finding.as_json()}
        for one in created
        for finding in one.findings
    ]


def render_taken(created: Iterable[Created]) -> None:
    """Print each new snapshot, and the findings about it."""
    for one in created:
        render_created(one.snapshot)
        render_findings(one.findings)


def render_created_and_pruned(done: CreatedAndPruned, *, pruned: bool) -> None:
    """Print the new snapshots and, with `pruned`, how much was deleted afterwards."""
    render_taken(done.created)
    if not done.created and not done.failures:
        tell("The server has no collections, so there is nothing to snapshot.")
    if pruned:
        render_dropped(len(done.dropped), sum(one.size_bytes for one in done.dropped))
