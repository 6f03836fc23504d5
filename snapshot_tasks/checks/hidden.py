"""Points that a server has but does not show: until they are optimized, it hides them.

With `prevent_unoptimized`, Qdrant 1.17.1 and later leave such deferred points out of counts,
scrolls and searches; a snapshot has them. If the optimizer never runs, they stay hidden. So what
can be compared is the file, and the number of points.
"""

from __future__ import annotations

from dataclasses import replace

from snapshot_tasks.checks.contents import check_contents
from snapshot_tasks.checks.expected import Restored
from snapshot_tasks.domain.findings import Finding, Status, warn
from snapshot_tasks.domain.fingerprint import Sealed
from snapshot_tasks.sealing.reader import read_contents

_REMEDY = "Let the optimizer run: max_optimization_threads, or prevent_unoptimized false."


def hidden_points(hidden: int, total: int) -> Finding:
    """Return the warning that a server hides some of its points."""
    message = f"Qdrant hides {hidden:,} of {total:,} points until they are optimized"
    return warn("hidden points", message, _REMEDY)


def not_seen(check: str, hidden: int) -> Finding:
    """Return the warning that something cannot be compared because of hidden points."""
    message = f"not compared, because Qdrant hides {hidden:,} points"
    return Finding(check=check, status=Status.WARN, message=message)


def contents_of_file(sealed: Sealed, restored: Restored) -> Finding:
    """Compare the file with the seal: what the server restored from it can only be counted."""
    hidden, file = restored.actual.hidden_count, restored.expected.file
    if file is None:
        return not_seen("contents", hidden)
    found = check_contents(sealed, read_contents(file, restored.progress).fingerprint)
    if found.status is Status.FAIL:
        return found
    message = f"in the file, {found.message}; in Qdrant only counted, because it hides {hidden:,}"
    return replace(found, status=Status.WARN, message=message)
