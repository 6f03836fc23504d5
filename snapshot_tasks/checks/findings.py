"""How checks say what they found."""

from __future__ import annotations

from snapshot_tasks.models import Finding, Status


def ok(check: str, message: str) -> Finding:
    """Return what is as it should be."""
    return Finding(check=check, status=Status.OK, message=message)


def warn(check: str, message: str, remedy: str) -> Finding:
    """Return what somebody should know, and what to do about it."""
    return Finding(check=check, status=Status.WARN, message=message, remedy=remedy)


def fail(check: str, message: str, remedy: str) -> Finding:
    """Return what is wrong, and what to do about it."""
    return Finding(check=check, status=Status.FAIL, message=message, remedy=remedy)
