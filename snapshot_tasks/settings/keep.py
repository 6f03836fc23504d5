"""The settings of retention."""

from __future__ import annotations

from snapshot_tasks.domain.retention import Policy
from snapshot_tasks.settings.values import Values

HERE, OFFSITE = "QDRANT_KEEP", "QDRANT_OFFSITE_KEEP"


def read_policy(values: Values) -> Policy:
    """Read which snapshots to keep in the snapshot folder."""
    return _read(values, HERE)


def read_offsite_policy(values: Values) -> Policy:
    """Read which copies to keep off-site: as in the snapshot folder, unless there is a rule."""
    policy = _read(values, OFFSITE)
    return read_policy(values) if policy == Policy() else policy


def _read(values: Values, prefix: str) -> Policy:
    return Policy(
        keep_last=values.count(f"{prefix}_LAST"),
        keep_daily=values.count(f"{prefix}_DAILY"),
        keep_weekly=values.count(f"{prefix}_WEEKLY"),
        keep_monthly=values.count(f"{prefix}_MONTHLY"),
        keep_yearly=values.count(f"{prefix}_YEARLY"),
        keep_minimum=values.count(f"{prefix}_MINIMUM", 1),
        max_age=values.span(f"{prefix}_MAX_AGE"),
    )
