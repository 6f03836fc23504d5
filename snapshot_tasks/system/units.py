"""Numbers formatted for people, with their units."""

from __future__ import annotations

from datetime import UTC, datetime


def size(count: float) -> str:
    """Return bytes in the largest decimal unit that keeps the number above one."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def points(count: float) -> str:
    """Return a number of points."""
    return f"{count:,.0f} points"


def counted(count: int, noun: str) -> str:
    """Return a number of things whose plural ends with an s."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return a duration in a suitable unit."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min"


def age(seconds: float) -> str:
    """Return an age in one unit; an age below zero counts as zero."""
    seconds = max(0.0, seconds)
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= (2 if unit == "days" else 1) * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def ago(then: datetime, now: datetime) -> str:
    """Return how long ago something was, in one unit."""
    return f"{age((now - then).total_seconds())} ago"


def moment(at: datetime) -> str:
    """Return a time in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
