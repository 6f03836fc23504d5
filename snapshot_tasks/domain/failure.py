"""One failure among several: what it was about, and the error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from snapshot_tasks.system.errors import TaskError


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Something that failed while others went on. `name` is what a user knows it by."""

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
    """Return one error that names every failure; kind, exit code and hint are the first one's."""
    if not failures:
        return None
    first = failures[0].error
    if len(failures) == 1:
        return first
    text = " ".join(f"{each.name}: {each.error.message}" for each in failures)
    return type(first)(text, hint=first.hint)
