"""Numbers are shown in the unit that a person would use."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from snapshot_tasks.system.units import ago, duration, moment, size

NOW = datetime(2025, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_592_832, "1.6 MB"),
        (77_888_000, "77.9 MB"),
        (12_500_000_000, "12.5 GB"),
        (3_000_000_000_000, "3.0 TB"),
        (4_000_000_000_000_000, "4000.0 TB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    """Sizes are decimal, with one digit after the point."""
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0994, "99 ms"),
        (1, "1.0 s"),
        (99.94, "99.9 s"),
        (120, "2.0 min"),
        (5400, "90.0 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    """Short durations are in milliseconds, long ones in minutes."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (timedelta(0), "0 s ago"),
        (timedelta(seconds=59), "59 s ago"),
        (timedelta(minutes=1), "1 min ago"),
        (timedelta(hours=1), "1 h ago"),
        (timedelta(hours=47), "47 h ago"),
        (timedelta(days=2), "2 days ago"),
        (timedelta(days=400), "400 days ago"),
        (timedelta(hours=-1), "0 s ago"),
    ],
)
def test_ages(age: timedelta, text: str) -> None:
    """An age is shown in one unit, and is never negative even if a clock is behind."""
    assert ago(NOW - age, NOW) == text


def test_a_moment_is_in_utc() -> None:
    """Times are shown in UTC and say so, whatever their time zone."""
    at = datetime(2025, 1, 1, 19, 0, 0, tzinfo=timezone(timedelta(hours=7)))
    assert moment(at) == "2025-01-01 12:00:00 UTC"
