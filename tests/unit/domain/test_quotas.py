"""Which limits of a whole server are reached."""

from __future__ import annotations

from typing import Any

import pytest

from snapshot_tasks.domain.quotas import exceeded_quotas

LIMITS = {"max_disk_usage_percent": 90, "max_resident_memory_percent": 80}


@pytest.mark.parametrize(
    ("answer", "reached"),
    [
        ({"config": {"enabled": False}, "usage": {"disk_usage_percent": 99}}, ()),
        (
            {
                "config": {"enabled": True, **LIMITS},
                "usage": {"disk_usage_percent": 90, "resident_memory_percent": 3},
            },
            ("disk 90 % of at most 90 %",),
        ),
        (
            {
                "config": {"enabled": True, **LIMITS},
                "usage": {"disk_usage_percent": None, "resident_memory_percent": 81},
            },
            ("memory 81 % of at most 80 %",),
        ),
        (
            {
                "config": {"enabled": True, **LIMITS},
                "usage": {"disk_usage_percent": 10},
                "peers": {"7": {"exceeded": False}, "8": {"exceeded": True}},
            },
            ("node 8",),
        ),
        ({"config": {"enabled": True}, "usage": {"disk_usage_percent": 99}}, ()),
        ({}, ()),
    ],
)
def test_only_an_enabled_limit_counts(answer: dict[str, Any], reached: tuple[str, ...]) -> None:
    """A single node reports its usage; in a cluster each node says whether it refuses."""
    assert exceeded_quotas(answer) == reached
