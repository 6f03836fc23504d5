"""What needs attention about one collection's snapshots, each finding with its remedy.

The checks only read the folder and contact no server. They yield nothing if all is well.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from snapshot_tasks.checks.promises import code, promises, remedy
from snapshot_tasks.domain.findings import Finding, Status, fail, failed, listed, warn
from snapshot_tasks.domain.proof import DRILL, VERIFY, Proof, last_of
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.system.errors import TaskError
from snapshot_tasks.system.units import ago

MAX_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One collection: its snapshots, newest first, and how old the newest and its proof may be.

    Safety snapshots are left out. `link_problem` is what is wrong with the latest link. An age of
    None is not checked.
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
        """Return a sentence that says to run a task on this collection."""
        return remedy(task, self.collection)


def check_link(subject: Subject) -> Iterator[Finding]:
    """The latest link dangles: the newest snapshot is missing, and no task uses an older one."""
    if problem := subject.link_problem:
        yield fail("latest link", problem.message, problem.hint)


def check_promises(subject: Subject) -> Iterator[Finding]:
    """The broken promises, judged as `inv snapshot.check` does."""
    findings = promises(
        subject.collection,
        subject.snapshots,
        max_age=subject.max_age or timedelta.max,
        max_proof_age=subject.max_proof_age or timedelta.max,
        now=subject.now,
    )
    # `check_last_words` reports that the newest snapshot failed, and gives the reasons.
    has_failed = subject.newest is not None and subject.newest.failed_at is not None
    for finding in findings:
        if finding.status is not Status.OK and not (finding.check == "proof" and has_failed):
            yield finding


def check_last_words(subject: Subject) -> Iterator[Finding]:
    """The last test and the last verification of the newest snapshot passed without a warning."""
    for snapshot in subject.snapshots[:1]:
        for kind, name in ((DRILL, "restore test"), (VERIFY, "verification")):
            if proof := last_of(snapshot.proofs, kind):
                yield from _findings_of(subject, snapshot, proof, f"last {name}")


def check_older(subject: Subject) -> Iterator[Finding]:
    """The last test or verification of older snapshots, the second line of defence, passed."""
    wrong = [s.name for s in subject.snapshots[1:] if s.manifest_problem or _has_failed(s)]
    if wrong:
        message = f"{len(wrong)} damaged or failed to restore: {listed(wrong, MAX_NAMED)}"
        yield warn("older snapshots", message, "Do not rely on them; `inv snapshot.show` says why.")


ATTENTION_CHECKS: tuple[Callable[[Subject], Iterator[Finding]], ...] = (
    check_link,
    check_promises,
    check_last_words,
    check_older,
)


def attention(subject: Subject) -> tuple[Finding, ...]:
    """Run every check of a collection; failures come first."""
    found = [finding for check in ATTENTION_CHECKS for finding in check(subject)]
    return tuple(sorted(found, key=lambda finding: finding.status is not Status.FAIL))


def _findings_of(
    subject: Subject, snapshot: Snapshot, proof: Proof, check: str
) -> Iterator[Finding]:
    findings, when = proof.findings, ago(proof.at, subject.now)
    if not proof.ok:
        reasons = list(dict.fromkeys(f"{f.check}: {f.message}" for f in failed(findings)))
        message = f"{snapshot.name} failed {when}: {listed(reasons, MAX_NAMED) or 'unknown reason'}"
        remedy = subject.remedy("snapshot.test-restore --create")
        yield fail(check, message, f"Do not rely on it. {remedy}")
    # The checks after the restart repeat the same warnings.
    warned = {f.message: f for f in reversed(findings) if f.status is Status.WARN}
    for finding in reversed(warned.values()):
        show = f"See {code(f'inv snapshot.show --snapshot {shlex.quote(snapshot.name)}')}."
        yield warn(check, f"{finding.check}: {finding.message}", finding.remedy or show)


def _has_failed(snapshot: Snapshot) -> bool:
    last = (last_of(snapshot.proofs, kind) for kind in (DRILL, VERIFY))
    return any(proof is not None and not proof.ok for proof in last)
