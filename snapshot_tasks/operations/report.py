"""The data of a report: what is protected, when it was proven, and what needs attention."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.checks.attention import Subject, attention
from snapshot_tasks.domain.findings import Finding, Status
from snapshot_tasks.domain.proof import DRILL, VERIFY, Proof, last_of
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.system.errors import NotFound, TaskError

# Limits that keep the page small whatever the folder contains; the page says how many are omitted.
MAX_SNAPSHOTS = 20
MAX_SAMPLES = 90
MAX_FINDINGS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One restore test or verification, as a page shows it."""

    snapshot: str
    at: datetime
    ok: bool
    engine: str
    qdrant_version: str
    restore_seconds: float | None
    findings: tuple[Finding, ...]

    @classmethod
    def of(cls, snapshot: Snapshot, proof: Proof) -> Trial:
        """Return a proof of a snapshot as a trial."""
        return cls(
            snapshot=snapshot.name,
            at=proof.at,
            ok=proof.ok,
            engine=proof.engine,
            qdrant_version=proof.qdrant_version,
            restore_seconds=proof.restore_seconds,
            findings=proof.findings[:MAX_FINDINGS],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One snapshot; facts that come only from a manifest are None if it has none."""

    name: str
    created_at: datetime
    size_bytes: int
    points_count: int | None
    qdrant_version: str | None
    sealed: bool | None
    label: str | None
    replaced: bool
    proven_at: datetime | None
    restored_at: datetime | None
    restore_seconds: float | None
    problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One measurement of a plot; a failed test has no value."""

    at: datetime
    value: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionReport:
    """One collection: its newest snapshots, its proofs, and what needs attention.

    `proven` is the newest proven snapshot: its age is the RPO. `passed` is the last test that
    passed: its restore time is the RTO. Samples are the newest ones, oldest first.
    """

    name: str
    attention: tuple[Finding, ...]
    newest: Entry | None
    proven: Entry | None
    last_test: Trial | None
    passed: Trial | None
    last_verification: Trial | None
    snapshots: tuple[Entry, ...]
    snapshots_count: int
    size_bytes: int
    sizes: tuple[Sample, ...]
    restores: tuple[Sample, ...]
    tests_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything a page shows. Collections that need attention come first."""

    at: datetime
    folder: str
    max_age: timedelta | None
    max_proof_age: timedelta | None
    collections: tuple[CollectionReport, ...]
    unknown: tuple[str, ...]

    @property
    def attention(self) -> tuple[tuple[str, Finding], ...]:
        """Every finding that needs attention with its collection, failures before warnings."""
        found = [(c.name, finding) for c in self.collections for finding in c.attention]
        return tuple(sorted(found, key=lambda item: item[1].status is not Status.FAIL))

    def as_json(self) -> dict[str, Any]:
        """Return the data for `--json`."""
        document = asdict(self)
        for each, report in zip(document["collections"], self.collections, strict=True):
            each["rpo_seconds"] = rpo_seconds(report, self.at)
            each["rto_seconds"] = report.passed.restore_seconds if report.passed else None
        plain: dict[str, Any] = _plain(document)
        return plain | {"ok": bool(self.collections) and not self.attention}


def rpo_seconds(report: CollectionReport, now: datetime) -> float | None:
    """Return the age of the newest proven snapshot: the most that would be lost now."""
    return (now - report.proven.created_at).total_seconds() if report.proven else None


def collect(
    catalog: Catalog,
    *,
    now: datetime,
    max_age: timedelta | None,
    max_proof_age: timedelta | None,
) -> Report:
    """Read the catalogue. No server is contacted, and no snapshot file is read.

    Raises:
        StorageError: if the folder cannot be read.
    """
    entries = catalog.entries()
    by_name: dict[str, list[Snapshot]] = {name: [] for name in catalog.collections(entries)}
    for entry in entries:
        if entry.collection:
            by_name.setdefault(entry.collection, []).append(entry)
    reports = []
    for name, snapshots in sorted(by_name.items()):
        subject = Subject(
            collection=name,
            snapshots=[s for s in snapshots if not s.is_safety],
            now=now,
            max_age=max_age,
            max_proof_age=max_proof_age,
            link_problem=_link_problem(catalog, name),
        )
        reports.append(_report(subject, snapshots))
    return Report(
        at=now,
        folder=str(catalog.folder),
        max_age=max_age,
        max_proof_age=max_proof_age,
        collections=tuple(sorted(reports, key=_urgency)),
        unknown=tuple(s.name for s in entries if not s.collection),
    )


def _urgency(report: CollectionReport) -> int:
    if not report.attention:
        return 2
    return 0 if report.attention[0].status is Status.FAIL else 1


def _report(subject: Subject, snapshots: Sequence[Snapshot]) -> CollectionReport:
    tests = sorted(_tests(snapshots), key=lambda test: test.at)
    passed = [test for test in tests if test.ok]
    shown = tuple(_entry(s) for s in snapshots[:MAX_SNAPSHOTS])
    proven = next((s for s in subject.snapshots if s.proven_at), None)
    newest = subject.newest
    verified = last_of(newest.proofs, VERIFY) if newest else None
    return CollectionReport(
        name=subject.collection,
        attention=attention(subject),
        newest=_entry(newest) if newest else None,
        proven=_entry(proven) if proven else None,
        last_test=tests[-1] if tests else None,
        passed=passed[-1] if passed else None,
        last_verification=Trial.of(newest, verified) if newest and verified else None,
        snapshots=shown,
        snapshots_count=len(snapshots),
        size_bytes=sum(s.size_bytes for s in snapshots),
        sizes=tuple(
            Sample(at=s.created_at, value=s.size_bytes)
            for s in reversed(subject.snapshots[:MAX_SAMPLES])
        ),
        restores=tuple(
            Sample(at=t.at, value=t.restore_seconds if t.ok else None) for t in tests[-MAX_SAMPLES:]
        ),
        tests_count=len(tests),
    )


def _tests(snapshots: Sequence[Snapshot]) -> Iterator[Trial]:
    for snapshot in snapshots:
        for proof in snapshot.proofs:
            if proof.kind == DRILL:
                yield Trial.of(snapshot, proof)


def _entry(snapshot: Snapshot) -> Entry:
    manifest, problem = snapshot.manifest, snapshot.manifest_problem
    test = last_of(snapshot.proofs, DRILL)
    measured = Trial.of(snapshot, test) if test and test.ok else None
    return Entry(
        name=snapshot.name,
        created_at=snapshot.created_at,
        size_bytes=snapshot.size_bytes,
        points_count=manifest.points_count if manifest else None,
        qdrant_version=snapshot.taken_with,
        sealed=manifest.seal is not None if manifest else None,
        label=manifest.label if manifest else None,
        replaced=snapshot.is_safety,
        proven_at=snapshot.proven_at,
        restored_at=snapshot.restored_at,
        restore_seconds=measured.restore_seconds if measured else None,
        problem=problem.message if problem else None,
    )


def _link_problem(catalog: Catalog, collection: str) -> TaskError | None:
    try:
        catalog.latest_target(collection)
    except NotFound as error:
        return error
    return None


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: times as text, durations as seconds."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value.total_seconds() if isinstance(value, timedelta) else value
