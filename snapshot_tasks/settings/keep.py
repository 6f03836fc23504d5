"""The settings of retention."""

from __future__ import annotations

from snapshot_tasks.domain.retention import Policy
from snapshot_tasks.settings.reader import Reader


def read_policy(reader: Reader) -> Policy:
    """Read which snapshots to keep."""
    return Policy(
        keep_last=reader.count("QDRANT_KEEP_LAST"),
        keep_daily=reader.count("QDRANT_KEEP_DAILY"),
        keep_weekly=reader.count("QDRANT_KEEP_WEEKLY"),
        keep_monthly=reader.count("QDRANT_KEEP_MONTHLY"),
        keep_yearly=reader.count("QDRANT_KEEP_YEARLY"),
        keep_minimum=reader.count("QDRANT_KEEP_MINIMUM", 1),
        max_age=reader.span("QDRANT_KEEP_MAX_AGE"),
    )
