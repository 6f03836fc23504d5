"""Verifications of snapshot files, as lines and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snapshot_tasks.cli.show.findings import render_findings

if TYPE_CHECKING:
    from snapshot_tasks.checks.file import Verification
    from snapshot_tasks.operations.batch import Batch


def verified_json(verified: Batch[Verification]) -> dict[str, Any]:
    """Return verifications for `--json`."""
    return {
        "snapshots": [
            {
                "snapshot": verification.snapshot.name,
                "ok": verification.error is None,
                "sha256": verification.sha256,
                "findings": [finding.as_json() for finding in verification.findings],
            }
            for verification in verified.results
        ],
        "failed": [failure.as_json() for failure in verified.failures],
    }


def render_verified(verified: Batch[Verification]) -> None:
    """Print the findings of each verification."""
    for verification in verified.results:
        render_findings(verification.findings, title=verification.snapshot.name)
