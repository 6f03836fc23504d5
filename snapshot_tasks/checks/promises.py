"""What a collection's backups promise: young, proven, whole, and pointed at.

Pure: facts of the catalogue and a clock come in, one finding for each promise goes out. A broken
one is a FAIL whose remedy says what to do. `inv snapshot.check`, doctor and report share them.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from snapshot_tasks.catalog.runs import LastRun
from snapshot_tasks.domain.findings import Finding, Status, fail, ok, warn
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.system.errors import Damaged
from snapshot_tasks.system.spans import format_span
from snapshot_tasks.system.units import age

MAX_AGE = timedelta(hours=26)
MAX_PROOF_AGE = timedelta(days=8)
NOT_PROMISED = tuple(f"snapshot.{name}" for name in ("check", "restore", "pull", "verify", "prune"))
# Clocks of two machines differ a little; more is a wrong clock, before which nothing gets old.
CLOCK_TOLERANCE = timedelta(minutes=5)


def promises(
    collection: str,
    entries: Iterable[Snapshot],
    *,
    max_age: timedelta,
    max_proof_age: timedelta,
    now: datetime,
) -> tuple[Finding, ...]:
    """Say of one collection which promises about its snapshots hold.

    `entries` are the catalogue's, of this or of all collections, newest first. What a restore
    replaced counts for nothing.
    """
    own = own_of(collection, entries)
    if not own:
        return (fail("newest snapshot", f"no snapshot of {collection}", _create(collection)),)
    return (
        check_age(own[0], max_age, now),
        check_file(own[0]),
        *check_points(own),
        check_proof(own, max_proof_age, now),
    )


def own_of(collection: str, entries: Iterable[Snapshot]) -> list[Snapshot]:
    """Return a collection's snapshots without those of what a restore replaced."""
    return [s for s in entries if s.collection == collection and not s.is_safety]


def newest_of(collection: str, entries: Iterable[Snapshot]) -> Snapshot | None:
    """Return a collection's newest snapshot, if there is one."""
    return next(iter(own_of(collection, entries)), None)


def check_age(newest: Snapshot, max_age: timedelta, now: datetime) -> Finding:
    """The newest snapshot is young enough, and not from the future."""
    old, check = now - newest.created_at, "newest snapshot"
    if old < -CLOCK_TOLERANCE:
        message = f"{newest.name} says it was taken in the future"
        return fail(check, message, "Set the clock right, then take a new snapshot.")
    message = f"{newest.name}, {_span(old)} old"
    if old > max_age:
        create = _create(str(newest.collection))
        return fail(check, f"{message}, promised {format_span(max_age)}", create)
    return ok(check, message)


def check_file(newest: Snapshot) -> Finding:
    """The newest file has the size that its manifest tells; its bytes are for `verify`."""
    if newest.manifest_problem:
        return fail("file", newest.manifest_problem.message, newest.manifest_problem.hint)
    if newest.manifest is None:
        message = f"{newest.name} has no manifest, so nothing tells what it should be"
        return warn("file", message, _create(str(newest.collection)))
    size, wanted = newest.size_bytes, newest.manifest.size_bytes
    if not newest.has_its_size:
        message = f"{newest.name} has {size:,} bytes, its manifest says {wanted:,}"
        return fail("file", message, "Bring it back from a copy, or take a new snapshot.")
    try:
        _ = newest.sealed, newest.probes
    except Damaged as error:
        return fail("file", error.message, error.hint)
    return ok("file", f"{size:,} bytes, as its manifest says")


def check_points(own: Sequence[Snapshot]) -> Iterator[Finding]:
    """The newest holds points, where the one before it does."""
    counts = [s.manifest.points_count for s in own[:2] if s.manifest]
    if len(counts) == 2 and counts[0] == 0 < counts[1]:
        message = f"{own[0].name} holds no point, the one before it {counts[1]:,}"
        remedy = "Look at the source. Pin the one before it until you know: `inv snapshot.pin`."
        yield fail("points", message, remedy)


def check_proof(own: Sequence[Snapshot], max_age: timedelta, now: datetime) -> Finding:
    """A snapshot of the collection was proven lately, and the newest has not failed since.

    Between two weekly tests the newest snapshot is yet untested; that breaks no promise.
    """
    newest = own[0]
    test = _test(str(newest.collection))
    if newest.failed_at is not None:
        ago = _span(now - newest.failed_at)
        message = f"{newest.name} failed {ago} ago, and was not proven since"
        return fail("proof", message, "`inv snapshot.test-restore` shows what is wrong with it.")
    proven = [(at, s) for s in own if (at := s.proven_at) is not None and s.has_its_size]
    if not proven:
        return fail("proof", "no snapshot was ever proven", test)
    at, snapshot = max(proven, key=lambda pair: pair[0])
    message = f"{snapshot.name} proven {_span(now - at)} ago"
    if now - at < -CLOCK_TOLERANCE:
        late = f"{snapshot.name} says it was proven in the future"
        return fail("proof", late, f"Set the clock right. {test}")
    if now - at > max_age:
        return fail("proof", f"{message}, promised {format_span(max_age)}", test)
    return ok("proof", message)


def check_pushed(runs: Iterable[LastRun], max_age: timedelta, now: datetime) -> Finding:
    """Snapshots go off-site, where that is set: the last push that went well is young enough."""
    check, push = "off-site", "Run `inv snapshot.push --all`, after each `inv snapshot.create`."
    last = next((run.succeeded_at for run in runs if run.task == "snapshot.push"), None)
    if last is None:
        return fail(check, "nothing was pushed from here yet", push)
    message = f"pushed {_span(now - last)} ago"
    if now - last > max_age:
        return fail(check, f"{message}, promised {format_span(max_age)}", push)
    return ok(check, message)


def check_pointer(newest: Snapshot | None, target: str | None) -> Finding:
    """The latest pointer names the newest snapshot; `target` is the name that it holds."""
    check, remedy = "latest link", "The next `inv snapshot.create` swaps it."
    if newest is None:
        return ok(check, "no snapshot yet, so no link")
    if target is None:
        return fail(check, "there is none", "The next `inv snapshot.create` makes it.")
    if target != newest.name:
        return fail(check, f"it points at {target}, newest is {newest.name}", remedy)
    return ok(check, target)


def check_runs(runs: Iterable[LastRun], now: datetime) -> Iterator[Finding]:
    """Yield one line for each task whose last run keeps, or breaks, what it is there for.

    Not of the check itself, which would keep itself broken, nor of what a person does by hand and
    sees fail: that need not be done again.
    """
    for run in runs:
        if run.task in NOT_PROMISED:
            continue
        message = f"{run.task} {_span(now - run.ended_at)} ago"
        if run.ok:
            yield ok("last run", f"{message}, ended well")
        else:
            remedy = f"Run `inv {run.task}` and do what it says."
            yield fail("last run", f"{message} ended with {run.exit_code}", remedy)


def remedy(task: str, collection: str, more: str = "") -> str:
    """Return a sentence with a task on a collection, typed right whatever its name is."""
    return f"Run {code(f'inv {task} --collection {shlex.quote(collection)}')}{more}."


def code(command: str) -> str:
    """Return a command in backticks, in twice as many where it holds some itself."""
    ticks = "``" if "`" in command else "`"
    return f"{ticks}{command}{ticks}"


def _create(collection: str) -> str:
    return remedy("snapshot.create", collection, ", from cron every day")


def _test(collection: str) -> str:
    return remedy("snapshot.test-restore", collection, ", from cron every week")


def _span(old: timedelta) -> str:
    return age(old.total_seconds())


def as_warnings(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield the findings with WARN for FAIL: to the doctor a broken promise is no illness."""
    for f in findings:
        status = Status.WARN if f.status is Status.FAIL else f.status
        yield Finding(check=f.check, status=status, message=f.message, remedy=f.remedy)
