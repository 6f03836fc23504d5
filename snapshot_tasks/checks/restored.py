"""Does the restored collection match what was saved? One list has the checks of every restore."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from snapshot_tasks.checks.contents import LEAST_SHARE, check_contents, check_with_pending
from snapshot_tasks.checks.expected import Cost, Restored
from snapshot_tasks.checks.hidden import contents_of_file, hidden_points, not_seen
from snapshot_tasks.checks.live_indexes import check_restored_indexes
from snapshot_tasks.checks.replicas import check_replicas
from snapshot_tasks.checks.search import check_search
from snapshot_tasks.domain.collection import optimizer_is_off
from snapshot_tasks.domain.comparison import added_only, differences, kept_only
from snapshot_tasks.domain.findings import Concern, Finding, Status, failed, listed, warn
from snapshot_tasks.domain.versions import same_minor
from snapshot_tasks.qdrant.points import read_fingerprint
from snapshot_tasks.system.errors import ContentsDiffer, RestoreIncomplete, TaskError
from snapshot_tasks.system.untrusted import JsonObject, printable

MAX_LISTED = 5
UNSETTLED_REMEDY = "Create or delete the index after a restore, as the application needs it."
# What a vector is made of; its other keys say how it is stored and searched.
_VECTOR_KEYS = ("size", "distance", "datatype", "multivector_config", "modifier")
_SHARDING_KEYS = ("shard_number", "sharding_method")


def check_status(restored: Restored) -> Iterator[Finding]:
    """The optimizer is done, or never runs."""
    if restored.status == "green":
        yield Finding(check="status", status=Status.OK, message="green")
    elif restored.status is not None and optimizer_is_off(restored.actual.config):
        message = f"{restored.status}, because its optimizer is switched off"
        yield Finding(check="status", status=Status.OK, message=message)
    elif restored.status is not None:
        seconds = restored.endpoint.green_seconds
        message = f"{restored.status} after {seconds:g} s: the optimizer is still running"
        yield Finding(check="status", status=Status.WARN, message=message)


def check_count(restored: Restored) -> Iterator[Finding]:
    """The exact number of points is the file's."""
    expected, actual = restored.expected, restored.actual.total_count
    count = expected.known_count
    if count is None:
        message = f"no manifest: {actual:,} points restored, the expected number is unknown"
        yield Finding(check="count", status=Status.WARN, message=message)
    elif expected.moving_between and (actual or not count):
        yield _count_of_moving(actual, expected.moving_between)
    elif count == actual:
        message = f"{actual:,} points, {restored.actual.count_way or 'exactly'}"
        yield Finding(check="count", status=Status.OK, message=message)
    else:
        message = f"expected {count:,} points, found {actual:,}"
        yield Finding(check="count", status=Status.FAIL, message=message, concern=Concern.COUNT)


def check_hidden(restored: Restored) -> Iterator[Finding]:
    """The server shows every point: none waits for an optimizer (`prevent_unoptimized`)."""
    if hidden := restored.actual.hidden_count:
        yield hidden_points(hidden, restored.actual.total_count)


def check_config(restored: Restored) -> Iterator[Finding]:
    """Vectors, shards, HNSW, optimizers, WAL, quantization and strict mode are as recorded.

    Vectors and shards decide what points are. Other settings can be set again, and versions differ
    in which ones they know.
    """
    if state := restored.expected.state:
        yield _judged_config(state.config, restored.actual.config, restored)


def check_payload_schema(restored: Restored) -> Iterator[Finding]:
    """Every payload index exists as recorded, except those that were being created or dropped."""
    if not (state := restored.expected.state):
        return
    unsettled = restored.expected.unsettled_indexes
    expected, actual = (
        {field: index for field, index in schema.items() if field not in unsettled}
        for schema in (state.payload_schema, restored.actual.payload_schema)
    )
    yield _judged_schema(expected, actual, restored)
    for field in sorted(unsettled):
        yield _unsettled(field, restored.actual.payload_schema.get(field))


def check_aliases(restored: Restored) -> Iterator[Finding]:
    """Every alias points to the collection again."""
    if restored.expected.state is None or not restored.expected.knows_aliases:
        return
    recorded = restored.expected.state.aliases
    if recorded and not restored.expected.owns_aliases:
        message = f"not restored, because the name is different: {', '.join(recorded)}"
        yield Finding(check="aliases", status=Status.OK, message=message)
    elif missing := sorted(set(recorded) - set(restored.actual.aliases)):
        message = f"missing: {', '.join(missing)}"
        yield Finding(
            check="aliases", status=Status.FAIL, message=message, concern=Concern.SETTINGS
        )
    else:
        message = ", ".join(sorted(recorded)) or "none, as recorded"
        yield Finding(check="aliases", status=Status.OK, message=message)


def check_indexes(restored: Restored) -> Iterator[Finding]:
    """Filters on every payload index find what the payloads in the file say."""
    unsettled = restored.expected.unsettled_indexes
    counts = [c for c in restored.expected.index_counts if c.field not in unsettled]
    if not counts:
        return
    if hidden := restored.actual.hidden_count:
        yield not_seen("payload indexes", hidden)
        return
    with restored.progress.phase(f"asking the payload indexes of {restored.collection}"):
        yield from check_restored_indexes(
            counts,
            restored.endpoint,
            restored.collection,
            same_version=same_minor(restored.expected.taken_with, restored.server_version),
        )


def check_points(restored: Restored) -> Iterator[Finding]:
    """Every point has the id, payload and vectors that were sealed."""
    sealed = restored.expected.sealed
    if sealed is None:
        message = "not sealed, so the points cannot be checked"
        yield Finding(check="contents", status=Status.WARN, message=message)
        return
    if restored.actual.hidden_count:
        yield contents_of_file(sealed, restored)
        return
    pending = restored.expected.pending_count
    label = f"reading every point of {restored.collection}"
    with restored.progress.phase(label, total_points=sealed.points_count) as advance:
        found = read_fingerprint(restored.endpoint, restored.collection, advance)
    if pending:
        yield check_with_pending(sealed, found, pending)
    else:
        yield check_contents(sealed, found, of_file=restored.expected.of_file)


def check_searches(restored: Restored) -> Iterator[Finding]:
    """Searches find the same points as when the snapshot was taken."""
    expected = restored.expected
    if not expected.probes:
        return
    if hidden := restored.actual.hidden_count:
        yield not_seen("searches", hidden)
        return
    with restored.progress.phase(f"searching in {restored.collection}"):
        yield from check_search(restored)


RESTORED_CHECKS: tuple[tuple[Callable[[Restored], Iterator[Finding]], Cost], ...] = (
    (check_status, Cost.DESCRIBED),
    (check_count, Cost.DESCRIBED),
    (check_hidden, Cost.DESCRIBED),
    (check_config, Cost.DESCRIBED),
    (check_payload_schema, Cost.DESCRIBED),
    (check_aliases, Cost.DESCRIBED),
    (check_indexes, Cost.DESCRIBED),
    (check_points, Cost.READ),
    (check_replicas, Cost.READ),
    (check_searches, Cost.READ),
)


def check_restored(restored: Restored, cost: Cost) -> tuple[Finding, ...]:
    """Run every check with this cost."""
    checks = [check for check, its_cost in RESTORED_CHECKS if its_cost is cost]
    return tuple(finding for check in checks for finding in check(restored))


def restored_error(what: str, findings: Sequence[Finding], *, hint: str) -> TaskError | None:
    """Return the error for failed findings; missing points outweigh different settings."""
    wrong = failed(findings)
    if not wrong:
        return None
    reasons = "; ".join(f"{f.check}: {f.message}" for f in wrong)
    if any(f.concern is Concern.COUNT for f in wrong):
        return RestoreIncomplete(f"{what} was not restored completely ({reasons}).", hint=hint)
    return ContentsDiffer(f"{what} differs after the restore ({reasons}).", hint=hint)


def _count_of_moving(actual: int, between: tuple[int, int]) -> Finding:
    low, high = sorted(between)
    status = Status.OK if low <= actual <= high else Status.WARN
    if actual < low * LEAST_SHARE:
        status = Status.FAIL
    message = f"{actual:,} points; the source had between {low:,} and {high:,} during the snapshot"
    return Finding(check="count", status=status, message=message, concern=Concern.COUNT)


def _judged_config(expected: JsonObject, actual: JsonObject, restored: Restored) -> Finding:
    decisive, found = _decisive(expected), _decisive(actual)
    if any(differences(decisive, found)):
        # A newer minor version may have keys that the older one did not write.
        newer = not same_minor(restored.expected.taken_with, restored.server_version)
        status = Status.WARN if newer and added_only(decisive, found) else Status.FAIL
        return _compared("config", expected, actual, status, Concern.POINTS)
    status = _status_of_settings(expected, actual, restored)
    return _compared("config", expected, actual, status, Concern.SETTINGS)


def _judged_schema(expected: JsonObject, actual: JsonObject, restored: Restored) -> Finding:
    lost = expected.keys() - actual.keys()
    status = Status.FAIL if lost else _status_of_settings(expected, actual, restored)
    return _compared("payload schema", expected, actual, status, Concern.INDEXES)


def _decisive(config: JsonObject) -> JsonObject:
    """Return the settings that decide what points are, and on which shard they are."""
    params = config.get("params") or {}
    vectors = params.get("vectors") or {}
    named = {"": vectors} if "size" in vectors else vectors
    sharding = {key: params.get(key) for key in _SHARDING_KEYS}
    sparse = params.get("sparse_vectors") or {}
    return {"vectors": _kinds(named), "sparse_vectors": _kinds(sparse), **sharding}


def _kinds(vectors: JsonObject) -> JsonObject:
    # A key that says nothing makes a vector without any settings differ from one that is missing.
    return {
        name: {"exists": True} | {key: (kind or {}).get(key) for key in _VECTOR_KEYS}
        for name, kind in vectors.items()
    }


def _status_of_settings(expected: JsonObject, actual: JsonObject, restored: Restored) -> Status:
    """Return WARN if another version may explain what is missing or was added, else FAIL."""
    other = restored.expected.taken_with != restored.server_version
    return Status.WARN if other and kept_only(expected, actual) else Status.FAIL


def _unsettled(field: str, actual: JsonObject | None) -> Finding:
    outcome = "exists" if actual else "does not exist"
    message = (
        f"the index {printable(field)} {outcome}: "
        "it was being created or dropped while the snapshot was taken"
    )
    return warn("payload schema", message, UNSETTLED_REMEDY)


def _compared(
    check: str, expected: JsonObject, actual: JsonObject, status: Status, concern: Concern
) -> Finding:
    """Return the differences as a finding with this status; OK if there are none."""
    found = list(differences(dict(expected), dict(actual)))
    if not found:
        return Finding(check=check, status=Status.OK, message="identical", concern=concern)
    return Finding(check=check, status=status, message=listed(found, MAX_LISTED), concern=concern)
