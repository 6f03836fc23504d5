"""The limits of strict mode: what may be asked at once."""

from __future__ import annotations

from snapshot_tasks.domain.strict_mode import Limits, within

STRICT = {"max_query_limit": 5, "search_max_batchsize": 4, "read_rate_limit": 3}


def test_limits_count_only_where_strict_mode_is_on() -> None:
    """A collection keeps its settings when strict mode is switched off."""
    on = Limits.of({"strict_mode_config": {"enabled": True, **STRICT}})
    assert (on.points, on.searches, on.reads, on.hnsw_ef) == (5, 4, 3, None)
    for config in ({"strict_mode_config": {"enabled": False, **STRICT}}, {}):
        assert Limits.of(config) == Limits()
    assert Limits.of({"strict_mode_config": None}) == Limits()


def test_what_is_wanted_stays_within_every_limit() -> None:
    """No limit is None or 0, and at least one thing is always asked for."""
    assert within(1000, None, 0) == 1000
    assert within(1000, 7, 3, None) == 3
    assert within(0, 7) == 1
