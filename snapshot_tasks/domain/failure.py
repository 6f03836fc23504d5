"""One failure among several: the affected item, and the error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from snapshot_tasks.system.errors import TaskError


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The error of one item while others continued. `name` is the name that users know."""

    name: str
    error: TaskError

    def as_json(self) -> dict[str, str]:
        """Return the failure for `--json`."""
        error = self.error
        return {
            "name": self.name,
            "kind": error.kind,
            "message": error.message,
            "hint": error.hint,
        }


def joined(failures: Sequence[Failure]) -> TaskError | None:
    """Combine failures into one error, with the kind, exit code and hint of the first one.

    The tracebacks of all that nobody foresaw go with it.
    """
    if not failures:
        return None
    first = failures[0].error
    if len(failures) == 1:
        return first
    text = " ".join(f"{each.name}: {each.error.message}" for each in failures)
    error = type(first)(text, hint=first.hint)
    error.bugs = tuple(bug for each in failures for bug in each.error.bugs)
    return error
