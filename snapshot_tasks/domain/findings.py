"""The result of a check: one line with a status, a message and a remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """The status of a finding."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


class Concern(StrEnum):
    """What a check of a restore looks at, which decides what follows from a failure.

    `COUNT`: not all points are there. `POINTS`: the points, their vectors or the shards they are on
    differ. Everything else can be mended without restoring again, so the data is kept.
    """

    COUNT = "count"
    POINTS = "points"
    SETTINGS = "settings"
    INDEXES = "indexes"
    SEARCHES = "searches"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of a report: the check, what it found, and the remedy if there is a problem.

    Checks of a restore say what they are concerned with.
    """

    check: str
    status: Status
    message: str
    remedy: str = ""
    concern: Concern | None = None

    def as_json(self) -> dict[str, str]:
        """Return the finding as it appears in proofs and in `--json` output."""
        plain = {"check": self.check, "status": self.status.value, "message": self.message}
        return plain | ({"remedy": self.remedy} if self.remedy else {})


def failed(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the findings that failed."""
    return tuple(f for f in findings if f.status is Status.FAIL)


def loses_points(findings: Sequence[Finding]) -> bool:
    """Return whether a check failed that found missing or different points."""
    return any(f.concern in (Concern.COUNT, Concern.POINTS) for f in failed(findings))


def listed(texts: Sequence[str], most: int) -> str:
    """Return so many of these texts in one line, and how many more there are."""
    more = f"; and {len(texts) - most} more" if len(texts) > most else ""
    return "; ".join(texts[:most]) + more


def ok(check: str, message: str) -> Finding:
    """Return a finding without a problem."""
    return Finding(check=check, status=Status.OK, message=message)


def warn(check: str, message: str, remedy: str) -> Finding:
    """Return a finding that users should know about, with its remedy."""
    return Finding(check=check, status=Status.WARN, message=message, remedy=remedy)


def fail(check: str, message: str, remedy: str, concern: Concern | None = None) -> Finding:
    """Return a problem, with its remedy."""
    return Finding(check=check, status=Status.FAIL, message=message, remedy=remedy, concern=concern)
