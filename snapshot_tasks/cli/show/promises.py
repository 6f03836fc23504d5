"""Promises about the backups, as lines and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snapshot_tasks.cli.show.findings import render_findings

if TYPE_CHECKING:
    from snapshot_tasks.operations.check import Judgement


def promises_json(judgement: Judgement) -> dict[str, Any]:
    """Return promises for `--json`, each with its collection."""
    return {
        "promises": [
            {"of": each.title, **finding.as_json()}
            for each in judgement.judged
            for finding in each.findings
        ]
    }


def render_promises(judgement: Judgement) -> None:
    """Print each promise with its finding."""
    for each in judgement.judged:
        render_findings(each.findings, title=each.title)
