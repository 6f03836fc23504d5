"""What a check found: one line with a status, a message and a remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """What a check found."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of a report: which check, what it found, and the remedy when it failed."""

    check: str
    status: Status
    message: str
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the finding as proofs and `--json` output hold it."""
        plain = {"check": self.check, "status": self.status.value, "message": self.message}
        return plain | ({"remedy": self.remedy} if self.remedy else {})


def failed(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the findings that failed."""
    return tuple(f for f in findings if f.status is Status.FAIL)


def ok(check: str, message: str) -> Finding:
    """Return what is as it should be."""
    return Finding(check=check, status=Status.OK, message=message)


def warn(check: str, message: str, remedy: str) -> Finding:
    """Return what somebody should know, and what to do about it."""
    return Finding(check=check, status=Status.WARN, message=message, remedy=remedy)


def fail(check: str, message: str, remedy: str) -> Finding:
    """Return what is wrong, and what to do about it."""
    return Finding(check=check, status=Status.FAIL, message=message, remedy=remedy)
