"""The restore test on the real stack: its Qdrant is stopped, emptied, started and restored.

It deletes the live data, so it refuses to start unless every existing collection has an intact
snapshot that matches it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.catalog.proofs import keep_proof
from snapshot_tasks.checks.cluster import refuse_several_nodes
from snapshot_tasks.checks.contents import check_contents
from snapshot_tasks.checks.expected import (
    Cost,
    Expected,
    Restored,
    expected_recorded,
    expected_sealed,
    look,
)
from snapshot_tasks.checks.file import sha256_to_restore
from snapshot_tasks.checks.restored import check_restored
from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.domain.failure import Failure, joined
from snapshot_tasks.domain.findings import Finding, failed
from snapshot_tasks.domain.fingerprint import Fingerprint
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.domain.vector_names import refused_names
from snapshot_tasks.domain.versions import Fit, version_fit
from snapshot_tasks.engines.base import DownPlan, Engine
from snapshot_tasks.operations.batch import for_each
from snapshot_tasks.operations.prove.drill import DrillReport, Log, as_finding
from snapshot_tasks.operations.prove.evidence import (
    evidence_again,
    look_again,
    points_evidence,
)
from snapshot_tasks.operations.prove.expectation import as_sealed, read_unsealed
from snapshot_tasks.operations.restore.demands import needs_start_up
from snapshot_tasks.operations.restore.into_empty import RestoreResult
from snapshot_tasks.operations.restore.one import restore
from snapshot_tasks.operations.restore.plan import RestoreRequest
from snapshot_tasks.qdrant.points import read_fingerprint
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.errors import Interrupted, Refused, TaskError
from snapshot_tasks.system.progress import Clock, Progress

DELETED_HINT = (
    "The live data may have been deleted, but a verified snapshot of every collection exists. "
    "Run `inv stack.up` to restore those that are missing."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class InPlaceRequest:
    """Which snapshot to test on the live stack; other collections use their newest snapshot."""

    snapshot: Snapshot
    operation_timeout_seconds: float
    ready_timeout_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """The snapshot from which a live collection will be restored, and what it must match."""

    collection: str
    snapshot: Snapshot
    expected: Expected


def drill_in_place(
    request: InPlaceRequest,
    engine: Engine,
    endpoint: Callable[[], Endpoint],
    catalog: Catalog,
    progress: Progress,
    *,
    plan: DownPlan,
    clock: Clock,
) -> DrillReport:
    """Delete the live data, restore it from snapshots, and compare it with the former data.

    `plan` lists what is stopped and deleted, and was agreed to; if it is no longer right, nothing
    is. A collection that cannot be restored does not stop the others. The proof says how it ended.
    The endpoint is asked for after each start, because Docker may choose another port.

    Raises:
        Refused: before anything is deleted, if a collection could not be restored as it is.
        Damaged: before anything is deleted, if a snapshot is not intact.
        Unreachable: if the empty Qdrant does not start; there is no proof then.
    """
    log, started_at = Log(), clock()
    seconds = request.operation_timeout_seconds
    with log.phase("verify"):
        with Server(endpoint(), operation_timeout_seconds=seconds) as server:
            log.server_version = server.version()
            refuse_several_nodes(server)
            sources = _sources(request.snapshot, server, catalog, progress)
        for source in sources:
            sha256 = sha256_to_restore(source.snapshot, progress)
            if source.snapshot is request.snapshot:
                log.sha256 = sha256
    try:
        with log.phase("down"), progress.phase("deleting the live data"):
            engine.down(plan)
        with log.phase("start"):
            engine.up(timeout_seconds=request.ready_timeout_seconds, progress=progress)
        error = _bring_back_and_compare(sources, request, engine, endpoint, log, progress)
    except KeyboardInterrupt:
        raise Interrupted("Interrupted.", hint=DELETED_HINT) from None
    except Refused:
        # The stack is no longer what was agreed to; nothing was stopped.
        raise
    except TaskError as failure:
        failure.hint = DELETED_HINT
        raise
    if error:
        error.hint = DELETED_HINT
    report = log.report(request.snapshot, engine, started_at, error=error)
    keep_proof(request.snapshot, report.proof(), progress)
    return report


def _sources(
    target: Snapshot, server: Server, catalog: Catalog, progress: Progress
) -> tuple[_Source, ...]:
    """Pair every live collection with the snapshot that can restore it, or refuse."""
    sources, problems, version = [], [], server.version()
    for collection in server.collections.names():
        live = look(Expected(state=None), collection, server, progress, version=version)
        snapshot = target if collection == target.collection else _newest(catalog, collection)
        contents = _read(live)
        problem = _problem(snapshot, live, contents)
        if snapshot is None or problem:
            problems.append(f"{collection}: {problem}")
        else:
            expected = _as_it_was(snapshot, live, contents)
            sources.append(_Source(collection=collection, snapshot=snapshot, expected=expected))
    if target.collection not in {s.collection for s in sources} and not problems:
        problems.append(f"{target.collection}: it does not exist in the live Qdrant")
    if problems:
        raise Refused(
            f"Not all of the live data could be restored. {'; '.join(problems)}.",
            hint="Take new snapshots of all collections first: `inv snapshot.create --all`.",
        )
    return tuple(sources)


def _newest(catalog: Catalog, collection: str) -> Snapshot | None:
    try:
        return catalog.newest(collection)
    except TaskError:
        return None


def _problem(snapshot: Snapshot | None, live: Restored, contents: Fingerprint) -> str:
    """Return why the live collection could not be restored as it is; empty if it could."""
    if snapshot is None:
        return "it has no snapshot"
    if snapshot.manifest is None:
        return f"{snapshot.name} has no manifest, so it cannot be compared"
    taken_with, version = snapshot.taken_with, live.server_version
    if taken_with is None:
        return f"nobody knows which version of Qdrant took {snapshot.name}, an imported file"
    if version_fit(taken_with, version) is not Fit.FITS:
        return f"{snapshot.name} was taken with Qdrant {taken_with}, but this server is {version}"
    if needs_start_up(snapshot.manifest.config, version):
        names = "; ".join(refused_names(snapshot.manifest.config))
        return f"Qdrant {version} restores no collection with such vector names ({names})"
    expected = expected_recorded(snapshot, live.collection)
    findings = check_restored(replace(live, expected=expected), Cost.DESCRIBED)
    seal, unsealed = snapshot.sealed, snapshot.sealed is None
    if seal is None and not failed(findings):
        # Nothing else shows that what is about to be deleted is in the file.
        seal = as_sealed(read_unsealed(snapshot, live.progress).fingerprint)
    if seal is not None:
        findings = (*findings, check_contents(seal, contents, of_file=unsealed))
    extra = set(live.actual.aliases) - set(snapshot.manifest.aliases)
    wrong = [f"{f.check}: {f.message}" for f in failed(findings)]
    return ", ".join(
        wrong + [f"its alias {alias} was created after the snapshot" for alias in sorted(extra)]
    )


def _as_it_was(snapshot: Snapshot, live: Restored, contents: Fingerprint) -> Expected:
    """Return what must be restored: the current live data, not only what the manifest says."""
    recorded = expected_sealed(snapshot, live.collection)
    return Expected(
        state=live.actual,
        taken_with=live.server_version,
        sealed=as_sealed(contents),
        probes=recorded.probes,
        odd_vectors=recorded.odd_vectors,
    )


def _bring_back_and_compare(
    sources: tuple[_Source, ...],
    request: InPlaceRequest,
    engine: Engine,
    endpoint: Callable[[], Endpoint],
    log: Log,
    progress: Progress,
) -> TaskError | None:
    """Restore every collection and compare it, also after a restart; return what failed."""
    seconds = request.operation_timeout_seconds
    failures: tuple[Failure, ...] = ()
    try:
        with Server(endpoint(), operation_timeout_seconds=seconds) as server, log.phase("restore"):
            failures = _bring_back(sources, server, log, progress)
        with log.phase("restart"):
            engine.restart(
                recreate=False, timeout_seconds=request.ready_timeout_seconds, progress=progress
            )
        with Server(endpoint(), operation_timeout_seconds=seconds) as server, log.phase("compare"):
            _compare_again(sources, server, log, progress)
    except Interrupted:
        raise
    except TaskError as error:
        log.findings.append(as_finding("restart", error))
        failures = (*failures, Failure(name="restart", error=error))
    return joined(failures)


def _bring_back(
    sources: tuple[_Source, ...], server: Server, log: Log, progress: Progress
) -> tuple[Failure, ...]:
    """Restore every collection. All of them are deleted, so a failure must not stop the others."""

    def work(source: _Source) -> RestoreResult:
        try:
            result = restore(RestoreRequest(snapshot=source.snapshot), server, progress)
            findings = result.findings
            if result.is_kept:
                findings += points_evidence(result, source.expected)
        except TaskError as error:
            finding = as_finding("restore", error)
            log.findings += _named([finding], source.collection, len(sources))
            raise
        log.findings += _named(findings, source.collection, len(sources))
        return result

    batch = for_each(
        sources, work, name=lambda s: s.collection, error_of=lambda result: result.error
    )
    if not batch.failures:
        log.restore_seconds = sum(result.seconds for result in batch.results)
        green = [r.green_seconds for r in batch.results if r.green_seconds is not None]
        log.green_seconds = sum(green) if len(green) == len(batch.results) else None
    return batch.failures


def _compare_again(
    sources: tuple[_Source, ...], server: Server, log: Log, progress: Progress
) -> None:
    version = server.version()
    for source in sources:
        collection = source.collection
        again = look_again(
            source.expected, collection, server, progress, version=version, is_throwaway=False
        )
        for cost in Cost:
            findings = evidence_again(again, cost)
            log.findings += _named(findings, collection, len(sources))


def _read(live: Restored) -> Fingerprint:
    label = f"reading every point of {live.collection}"
    with live.progress.phase(label, total_points=live.actual.points_count) as advance:
        return read_fingerprint(live.endpoint, live.collection, advance)


def _named(findings: Iterable[Finding], collection: str, count: int) -> list[Finding]:
    """Add the collection to each finding's check if there are several collections."""
    suffix = f" ({collection})" if count > 1 else ""
    return [replace(finding, check=finding.check + suffix) for finding in findings]
