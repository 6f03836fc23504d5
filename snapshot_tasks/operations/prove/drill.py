"""The drill (restore test): restore into an empty Qdrant, compare, discard it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from snapshot_tasks.catalog.proofs import keep_proof
from snapshot_tasks.checks.expected import Cost, Expected
from snapshot_tasks.checks.file import check_point_versions, verify
from snapshot_tasks.checks.restored import restored_error
from snapshot_tasks.checks.vector_names import check_vector_names
from snapshot_tasks.domain.cluster import is_custom
from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.domain.findings import Finding, Status, failed, warn
from snapshot_tasks.domain.proof import DRILL, REHEARSAL, UNSEALED, Proof, Verdict
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.engines.base import Engine, FreshRequest, FreshServer
from snapshot_tasks.operations.batch import Batch, for_each
from snapshot_tasks.operations.prove.evidence import (
    as_restored,
    evidence_again,
    look_again,
    points_evidence,
    prefixed,
)
from snapshot_tasks.operations.prove.expectation import expectation
from snapshot_tasks.operations.prove.fresh_failure import (
    AWAY,
    NOT_PROVEN_HINT,
    SAYS_NOTHING,
    meaning,
)
from snapshot_tasks.operations.restore.demands import config_of, needs_start_up
from snapshot_tasks.operations.restore.one import restore
from snapshot_tasks.operations.restore.plan import RestoreRequest
from snapshot_tasks.qdrant.errors import is_full_disk
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.errors import (
    BudgetMissed,
    Damaged,
    NotFound,
    RestoreIncomplete,
    StorageError,
    TaskError,
    Unreachable,
)
from snapshot_tasks.system.progress import Clock, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillRequest:
    """Which snapshot to drill, and how. `version` is used if the snapshot's version is unknown.

    `nodes` is of how many nodes the fresh Qdrant is.
    `rehearsed_version` is another Qdrant version to test the snapshot on, as a trial upgrade.
    `observe` is called with the server and the collection, after the restore and after the restart.
    """

    snapshot: Snapshot
    version: str
    operation_timeout_seconds: float
    max_seconds: float = 0.0
    keep: bool = False
    rehearsed_version: str = ""
    nodes: int = 1
    observe: Callable[[Endpoint, str], None] = lambda endpoint, collection: None


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillReport:
    """Everything a drill found.

    `restore_seconds` is the measured restore time (RTO): until every point was there.
    `green_seconds` is how long it took until the optimizer was done, if that was seen.
    """

    snapshot: Snapshot
    at: str
    engine: str
    server_version: str
    findings: tuple[Finding, ...]
    phases: dict[str, float]
    restore_seconds: float | None
    snapshot_age_seconds: float
    error: TaskError | None
    sha256: str = ""
    kept: str = ""
    kind: str = DRILL
    green_seconds: float | None = None

    @property
    def verdict(self) -> Verdict:
        """What the drill shows; a restore that took too long came back all the same."""
        if self.error is not None and not isinstance(self.error, BudgetMissed):
            return Verdict.NOT_PROVEN
        return Verdict.PROVEN if self.snapshot.is_sealed else Verdict.RESTORES

    @property
    def total_seconds(self) -> float:
        """The total time of all phases."""
        return sum(self.phases.values())

    def as_json(self) -> dict[str, Any]:
        """Return the report for `--json`; the proofs have it too, with its `kind`."""
        return {
            "snapshot": self.snapshot.name,
            "collection": self.snapshot.collection,
            "at": self.at,
            "ok": self.error is None,
            "verdict": self.verdict.value,
            "sha256": self.sha256 or None,
            "size_bytes": self.snapshot.size_bytes,
            "engine": self.engine,
            "qdrant_version": self.server_version,
            "restore_seconds": _rounded(self.restore_seconds),
            "green_seconds": _rounded(self.green_seconds),
            "total_seconds": _rounded(self.total_seconds),
            "snapshot_age_seconds": round(self.snapshot_age_seconds),
            "phases": {name: _rounded(seconds) for name, seconds in self.phases.items()},
            "findings": [f.as_json() for f in self.findings],
            "kept": self.kept or None,
        }

    def proof(self) -> Proof:
        """Return the line for the snapshot's proofs."""
        return Proof.from_json({"kind": self.kind, **self.as_json()})


@dataclass(slots=True)
class Log:
    """What a drill has found so far; it grows while the drill runs."""

    phases: dict[str, float] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    server_version: str = ""
    restore_seconds: float | None = None
    green_seconds: float | None = None
    sha256: str = ""
    kept: str = ""

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure how long a phase takes, even if it fails."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.phases[name] = self.phases.get(name, 0.0) + time.monotonic() - start

    def report(
        self,
        snapshot: Snapshot,
        engine: Engine,
        started_at: datetime,
        *,
        error: TaskError | None = None,
        kind: str = DRILL,
    ) -> DrillReport:
        """Return the finished report; without an error, the findings decide."""
        return DrillReport(
            snapshot=snapshot,
            at=started_at.isoformat(),
            engine=engine.name,
            server_version=self.server_version,
            findings=tuple(self.findings),
            phases=self.phases,
            restore_seconds=self.restore_seconds,
            green_seconds=self.green_seconds,
            snapshot_age_seconds=(started_at - snapshot.created_at).total_seconds(),
            error=error or restored_error(snapshot.name, self.findings, hint=NOT_PROVEN_HINT),
            sha256=self.sha256,
            kept=self.kept,
            kind=kind,
        )


def drill(
    request: DrillRequest, engine: Engine, progress: Progress, *, clock: Clock
) -> DrillReport:
    """Test one snapshot on a fresh Qdrant, and append the proof, whether it passes or not.

    The live server is never contacted. Everything that was started is removed, even on Ctrl-C.

    Without a seal, the file is read first, and the restore is compared with that.

    Raises:
        Unreachable, NotFound: if no Qdrant could be started, or it no longer responds.
        StorageError: if there is no space to read a file without a seal, or to restore it.
        Stopped: if something ended the fresh Qdrant from outside.

    None of these says anything about the snapshot, so there is no proof then.
    """
    log, error = Log(), None
    started_at = clock()
    try:
        sha256 = _check_file(request.snapshot, log, progress)
        expected = _expect(request.snapshot, log, progress)
        _on_fresh_server(request, sha256, expected, engine, log, progress)
    except TaskError as failure:
        nothing_said = not log.server_version or isinstance(failure, SAYS_NOTHING)
        if nothing_said and not failed(log.findings):
            raise
        error = failure
        if not failed(log.findings):
            log.findings.append(as_finding("restore", failure))
    snapshot = request.snapshot
    kind = REHEARSAL if request.rehearsed_version else DRILL
    report = log.report(snapshot, engine, started_at, error=error, kind=kind)
    keep_proof(snapshot, report.proof(), progress)
    return _with_budget(report, request.max_seconds)


def drill_each(
    snapshots: Iterable[Snapshot], work: Callable[[Snapshot], DrillReport]
) -> Batch[DrillReport]:
    """Drill every snapshot, and continue if one fails or cannot be drilled at all."""
    return for_each(
        snapshots,
        work,
        name=lambda snapshot: snapshot.name,
        error_of=lambda report: report.error,
    )


def as_finding(check: str, error: TaskError) -> Finding:
    """Return an error as a finding, for the report and the proof."""
    return Finding(check=check, status=Status.FAIL, message=error.message, remedy=error.hint)


def _check_file(snapshot: Snapshot, log: Log, progress: Progress) -> str:
    with log.phase("verify"):
        verification = verify(snapshot, progress)
    log.findings += prefixed("file: ", verification.findings)
    log.sha256 = verification.sha256
    if verification.error:
        raise verification.error
    log.findings += check_point_versions(snapshot)
    return verification.sha256


def _expect(snapshot: Snapshot, log: Log, progress: Progress) -> Expected:
    """Return what must be restored; an unreadable seal or file fails the drill at once."""
    try:
        with log.phase("read"):
            expected = expectation(snapshot, _target(snapshot), progress)
    except Damaged as error:
        log.findings.append(as_finding("contents", error))
        raise
    if not snapshot.is_sealed:
        remedy = "`inv snapshot.create` takes one that is sealed."
        log.findings.append(warn("seal", UNSEALED, remedy))
    return expected


def _on_fresh_server(
    request: DrillRequest,
    sha256: str,
    expected: Expected,
    engine: Engine,
    log: Log,
    progress: Progress,
) -> None:
    wanted = _wanted(request)
    with ExitStack() as stack:
        server = stack.enter_context(_started(request, wanted, engine, log, progress))
        if server.version_note and request.rehearsed_version:
            raise NotFound(server.version_note + ".", hint="Choose a version that is available.")
        if server.version_note:
            note = Finding(check="engine version", status=Status.WARN, message=server.version_note)
            log.findings.append(note)
        try:
            expected = _restore(
                request,
                sha256,
                expected,
                server.endpoint,
                log,
                progress,
                at_start=bool(wanted.load),
            )
            with log.phase("restart"), progress.phase("restarting the fresh Qdrant"):
                server.restart()
            _compare_again(request, expected, server.endpoint, log, progress)
        except TaskError as error:
            raise meaning(error, server) from error
        finally:
            if request.keep:
                log.kept = f"{server.endpoint.url} (remove it with: {server.removal()})"
            with log.phase("teardown"), progress.phase("removing the fresh Qdrant"):
                stack.close()


def _wanted(request: DrillRequest) -> FreshRequest:
    """Return what the fresh server must be like for this snapshot."""
    snapshot = request.snapshot
    taken_with = snapshot.taken_with or request.version
    version, config = request.rehearsed_version or taken_with, config_of(snapshot)
    at_start = needs_start_up(config, version)
    # A server in a container sees only the folder that the file is really in.
    file = snapshot.path.resolve()
    return FreshRequest(
        version=version,
        folder=file.parent,
        keep=request.keep,
        cluster_nodes=request.nodes if request.nodes > 1 else int(is_custom(config)),
        load=(file.name, _target(snapshot)) if at_start else None,
    )


@contextmanager
def _started(
    request: DrillRequest, wanted: FreshRequest, engine: Engine, log: Log, progress: Progress
) -> Iterator[FreshServer]:
    """Run the fresh server. If it restores the snapshot when it starts, that is part of the drill.

    Raises:
        RestoreIncomplete: if it does not start with the snapshot.
    """
    version = wanted.version
    starting = progress.phase(f"starting an empty Qdrant {version} ({engine.name})")
    with ExitStack() as stack:
        try:
            with log.phase("start"), starting:
                server = stack.enter_context(engine.fresh(wanted, progress))
        except Unreachable as error:
            if wanted.load is None:
                raise
            if is_full_disk(error.message):
                raise StorageError(error.message, hint=AWAY) from error
            log.server_version = version
            raise RestoreIncomplete(
                f"Qdrant {version} did not start with {request.snapshot.name}: {error.message}",
                hint=NOT_PROVEN_HINT,
            ) from error
        if wanted.load:
            log.findings += check_vector_names(config_of(request.snapshot), version)
        yield server


def _restore(
    request: DrillRequest,
    sha256: str,
    expected: Expected,
    endpoint: Endpoint,
    log: Log,
    progress: Progress,
    *,
    at_start: bool,
) -> Expected:
    """Restore and compare; return what must be there after the restart."""
    what = RestoreRequest(
        snapshot=request.snapshot,
        target=_target(request.snapshot),
        verified_sha256=sha256,
        loaded_at_start=at_start,
        is_throwaway=True,
    )
    with (
        Server(endpoint, operation_timeout_seconds=request.operation_timeout_seconds) as server,
        log.phase("restore"),
    ):
        log.server_version = server.version()
        result = restore(what, server, progress)
    # A server that restores while it starts is ready when it has.
    starting = log.phases["start"] if at_start else 0.0
    log.restore_seconds = result.seconds + starting
    log.green_seconds = None if result.green_seconds is None else result.green_seconds + starting
    log.findings += result.findings
    if result.error and not result.is_kept:
        raise result.error
    with log.phase("contents"):
        log.findings += points_evidence(result, expected)
    request.observe(endpoint, result.target)
    if result.are_limits_lifted:
        # After the restart, they are compared again.
        with Server(endpoint, operation_timeout_seconds=endpoint.answer_seconds) as server:
            server.collections.restore_limits(result.target)
    return as_restored(expected, result)


def _compare_again(
    request: DrillRequest, expected: Expected, endpoint: Endpoint, log: Log, progress: Progress
) -> None:
    target = _target(request.snapshot)
    with (
        Server(endpoint, operation_timeout_seconds=request.operation_timeout_seconds) as server,
        log.phase("compare"),
    ):
        again = look_again(
            expected, target, server, progress, version=log.server_version, is_throwaway=True
        )
        log.findings += evidence_again(again, Cost.DESCRIBED)
    with log.phase("contents"):
        log.findings += evidence_again(again, Cost.READ)
    request.observe(endpoint, target)


def _target(snapshot: Snapshot) -> str:
    """Return the name to restore under: any name, if that of the collection is unknown."""
    return snapshot.collection or "restored"


def _with_budget(report: DrillReport, max_seconds: float) -> DrillReport:
    seconds = report.restore_seconds
    if report.error or not max_seconds or seconds is None or seconds <= max_seconds:
        return report
    return replace(
        report,
        error=BudgetMissed(
            f"The restore took {seconds:.1f} s, but only {max_seconds:g} s are allowed.",
            hint="It came back as it should. Raise `--max-seconds`, or use a faster server.",
        ),
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
