"""Test whether the checks catch every known damage, on damaged copies of a snapshot."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from snapshot_tasks.checks.contents import check_contents, check_shards
from snapshot_tasks.checks.file import verify
from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.domain.findings import failed
from snapshot_tasks.domain.search_parity import PointId
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.engines.base import Engine
from snapshot_tasks.operations.prove.drill import DrillRequest, drill
from snapshot_tasks.operations.prove.evidence import AFTER_RESTART
from snapshot_tasks.operations.prove.fresh_failure import Stopped
from snapshot_tasks.qdrant.picture import APPROXIMATE, differing, take_picture
from snapshot_tasks.sealing.reader import read_contents
from snapshot_tasks.selftest.copies import Copy, Fault, NotApplicable, read_sample
from snapshot_tasks.selftest.faults import FAULTS
from snapshot_tasks.selftest.members import member_faults
from snapshot_tasks.selftest.of_replicas import NODES
from snapshot_tasks.system.errors import ContentsDiffer, Damaged, Refused, TaskError
from snapshot_tasks.system.files import storage_errors
from snapshot_tasks.system.progress import Clock, Progress, Silent
from snapshot_tasks.system.scratch import scratch_folder

BYTES, CONTENTS, DRILL = "bytes", "contents", "drill"
WORLD_READABLE = 0o755
Spoil = Callable[[Endpoint, str, Copy], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTestRequest:
    """Which snapshot to damage, how, and which checks should catch it, the cheap ones first.

    `version` is used for the fresh servers if the snapshot's version is unknown. `all_members` adds
    the faults of every kind of file in it. `only` keeps the faults whose names contain that text.
    """

    snapshot: Snapshot
    version: str
    operation_timeout_seconds: float
    checks: tuple[str, ...] = (BYTES, CONTENTS, DRILL)
    faults: tuple[Fault, ...] = FAULTS
    all_members: bool = False
    only: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Which check caught a fault ("" if none did), and how long that took.

    `differs` says in what the restored collection differs from one without the damage; None if they
    were not compared.
    """

    caught_by: str
    seconds: float
    differs: tuple[str, ...] | None = None

    @property
    def is_harmless(self) -> bool:
        """Whether everything was restored as without the damage."""
        return not self.caught_by and self.differs == ()

    @property
    def is_tolerated(self) -> bool:
        """Whether only approximate searches find other points, of which a drill allows a few."""
        return (
            not self.caught_by
            and bool(self.differs)
            and all(part.startswith(APPROXIMATE) for part in self.differs or ())
        )

    @property
    def is_missed(self) -> bool:
        """Whether no check caught it although it matters."""
        return not (self.caught_by or self.is_harmless or self.is_tolerated)

    def as_json(self) -> dict[str, Any]:
        """Return the attempt for `--json`."""
        return {
            "caught_by": self.caught_by or None,
            "seconds": round(self.seconds, 3),
            "harmless": self.is_harmless,
            "differs": None if self.differs is None else list(self.differs),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One fault, tried with the unchanged manifest and with one that matches the damaged file.

    An attempt is None if it makes no sense; `left_out` says why the fault was not tried at all.
    """

    fault: str
    as_it_is: Attempt | None = None
    resigned: Attempt | None = None
    left_out: str = ""

    @property
    def uncaught(self) -> bool:
        """Whether no check caught the fault."""
        return any(a is not None and a.is_missed for a in (self.as_it_is, self.resigned))

    @property
    def is_harmless(self) -> bool:
        """Whether everything was restored as without the damage."""
        return self.resigned is not None and self.resigned.is_harmless

    @property
    def is_tolerated(self) -> bool:
        """Whether only approximate searches find other points."""
        return self.resigned is not None and self.resigned.is_tolerated

    def as_json(self) -> dict[str, Any]:
        """Return the row for `--json`."""
        return {
            "fault": self.fault,
            "as_it_is": self.as_it_is.as_json() if self.as_it_is else None,
            "resigned": self.resigned.as_json() if self.resigned else None,
            "left_out": self.left_out or None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTestReport:
    """The result of each fault."""

    snapshot: Snapshot
    rows: tuple[Row, ...]
    seconds: float

    @property
    def error(self) -> TaskError | None:
        """The error if no check caught one of the faults."""
        names = [row.fault for row in self.rows if row.uncaught]
        if not names:
            return None
        return ContentsDiffer(
            f"{len(names)} of {len(self.rows)} faults were not caught by any check:"
            f" {'; '.join(names)}.",
            hint="This is a gap in the checks, not a problem with your snapshot. Please report it.",
        )


def selftest(
    request: SelfTestRequest, engine: Engine, progress: Progress, *, clock: Clock
) -> SelfTestReport:
    """Damage a copy with each fault in turn and record what catches it. The original is only read.

    First the undamaged copy must pass, because a check that always fails would catch everything.

    Raises:
        Refused: if the snapshot is not sealed, or fails the checks without added damage.
        StorageError: if the temporary folder has not enough space.
        Unreachable, NotFound: if no Qdrant could be started.
    """
    _refuse_unsealed(request.snapshot)
    start = time.monotonic()
    # The fresh server may run as another user.
    with scratch_folder(mode=WORLD_READABLE) as folder, storage_errors(folder, setting="TMPDIR"):
        rows = tuple(_rows(_Testing(request, engine, clock), folder, progress))
    return SelfTestReport(snapshot=request.snapshot, rows=rows, seconds=time.monotonic() - start)


def _rows(testing: _Testing, folder: Path, progress: Progress) -> Iterator[Row]:
    snapshot = testing.request.snapshot
    with progress.phase("checking the undamaged copy"):
        sound = Copy.of(snapshot.path, folder / "sound")
        if check := testing.undamaged(sound):
            raise Refused(
                f"{snapshot.name} fails the checks even without added damage ({check}).",
                hint="Use an intact snapshot that was sealed by the reader.",
            )
        points = read_sample(sound.file, folder / "sample")
    faults = testing.faults(sound)
    for number, fault in enumerate(faults, 1):
        with progress.phase(f"{number} of {len(faults)}: {fault.name}"):
            copy = Copy.of(sound.file, folder / "damaged", points)
            yield testing.row(fault, copy)
            shutil.rmtree(copy.file.parent)


def _refuse_unsealed(snapshot: Snapshot) -> None:
    snapshot.check_manifest()
    if snapshot.sealed is None:
        raise Refused(
            f"{snapshot.name} is not sealed, so its contents cannot be checked.",
            hint="Take a new snapshot with `inv snapshot.create`, which seals it.",
        )


class _Testing:
    """Runs the requested checks on damaged copies, without output."""

    def __init__(self, request: SelfTestRequest, engine: Engine, clock: Clock) -> None:
        self.request = request
        self._engine = engine
        self._clock = clock
        self._looks = False
        self._sound: list[dict[str, Any]] = []
        self._seen: list[dict[str, Any]] = []
        self._checks: dict[str, Callable[[Snapshot], str]] = {
            BYTES: _check_bytes,
            CONTENTS: _check_contents,
            DRILL: self._check_drill,
        }

    def row(self, fault: Fault, copy: Copy) -> Row:
        """Apply one fault, and try it twice."""
        try:
            fault.apply(copy)
        except NotApplicable as reason:
            return Row(fault=fault.name, left_out=str(reason))
        row = Row(fault=fault.name)
        if fault.spoil:
            return self._spoiled(row, fault.spoil, copy)
        self._looks = fault.may_be_harmless
        if not fault.by_member:
            row = replace(row, as_it_is=self._attempt(copy))
        if not fault.resign:
            return row
        copy.resign()
        attempt = self._attempt(copy)
        if fault.may_be_harmless and not attempt.caught_by:
            attempt = replace(attempt, differs=self._differences())
        return replace(row, resigned=attempt)

    def _spoiled(self, row: Row, spoil: Spoil, copy: Copy) -> Row:
        """Restore the intact file on several nodes, spoil a replica there, and look again.

        Only what is found then is counted: a check that fails before would catch everything.
        """
        if DRILL not in self.request.checks:
            return replace(row, left_out="only a drill sees it")
        start = time.monotonic()
        spoiled: list[str] = []

        def look(endpoint: Endpoint, collection: str) -> None:
            if not spoiled:
                spoiled.append(collection)
                spoil(endpoint, collection, copy)

        request = DrillRequest(
            snapshot=self.request.snapshot,
            version=self.request.version,
            operation_timeout_seconds=self.request.operation_timeout_seconds,
            nodes=NODES,
            observe=look,
        )
        report = drill(request, self._engine, Silent(), clock=self._clock)
        names = [f.check for f in failed(report.findings) if f.check.startswith(AFTER_RESTART)]
        before = len(failed(report.findings)) > len(names)
        attempt = Attempt(
            caught_by="" if before else _of_drill(names), seconds=time.monotonic() - start
        )
        return replace(row, as_it_is=attempt)

    def undamaged(self, sound: Copy) -> str:
        """Remember what a restore without damage looks like; return which check it fails."""
        self._looks = any(fault.may_be_harmless for fault in self.faults(sound))
        caught_by = self._attempt(sound).caught_by
        self._sound, self._seen = self._seen, []
        return caught_by

    def faults(self, sound: Copy) -> list[Fault]:
        """Return the faults to try."""
        members = member_faults(sound.file) if self.request.all_members else ()
        return [f for f in (*self.request.faults, *members) if self.request.only in f.name]

    def _attempt(self, copy: Copy) -> Attempt:
        """Run the checks, the cheap ones first, until one fails."""
        start, caught_by = time.monotonic(), ""
        self._seen = []
        for name, check in self._checks.items():
            if name in self.request.checks and (caught_by := check(copy.snapshot())):
                break
        return Attempt(caught_by=caught_by, seconds=time.monotonic() - start)

    def _differences(self) -> tuple[str, ...] | None:
        """Return what looked other than without damage, after the restore or after the restart."""
        if not self._sound:
            return None
        first, again = self._sound
        unsteady = differing(first, again)
        found = [part for seen in self._seen for part in differing(first, seen)]
        return tuple(part for part in dict.fromkeys(found) if part not in unsteady)

    def _check_drill(self, snapshot: Snapshot) -> str:
        request = DrillRequest(
            snapshot=snapshot,
            version=self.request.version,
            operation_timeout_seconds=self.request.operation_timeout_seconds,
            observe=self._observer(snapshot),
        )
        try:
            report = drill(request, self._engine, Silent(), clock=self._clock)
        except Stopped:
            # The sound copy passed, so it is the damage that makes Qdrant ask for too much memory.
            return "drill: the server was ended from outside"
        if report.error is None:
            return ""
        names = [f.check for f in failed(report.findings)]
        return _of_drill(names or [report.error.kind])

    def _observer(self, snapshot: Snapshot) -> Callable[[Endpoint, str], None]:
        """Return a function that looks at a restored collection, where that will be compared."""
        if not self._looks:
            return lambda endpoint, collection: None

        def look(endpoint: Endpoint, collection: str) -> None:
            assert snapshot.manifest is not None
            queries: dict[str, list[PointId]] = {}
            for probe in snapshot.probes:
                queries.setdefault(probe.vector, []).append(probe.id)
            seen = take_picture(
                endpoint,
                collection,
                queries=queries,
                config=snapshot.manifest.config,
                counts=snapshot.index_counts,
            )
            self._seen.append(seen)

        return look


def _of_drill(checks: list[str]) -> str:
    """Return the names of the checks of a drill that failed; "" if none did."""
    names = dict.fromkeys(check.removeprefix(AFTER_RESTART) for check in checks)
    return f"drill: {', '.join(names)}" if names else ""


def _check_bytes(snapshot: Snapshot) -> str:
    return ", ".join(f.check for f in failed(verify(snapshot, Silent()).findings))


def _check_contents(snapshot: Snapshot) -> str:
    """Compare the file's contents with the seal; report separately what cannot be read at all."""
    try:
        sealed = snapshot.sealed
    except Damaged:
        return "seal (unreadable)"
    try:
        found = read_contents(snapshot.path, Silent())
    except Damaged:
        return "contents (unreadable)"
    assert sealed is not None
    findings = (
        check_contents(sealed, found.fingerprint),
        *check_shards(snapshot.shards, found.shards),
    )
    return "contents" if failed(findings) else ""
