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


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of a report: the check, what it found, and the remedy if there is a problem."""

    check: str
    status: Status
    message: str
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the finding as it appears in proofs and in `--json` output."""
        plain = {"check": self.check, "status": self.status.value, "message": self.message}
        return plain | ({"remedy": self.remedy} if self.remedy else {})


def failed(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the findings that failed."""
    return tuple(f for f in findings if f.status is Status.FAIL)


def ok(check: str, message: str) -> Finding:
    """Return a finding without a problem."""
    return Finding(check=check, status=Status.OK, message=message)


def warn(check: str, message: str, remedy: str) -> Finding:
    """Return a finding that users should know about, with its remedy."""
    return Finding(check=check, status=Status.WARN, message=message, remedy=remedy)


def fail(check: str, message: str, remedy: str) -> Finding:
    """Return a problem, with its remedy."""
    return Finding(check=check, status=Status.FAIL, message=message, remedy=remedy)
