"""The literal fresh restore test: `down -v`, `up`, restore, on the real stack.

It deletes the live data, so it refuses to begin unless every collection that is there now has a
snapshot which is sound and says the same as the live collection.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.checks.contents import check_contents
from snapshot_tasks.checks.file import verified
from snapshot_tasks.checks.restored import Restored, check_restored
from snapshot_tasks.domain.collection import CollectionState
from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.domain.findings import Finding, failed
from snapshot_tasks.domain.fingerprint import Fingerprint, Sealed
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.domain.versions import Fit, version_fit
from snapshot_tasks.engines.base import Engine
from snapshot_tasks.operations.prove.drill import AFTER_RESTART, DrillReport, Log
from snapshot_tasks.operations.prove.keep_proof import keep_proof
from snapshot_tasks.operations.restore.one import restore
from snapshot_tasks.operations.restore.plan import RestoreRequest
from snapshot_tasks.qdrant.points import read_fingerprint
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.errors import Interrupted, Refused, TaskError
from snapshot_tasks.system.progress import Clock, Progress

DELETED_HINT = (
    "The live data may be deleted, but every collection lies in a verified snapshot: "
    "`inv stack.up` restores those that are missing."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class InPlaceRequest:
    """Which snapshot to prove on the live stack; the other collections use their newest ones."""

    snapshot: Snapshot
    operation_timeout_seconds: float
    ready_timeout_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """A live collection as it was, and the snapshot it will come back from."""

    collection: str
    before: CollectionState
    contents: Fingerprint
    snapshot: Snapshot


def drill_in_place(
    request: InPlaceRequest,
    engine: Engine,
    endpoint: Endpoint,
    catalog: Catalog,
    progress: Progress,
    *,
    clock: Clock,
) -> DrillReport:
    """Delete the live data, bring it back from snapshots, and compare it with what was there.

    Raises:
        Refused: before anything is deleted, when a collection could not come back as it is.
        Damaged: before anything is deleted, when a snapshot is not sound.
    """
    log, started_at = Log(), clock()
    seconds = request.operation_timeout_seconds
    with log.phase("verify"):
        with Server(endpoint, operation_timeout_seconds=seconds) as server:
            log.server_version = server.version()
            sources = _sources(request.snapshot, server, catalog, progress)
        for source in sources:
            sha256 = verified(source.snapshot, progress).sha256
            if source.snapshot is request.snapshot:
                log.sha256 = sha256
    try:
        with log.phase("down"), progress.phase("deleting the live data (down -v)"):
            engine.down(delete_data=True)
        with log.phase("start"):
            engine.up(timeout_seconds=request.ready_timeout_seconds, progress=progress)
        with Server(endpoint, operation_timeout_seconds=seconds) as server, log.phase("restore"):
            _bring_back(sources, server, log, progress)
        with log.phase("restart"):
            engine.restart(timeout_seconds=request.ready_timeout_seconds, progress=progress)
        with Server(endpoint, operation_timeout_seconds=seconds) as server, log.phase("compare"):
            _compare(sources, server, log, progress, prefix=AFTER_RESTART)
    except KeyboardInterrupt:
        raise Interrupted("Interrupted.", hint=DELETED_HINT) from None
    except TaskError as error:
        error.hint = DELETED_HINT
        raise
    report = log.report(request.snapshot, engine, started_at)
    keep_proof(request.snapshot, report.proof(), progress)
    return report


def _sources(
    target: Snapshot, server: Server, catalog: Catalog, progress: Progress
) -> tuple[_Source, ...]:
    """Pair every live collection with the snapshot it can come back from, or refuse."""
    sources, problems = [], []
    for collection in server.collections():
        before = server.state(collection)
        snapshot = target if collection == target.collection else _newest(catalog, collection)
        contents = _read(server.endpoint, collection, progress)
        problem = _problem(snapshot, before, contents, server.version())
        if snapshot is None or problem:
            problems.append(f"{collection}: {problem}")
        else:
            sources.append(
                _Source(collection=collection, before=before, contents=contents, snapshot=snapshot)
            )
    if target.collection not in {s.collection for s in sources} and not problems:
        problems.append(f"{target.collection}: it is not in the live Qdrant")
    if problems:
        raise Refused(
            f"The live data would not all come back. {'; '.join(problems)}.",
            hint="Take new snapshots of everything first: `inv snapshot.create --all`.",
        )
    return tuple(sources)


def _newest(catalog: Catalog, collection: str) -> Snapshot | None:
    try:
        return catalog.newest(collection)
    except TaskError:
        return None


def _problem(
    snapshot: Snapshot | None, before: CollectionState, contents: Fingerprint, version: str
) -> str:
    if snapshot is None:
        return "it has no snapshot"
    if snapshot.manifest is None:
        return f"{snapshot.name} has no manifest to compare with"
    taken_with = snapshot.manifest.qdrant_version
    if version_fit(taken_with, version) is not Fit.FITS:
        return f"{snapshot.name} was taken with Qdrant {taken_with}, this one is {version}"
    findings = check_restored(
        Restored(
            expected=snapshot.manifest.state,
            actual=before,
            taken_with=taken_with,
            server_version=version,
        )
    )
    if sealed := snapshot.sealed:
        findings = (*findings, check_contents(sealed, contents))
    extra = set(before.aliases) - set(snapshot.manifest.aliases)
    wrong = [f"{f.check}: {f.message}" for f in failed(findings)]
    return ", ".join(
        wrong + [f"its alias {alias} is newer than the snapshot" for alias in sorted(extra)]
    )


def _bring_back(sources: tuple[_Source, ...], server: Server, log: Log, progress: Progress) -> None:
    seconds = 0.0
    for source in sources:
        result = restore(RestoreRequest(snapshot=source.snapshot), server, progress)
        if result.error:
            raise result.error
        seconds += result.seconds
    log.restore_seconds = seconds
    _compare(sources, server, log, progress, prefix="")


def _compare(
    sources: tuple[_Source, ...], server: Server, log: Log, progress: Progress, *, prefix: str
) -> None:
    """Compare each collection with what was there, not merely with what its manifest says."""
    version = server.version()
    for source in sources:
        findings = check_restored(
            Restored(
                expected=source.before,
                actual=server.state(source.collection),
                taken_with=version,
                server_version=version,
            )
        )
        contents = _read(server.endpoint, source.collection, progress)
        findings = (*findings, check_contents(_as_seal(source.contents), contents))
        log.findings += [_named(f, prefix, source.collection, len(sources)) for f in findings]


def _read(endpoint: Endpoint, collection: str, progress: Progress) -> Fingerprint:
    with progress.phase(f"reading every point of {collection}", total_points=0) as advance:
        return read_fingerprint(endpoint, collection, advance)


def _as_seal(contents: Fingerprint) -> Sealed:
    return Sealed(digest=contents.digest, points_count=contents.points_count, buckets=contents)


def _named(finding: Finding, prefix: str, collection: str, count: int) -> Finding:
    suffix = f" ({collection})" if count > 1 else ""
    return replace(finding, check=prefix + finding.check + suffix)
