"""What about one collection's snapshots needs somebody's attention, each with its remedy.

Only the folder is looked at, no server is asked. Whatever is well yields no finding.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from snapshot_tasks.catalog.proofs import DRILL, VERIFY, findings_of
from snapshot_tasks.catalog.snapshot import Snapshot
from snapshot_tasks.errors import TaskError
from snapshot_tasks.models import Finding, JsonObject, Status, failed
from snapshot_tasks.spans import format_span
from snapshot_tasks.units import age, ago

# Clocks of two machines differ a little; more is a wrong clock, before which nothing gets old.
CLOCK_TOLERANCE = timedelta(minutes=5)
MAX_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One collection: its snapshots, newest first, and how old the newest and its proof may be.

    Snapshots of what was replaced are left out. `link_problem` is what is wrong with the latest
    pointer. An age of None is not looked at.
    """

    collection: str
    snapshots: Sequence[Snapshot]
    now: datetime
    max_age: timedelta | None = None
    max_proof_age: timedelta | None = None
    link_problem: TaskError | None = None

    @property
    def newest(self) -> Snapshot | None:
        """The newest snapshot, if any is left."""
        return self.snapshots[0] if self.snapshots else None

    def remedy(self, task: str) -> str:
        """Return a sentence with a task on this collection, typed right whatever its name is."""
        return f"Run {_code(f'inv {task} --collection {shlex.quote(self.collection)}')}."


def check_link(watched: Watched) -> Iterator[Finding]:
    """The latest pointer dangles: the newest snapshot is gone, and no task takes an older one."""
    if problem := watched.link_problem:
        yield _fail("latest link", problem.message, problem.hint)


def check_newest(watched: Watched) -> Iterator[Finding]:
    """There is a snapshot, and it is not too old."""
    newest, create = watched.newest, watched.remedy("snapshot.create")
    if newest is None:
        yield _fail("newest snapshot", "no snapshot is left", create)
        return
    old = watched.now - newest.created_at
    if old < -CLOCK_TOLERANCE:
        message = f"{newest.name} says it was taken in the future"
        yield _fail("newest snapshot", message, "Set the clock right, then take a new snapshot.")
    if watched.max_age and old > watched.max_age:
        message = f"{age(old.total_seconds())} old; {format_span(watched.max_age)} are allowed"
        yield _fail("newest snapshot", message, create)


def check_file(watched: Watched) -> Iterator[Finding]:
    """The newest file has its manifest, its size and its seal."""
    newest = watched.newest
    if newest is None:
        return
    if problem := newest.manifest_problem:
        yield _fail("manifest", problem.message, problem.hint)
    elif (manifest := newest.manifest) is None:
        message = f"{newest.name} has none: its checksum, points and seal are unknown"
        yield _warn("manifest", message, watched.remedy("snapshot.create"))
    elif newest.size_bytes != manifest.size_bytes:
        message = f"{newest.name} has {newest.size_bytes:,} bytes, not {manifest.size_bytes:,}"
        yield _fail("size", message, watched.remedy("snapshot.create"))
    elif manifest.fingerprint is None:
        message = f"{newest.name} is not sealed: nothing tells what each point should be"
        yield _warn("seal", message, watched.remedy("snapshot.create"))


def check_proof(watched: Watched) -> Iterator[Finding]:
    """A snapshot of it was proven to restore, and not too long ago."""
    if watched.newest is None:
        return
    proven = [at for s in watched.snapshots if (at := s.proven_at)]
    remedy = watched.remedy("snapshot.test-restore")
    if not proven:
        yield _fail("proof", "no snapshot of it is proven to restore", remedy)
        return
    old = watched.now - max(proven)
    if watched.max_proof_age and old > watched.max_proof_age:
        allowed = format_span(watched.max_proof_age)
        message = f"last proven {age(old.total_seconds())} ago; {allowed} are allowed"
        yield _fail("proof", message, remedy)


def check_last_words(watched: Watched) -> Iterator[Finding]:
    """The last test and the last verification of the newest passed, without a warning."""
    for snapshot in watched.snapshots[:1]:
        for kind, name in ((DRILL, "restore test"), (VERIFY, "verification")):
            if proof := last_of(snapshot, kind):
                yield from _words_of(watched, snapshot, proof, f"last {name}")


def check_older(watched: Watched) -> Iterator[Finding]:
    """Older snapshots, the second line of defence: whose last test or verification failed."""
    wrong = [s.name for s in watched.snapshots[1:] if s.manifest_problem or _has_failed(s)]
    if wrong:
        message = f"{len(wrong)} damaged or not restorable: {_some(wrong)}"
        yield _warn(
            "older snapshots", message, "Do not rely on them; `inv snapshot.show` says why."
        )


ATTENTION_CHECKS: tuple[Callable[[Watched], Iterator[Finding]], ...] = (
    check_link,
    check_newest,
    check_file,
    check_proof,
    check_last_words,
    check_older,
)


def attention(watched: Watched) -> tuple[Finding, ...]:
    """Run every check of a collection; failures come first."""
    found = [finding for check in ATTENTION_CHECKS for finding in check(watched)]
    return tuple(sorted(found, key=lambda finding: finding.status is not Status.FAIL))


def last_of(snapshot: Snapshot, kind: str) -> JsonObject | None:
    """Return the last proof of a kind that speaks of the file, not of the live collection."""
    of_file = (p for p in reversed(snapshot.proofs) if p.get("level") != "source")
    return next((proof for proof in of_file if proof["kind"] == kind), None)


def _words_of(
    watched: Watched, snapshot: Snapshot, proof: JsonObject, check: str
) -> Iterator[Finding]:
    findings, when = findings_of(proof), ago(datetime.fromisoformat(proof["at"]), watched.now)
    if not proof["ok"]:
        reasons = list(dict.fromkeys(f"{f.check}: {f.message}" for f in failed(findings)))
        message = f"{snapshot.name} failed {when}: {_some(reasons) or 'for an unknown reason'}"
        remedy = watched.remedy("snapshot.test-restore --create")
        yield _fail(check, message, f"Do not rely on it. {remedy}")
    # After the restart, the same is found again.
    warned = {f.message: f for f in reversed(findings) if f.status is Status.WARN}
    for finding in reversed(warned.values()):
        show = f"See {_code(f'inv snapshot.show --snapshot {shlex.quote(snapshot.name)}')}."
        yield _warn(check, f"{finding.check}: {finding.message}", finding.remedy or show)


def _has_failed(snapshot: Snapshot) -> bool:
    return any((proof := last_of(snapshot, kind)) and not proof["ok"] for kind in (DRILL, VERIFY))


def _code(command: str) -> str:
    """Return a command in backticks, in twice as many where it holds some itself."""
    ticks = "``" if "`" in command else "`"
    return f"{ticks}{command}{ticks}"


def _some(texts: Sequence[str]) -> str:
    more = f"; and {len(texts) - MAX_NAMED} more" if len(texts) > MAX_NAMED else ""
    return "; ".join(texts[:MAX_NAMED]) + more


def _fail(check: str, message: str, remedy: str) -> Finding:
    return Finding(check=check, status=Status.FAIL, message=message, remedy=remedy)


def _warn(check: str, message: str, remedy: str) -> Finding:
    return Finding(check=check, status=Status.WARN, message=message, remedy=remedy)
