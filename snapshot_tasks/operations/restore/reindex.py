"""Make payload indexes of a restored collection anew that find too little."""

from __future__ import annotations

from contextlib import closing

from snapshot_tasks.checks.expected import Cost, Restored
from snapshot_tasks.checks.indexes import made_anew, wrong_fields
from snapshot_tasks.checks.restored import check_restored
from snapshot_tasks.domain.findings import Finding
from snapshot_tasks.qdrant.indexes import PayloadIndexes
from snapshot_tasks.system.progress import Progress


def reindexed(
    restored: Restored, findings: tuple[Finding, ...], progress: Progress
) -> tuple[Finding, ...]:
    """Make each index anew that a finding names, and return the findings of a second look.

    The points are whole, so Qdrant can build the index again from their payloads.
    """
    wrong = wrong_fields(findings)
    if not wrong:
        return findings
    schema = restored.actual.payload_schema
    with closing(PayloadIndexes(restored.endpoint, restored.collection)) as indexes:
        for field in wrong:
            with progress.phase(f"making the payload index {field} anew"):
                indexes.make_anew(field, schema[field])
    again = check_restored(restored, Cost.DESCRIBED)
    return (*again, *map(made_anew, wrong))
