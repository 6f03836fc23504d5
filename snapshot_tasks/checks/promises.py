"""The promises of a collection's backups: recent, proven, intact, and linked as the latest.

These are pure functions: facts of the catalogue and the time go in, one finding for each promise
comes out. A broken promise is a FAIL whose remedy says what to do. `inv snapshot.check`, the doctor
and the report share them.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from snapshot_tasks.catalog.journal import SNAPSHOT, Pending
from snapshot_tasks.catalog.runs import LastRun
from snapshot_tasks.checks.indexes import wrong_on_source
from snapshot_tasks.checks.vector_names import check_vector_names
from snapshot_tasks.domain.findings import Finding, Status, fail, ok, warn
from snapshot_tasks.domain.proof import UNSEALED
from snapshot_tasks.domain.snapshot import RENAME, Snapshot
from snapshot_tasks.domain.versions import VERSIONS
from snapshot_tasks.system.errors import Damaged
from snapshot_tasks.system.spans import format_span
from snapshot_tasks.system.units import age

MAX_AGE = timedelta(hours=26)
MAX_PROOF_AGE = timedelta(days=8)
NOT_PROMISED = tuple(f"snapshot.{name}" for name in ("check", "restore", "pull", "verify", "prune"))
SERVER_COPIES = "server copies"
LEFT_REMEDY = (
    "Let the tasks reach that server, let DELETE through to it, and use a key that may delete. The"
    " next `inv snapshot.create` then deletes them."
)
UNFINISHED = "unfinished restore"
UNFINISHED_REMEDY = (
    "Mend the reason, then run `inv snapshot.create` or `inv snapshot.restore`: either tries again."
)
NO_LINKS = "this disk has no symlinks; the newest snapshot is the one with the latest time"
# The clocks of two machines can differ a little. With a larger difference one of them is wrong,
# and a snapshot from the future would never count as too old.
CLOCK_TOLERANCE = timedelta(minutes=5)


def promises(
    collection: str,
    entries: Iterable[Snapshot],
    *,
    max_age: timedelta,
    max_proof_age: timedelta,
    now: datetime,
) -> tuple[Finding, ...]:
    """Return which promises about one collection's snapshots are kept.

    `entries` come from the catalogue, newest first, and may include other collections. Safety
    snapshots do not count.
    """
    own = own_of(collection, entries)
    if not own:
        message = f"there is no snapshot of {collection}"
        return (fail("newest snapshot", message, _create(collection)),)
    return (
        check_age(own[0], max_age, now),
        check_file(own[0]),
        *check_name(own),
        *check_points(own),
        *check_source_indexes(own[0]),
        *check_names(own[0]),
        *check_seal(own[0]),
        check_proof(own, max_proof_age, now),
    )


def by_collection(entries: Iterable[Snapshot]) -> dict[str, list[Snapshot]]:
    """Return the snapshots of each collection, in the same order; those of none are left out."""
    found: dict[str, list[Snapshot]] = {}
    for entry in entries:
        if entry.collection is not None:
            found.setdefault(entry.collection, []).append(entry)
    return found


def own_of(collection: str, entries: Iterable[Snapshot]) -> list[Snapshot]:
    """Return a collection's snapshots without its safety snapshots."""
    return [s for s in entries if s.collection == collection and not s.is_safety]


def newest_of(collection: str, entries: Iterable[Snapshot]) -> Snapshot | None:
    """Return a collection's newest snapshot, if there is one."""
    return next(iter(own_of(collection, entries)), None)


def check_age(newest: Snapshot, max_age: timedelta, now: datetime) -> Finding:
    """The newest snapshot is recent enough, and not from the future."""
    old, check = now - newest.created_at, "newest snapshot"
    if old < -CLOCK_TOLERANCE:
        message = f"{newest.name} has a creation time in the future"
        remedy = (
            "Correct the clock, move this file elsewhere because it would stay the newest, and then"
            " take a new snapshot."
        )
        return fail(check, message, remedy)
    message = f"{newest.name}, {_span(old)} old"
    if old > max_age:
        create = _create(str(newest.collection))
        return fail(check, f"{message}, more than the promised {format_span(max_age)}", create)
    return ok(check, message)


def check_file(newest: Snapshot) -> Finding:
    """The newest file has the size in its manifest; `verify` checks its bytes."""
    if newest.manifest_problem:
        return fail("file", newest.manifest_problem.message, newest.manifest_problem.hint)
    if newest.manifest is None:
        message = f"{newest.name} has no manifest, so it was not sealed and cannot be checked"
        return warn("file", message, _create(str(newest.collection)))
    size, wanted = newest.size_bytes, newest.manifest.size_bytes
    if not newest.has_its_size:
        message = f"{newest.name} has {size:,} bytes, but its manifest says {wanted:,}"
        return fail("file", message, "Restore the file from a copy, or take a new snapshot.")
    try:
        _ = newest.sealed, newest.probes
    except Damaged as error:
        return fail("file", error.message, error.hint)
    if newest.rewritten:
        return warn("file", newest.rewritten, f"{_verify(newest)} tells whether it is damaged.")
    return ok("file", f"{size:,} bytes, as its manifest says")


def check_name(own: Sequence[Snapshot]) -> Iterator[Finding]:
    """No snapshot is a copy of an older set under another name, which would look like a new one."""
    for snapshot in own:
        if snapshot.renamed:
            yield warn("name", snapshot.renamed, RENAME)


def check_seal(newest: Snapshot) -> Iterator[Finding]:
    """The newest snapshot is sealed, so that a test can prove it; `check_file` says what else."""
    if newest.is_sealed:
        yield ok("seal", "sealed when it was taken")
    elif newest.manifest:
        message = f"{newest.name} was not sealed when it was taken, so no test can prove it"
        yield fail("seal", message, _create(str(newest.collection)))


def check_points(own: Sequence[Snapshot]) -> Iterator[Finding]:
    """The newest snapshot has points if the previous one has any."""
    counts = [s.manifest.points_count for s in own[:2] if s.manifest]
    if len(counts) == 2 and counts[0] == 0 < counts[1]:
        message = f"{own[0].name} has no points, but the previous snapshot has {counts[1]:,}"
        remedy = "Check the source. Until you know why, pin the previous one: `inv snapshot.pin`."
        yield fail("points", message, remedy)


def check_source_indexes(newest: Snapshot) -> Iterator[Finding]:
    """When the newest snapshot was taken, the live payload indexes found what payloads say."""
    try:
        counts = newest.index_counts
    except Damaged as error:
        yield fail("file", error.message, error.hint)
        return
    for finding in wrong_on_source(counts, str(newest.collection)):
        yield replace(finding, status=Status.FAIL)


def check_names(newest: Snapshot) -> Iterator[Finding]:
    """Yield a warning if later versions of Qdrant will not restore the newest snapshot."""
    if newest.manifest:
        version = newest.taken_with or VERSIONS[0].number
        yield from check_vector_names(newest.manifest.config, version)


def check_proof(own: Sequence[Snapshot], max_age: timedelta, now: datetime) -> Finding:
    """A snapshot of the collection was proven recently, and the newest has not failed since.

    Between two weekly tests the newest snapshot is not tested yet, which does not break a promise.
    """
    newest = own[0]
    test = _test(str(newest.collection))
    if newest.failed_at is not None:
        ago = _span(now - newest.failed_at)
        message = f"{newest.name} failed {ago} ago and has not been proven since"
        return fail("proof", message, "`inv snapshot.test-restore` shows what is wrong with it.")
    proven = [(at, s) for s in own if (at := s.proven_at) is not None and s.has_its_size]
    passed = proven or [(at, s) for s in own if (at := s.restored_at) is not None and s.is_whole]
    if not passed:
        return fail("proof", "no snapshot has been proven yet", test)
    at, snapshot = max(passed, key=lambda pair: pair[0])
    message = f"{snapshot.name} {'proven' if proven else 'restored'} {_span(now - at)} ago"
    if not proven:
        message += f"; {UNSEALED}"
    if now - at < -CLOCK_TOLERANCE:
        late = f"{snapshot.name} has a proof time in the future"
        return fail("proof", late, f"Correct the clock. {test}")
    if now - at > max_age:
        return fail("proof", f"{message}, more than the promised {format_span(max_age)}", test)
    if not proven:
        return warn("proof", message, _create(str(newest.collection)))
    return ok("proof", message)


def check_pushed(runs: Iterable[LastRun], max_age: timedelta, now: datetime) -> Finding:
    """If off-site copies are configured, the last successful push is recent enough."""
    check, push = "off-site", "Run `inv snapshot.push --all`, after each `inv snapshot.create`."
    last = next((run.succeeded_at for run in runs if run.task == "snapshot.push"), None)
    if last is None:
        return fail(check, "nothing has been pushed from this machine yet", push)
    message = f"pushed {_span(now - last)} ago"
    if now - last > max_age:
        return fail(check, f"{message}, more than the promised {format_span(max_age)}", push)
    return ok(check, message)


def check_pointer(own: Sequence[Snapshot], target: str | None) -> Finding:
    """The latest link points to the newest snapshot; `target` is the name in the link.

    A file that another tool put into the folder does not count until it is imported.
    """
    check, remedy = "latest link", "The next `inv snapshot.create` updates it."
    newest = next((s for s in own if s.manifest or s.manifest_problem), next(iter(own), None))
    if newest is None:
        return ok(check, "there is no snapshot yet, so there is no link")
    if target is None:
        return fail(check, "the link does not exist", "The next `inv snapshot.create` creates it.")
    if target != newest.name:
        return fail(check, f"it points to {target}, but the newest is {newest.name}", remedy)
    if newest is not own[0]:
        message = f"{target}; {own[0].name} is newer by its name, and has no manifest"
        path = shlex.quote(str(own[0].path))
        return warn(check, message, f"{code(f'inv snapshot.import {path}')} adds one.")
    return ok(check, target)


def check_runs(runs: Iterable[LastRun], now: datetime) -> Iterator[Finding]:
    """Yield a finding about the last run of each task.

    The check itself is excluded, because it would keep itself broken. So are tasks that people run
    by hand: they see the failure themselves and need not run the task again.
    """
    for run in runs:
        if run.task in NOT_PROMISED:
            continue
        message = f"{run.task} {_span(now - run.ended_at)} ago"
        if run.ok:
            yield ok("last run", f"{message}, succeeded")
        else:
            remedy = f"Run `inv {run.task}` and follow its instructions."
            yield fail("last run", f"{message} exited with {run.exit_code}", remedy)


def remedy(task: str, collection: str, more: str = "") -> str:
    """Return a sentence that says to run a task on a collection, quoted for the shell."""
    return f"Run {code(f'inv {task} --collection {shlex.quote(collection)}')}{more}."


def code(command: str) -> str:
    """Return a command in backticks, in double backticks if it contains one itself."""
    ticks = "``" if "`" in command else "`"
    return f"{ticks}{command}{ticks}"


def _verify(snapshot: Snapshot) -> str:
    return code(f"inv snapshot.verify --snapshot {shlex.quote(snapshot.name)}")


def _create(collection: str) -> str:
    return remedy("snapshot.create", collection, ", and schedule it daily")


def _test(collection: str) -> str:
    return remedy("snapshot.test-restore", collection, ", and schedule it weekly")


def check_left(left: Sequence[Pending]) -> Iterator[Finding]:
    """No server has a copy, or a half-done restore, that runs could not delete, finish or undo."""
    copies: dict[str, list[Pending]] = {}
    for entry in left:
        if entry.kind == SNAPSHOT:
            copies.setdefault(entry.url, []).append(entry)
        else:
            what = f"the {entry.kind} of {entry.collection} on {entry.url}"
            message = f"{what} was neither finished nor undone ({entry.facts['left']})"
            yield warn(UNFINISHED, message, UNFINISHED_REMEDY)
    for url, those in copies.items():
        names = ", ".join(f"{e.collection}: {e.facts.get('name') or 'unknown'}" for e in those)
        number = "1 copy" if len(those) == 1 else f"{len(those)} copies"
        message = f"{number} on {url} could not be deleted: {names} ({those[0].facts['left']})"
        yield warn(SERVER_COPIES, message, LEFT_REMEDY)


def _span(old: timedelta) -> str:
    return age(old.total_seconds())


def as_warnings(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield the findings with WARN for FAIL: for the doctor, a broken promise is a warning."""
    for f in findings:
        status = Status.WARN if f.status is Status.FAIL else f.status
        yield Finding(check=f.check, status=status, message=f.message, remedy=f.remedy)
