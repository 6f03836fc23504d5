"""Is the restored collection what the snapshot's manifest says was taken?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from snapshot_tasks.domain.collection import CollectionState
from snapshot_tasks.domain.comparison import added_only, differences
from snapshot_tasks.domain.findings import Finding, Status, failed
from snapshot_tasks.domain.versions import same_minor
from snapshot_tasks.system.errors import ContentsDiffer, RestoreIncomplete, TaskError
from snapshot_tasks.system.untrusted import JsonObject

MAX_LISTED = 5
# Updates may delete while a snapshot is made, but hardly half of a collection.
LEAST_SHARE_OF_MOVING = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was expected, what came back, and the versions on both sides.

    `moving_between` holds the source's exact counts around the snapshot where they differ: the
    file's own count lies near them, and nobody knows it exactly. `aliases_owned` says whether the
    aliases were to be recreated: not under another name.
    """

    expected: CollectionState
    actual: CollectionState
    taken_with: str
    server_version: str
    moving_between: tuple[int, int] | None = None
    aliases_owned: bool = True


def check_count(restored: Restored) -> Finding:
    """The exact number of points is that of the file."""
    expected, actual = restored.expected.points_count, restored.actual.points_count
    if restored.moving_between and (actual or not expected):
        return _count_of_moving(actual, restored.moving_between)
    if expected == actual:
        return Finding(check="count", status=Status.OK, message=f"{actual:,} points, exactly")
    message = f"expected {expected:,} points, found {actual:,}"
    return Finding(check="count", status=Status.FAIL, message=message)


def check_config(restored: Restored) -> Finding:
    """Vectors, shards, HNSW, optimizers, WAL, quantization and strict mode are those recorded."""
    return _compare("config", restored.expected.config, restored.actual.config, restored)


def check_payload_schema(restored: Restored) -> Finding:
    """Every payload index is there, with its type and parameters."""
    expected, actual = restored.expected.payload_schema, restored.actual.payload_schema
    return _compare("payload schema", expected, actual, restored)


def check_aliases(restored: Restored) -> Finding:
    """Every alias points at the collection again."""
    expected = set(restored.expected.aliases) if restored.aliases_owned else set()
    missing = sorted(expected - set(restored.actual.aliases))
    if missing:
        message = f"missing: {', '.join(missing)}"
        return Finding(check="aliases", status=Status.FAIL, message=message)
    if restored.expected.aliases and not restored.aliases_owned:
        message = f"left out, since the name is another: {', '.join(restored.expected.aliases)}"
        return Finding(check="aliases", status=Status.OK, message=message)
    message = ", ".join(sorted(expected)) or "none, as recorded"
    return Finding(check="aliases", status=Status.OK, message=message)


RESTORED_CHECKS: tuple[Callable[[Restored], Finding], ...] = (
    check_count,
    check_config,
    check_payload_schema,
    check_aliases,
)


def check_restored(restored: Restored) -> tuple[Finding, ...]:
    """Run every check of a restored collection."""
    return tuple(check(restored) for check in RESTORED_CHECKS)


def restored_error(what: str, findings: Sequence[Finding], *, hint: str) -> TaskError | None:
    """Return the error that failed findings amount to: points missing weigh more than settings."""
    wrong = failed(findings)
    if not wrong:
        return None
    reasons = "; ".join(f"{f.check}: {f.message}" for f in wrong)
    if any(f.check.endswith(("count", "collection")) for f in wrong):
        return RestoreIncomplete(f"{what} did not come back whole ({reasons}).", hint=hint)
    return ContentsDiffer(f"{what} came back different ({reasons}).", hint=hint)


def _count_of_moving(actual: int, between: tuple[int, int]) -> Finding:
    low, high = sorted(between)
    status = Status.OK if low <= actual <= high else Status.WARN
    if actual < low * LEAST_SHARE_OF_MOVING:
        status = Status.FAIL
    message = f"{actual:,} points; the source was moving between {low:,} and {high:,}"
    return Finding(check="count", status=status, message=message)


def _compare(check: str, expected: JsonObject, actual: JsonObject, restored: Restored) -> Finding:
    found = list(differences(dict(expected), dict(actual)))
    if not found:
        return Finding(check=check, status=Status.OK, message="identical")
    shown = "; ".join(found[:MAX_LISTED])
    more = f"; and {len(found) - MAX_LISTED} more" if len(found) > MAX_LISTED else ""
    # A newer minor version may know settings that the older one could not have written.
    newer = not same_minor(restored.taken_with, restored.server_version)
    harmless = newer and added_only(dict(expected), dict(actual))
    status = Status.WARN if harmless else Status.FAIL
    return Finding(check=check, status=status, message=shown + more)
