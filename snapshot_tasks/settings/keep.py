"""The settings of retention."""

from __future__ import annotations

from snapshot_tasks.domain.retention import Policy
from snapshot_tasks.settings.values import Values


def read_policy(values: Values) -> Policy:
    """Read which snapshots to keep."""
    return Policy(
        keep_last=values.count("QDRANT_KEEP_LAST"),
        keep_daily=values.count("QDRANT_KEEP_DAILY"),
        keep_weekly=values.count("QDRANT_KEEP_WEEKLY"),
        keep_monthly=values.count("QDRANT_KEEP_MONTHLY"),
        keep_yearly=values.count("QDRANT_KEEP_YEARLY"),
        keep_minimum=values.count("QDRANT_KEEP_MINIMUM", 1),
        max_age=values.span("QDRANT_KEEP_MAX_AGE"),
    )
