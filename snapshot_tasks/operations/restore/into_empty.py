"""Make a collection from a snapshot, compare it, and take away what was only half made."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

from snapshot_tasks.checks.contents import check_contents
from snapshot_tasks.checks.file import verified
from snapshot_tasks.checks.restored import Restored, check_restored, restored_error
from snapshot_tasks.domain.findings import Finding, Status, failed
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.operations.restore.plan import RestorePlan, RestoreRequest, plan_restore
from snapshot_tasks.qdrant.errors import is_wrong_checksum
from snapshot_tasks.qdrant.points import read_fingerprint
from snapshot_tasks.qdrant.server import NotVisible, Server
from snapshot_tasks.system import process
from snapshot_tasks.system.errors import (
    Damaged,
    RestoreIncomplete,
    ServerFailure,
    StorageError,
    TaskError,
    Unreachable,
)
from snapshot_tasks.system.progress import Progress

GREEN_SECONDS = 60.0
# How long a request may take to arrive whose connection was lost.
ARRIVAL_SECONDS = 10.0
# How long to wait for a restore that Qdrant goes on with; after that the next run clears up.
PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.2


class Untouched(Damaged):
    """The file was refused by its checksum before anything was made of it, or sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreResult:
    """What a restore did and found."""

    snapshot: Snapshot
    target: str
    findings: tuple[Finding, ...] = ()
    skipped: bool = False
    points_count: int | None = None
    seconds: float = 0.0
    way: str = ""
    safety_snapshot: str | None = None

    @property
    def error(self) -> TaskError | None:
        """The error the findings amount to, if any."""
        return restored_error(
            self.target,
            self.findings,
            hint="What came back was removed. Try an older snapshot from `inv snapshot.list`.",
        )


def new_upload_name() -> str:
    """Return a name that no other upload has, by which its copy on the server is found again."""
    return f"restore-{uuid4().hex}.snapshot"


def bring_back(
    plan: RestorePlan,
    server: Server,
    sha256: str,
    progress: Progress,
    *,
    upload_name: str,
    removed: Callable[[], None] = lambda: None,
) -> RestoreResult:
    """Restore into nothing and compare; what came back wrong, or in part, is removed again.

    `removed` is called once nothing of it is left.

    Raises:
        Damaged: when the server reads other bytes than lie here.
        RestoreIncomplete: when Qdrant refuses or fails.
    """
    start = time.monotonic()
    try:
        way = _send(plan, server, sha256, upload_name, progress)
        with progress.phase("waiting until it is green"):
            status = server.wait_green(plan.target, GREEN_SECONDS)
        for alias in plan.aliases + plan.kept_aliases:
            server.create_alias(alias, plan.target)
        seconds = time.monotonic() - start
        findings = (*plan.warnings, _status_finding(status), *compare(plan, server))
        result = RestoreResult(
            snapshot=plan.snapshot,
            target=plan.target,
            findings=findings,
            points_count=server.count(plan.target),
            seconds=seconds,
            way=way,
        )
    except Untouched:
        removed()
        raise
    except BaseException as error:
        lost = isinstance(error, KeyboardInterrupt | Unreachable)
        _undo(plan.target, upload_name, server, progress, removed, lost=lost)
        raise
    if result.error:
        _undo(plan.target, upload_name, server, progress, removed, lost=False)
    return result


def compare(plan: RestorePlan, server: Server) -> tuple[Finding, ...]:
    """Compare the collection on the server with what the manifest recorded."""
    actual = server.state(plan.target)
    manifest = plan.snapshot.manifest
    if manifest is None:
        message = f"no manifest: {actual.points_count:,} points came back, expected is unknown"
        return (Finding(check="count", status=Status.WARN, message=message),)
    counts = (manifest.source_points_before, manifest.source_points_after)
    # A seal has counted the file itself.
    is_vague = manifest.source_moved and manifest.seal is None
    return check_restored(
        Restored(
            expected=manifest.state,
            actual=actual,
            taken_with=manifest.qdrant_version,
            server_version=plan.server_version,
            moving_between=counts if is_vague else None,
            aliases_owned=plan.target == manifest.collection,
        )
    )


def compare_contents(
    snapshot: Snapshot, target: str, server: Server, progress: Progress
) -> tuple[Finding, ...]:
    """Compare every point on the server with the seal; nothing can be said of an unsealed one."""
    sealed = snapshot.sealed
    if sealed is None:
        return ()
    label = f"reading every point of {target}"
    with progress.phase(label, total_points=sealed.points_count) as advance:
        return (check_contents(sealed, read_fingerprint(server.endpoint, target, advance)),)


def differs(snapshot: Snapshot, target: str, server: Server, progress: Progress) -> str:
    """Say how a collection that is there differs from a snapshot; nothing where it does not.

    Aliases do not count: they are made last.
    """
    request = RestoreRequest(snapshot=snapshot, target=target, if_missing=True)
    findings = [f for f in compare(plan_restore(request, server), server) if f.check != "aliases"]
    if not failed(findings):
        findings += compare_contents(snapshot, target, server, progress)
    return "; ".join(f"{f.check}: {f.message}" for f in failed(findings))


def remove_half_made(
    target: str, upload_name: str, server: Server, *, arrival_seconds: float
) -> bool:
    """Remove a half-made collection, and what was uploaded for it; say whether none is left.

    Qdrant goes on restoring after a lost connection: so wait until it has ended that.
    """
    start = time.monotonic()
    try:
        while (busy := server.is_busy(target)) or target not in server.collections():
            waited = time.monotonic() - start
            if waited >= (PATIENCE_SECONDS if busy else arrival_seconds):
                break
            time.sleep(POLL_SECONDS)
        if busy:
            return False
        server.discard_upload(target, upload_name)
        if target in server.collections():
            server.delete_collection(target)
    except TaskError:
        return False
    return True


def _undo(
    target: str,
    upload_name: str,
    server: Server,
    progress: Progress,
    removed: Callable[[], None],
    *,
    lost: bool,
) -> None:
    with process.shielded():
        arrival_seconds = ARRIVAL_SECONDS if lost else 0.0
        if remove_half_made(target, upload_name, server, arrival_seconds=arrival_seconds):
            removed()
        else:
            progress.note(f"{target} could not be removed yet; the next run looks after it.")


def _send(
    plan: RestorePlan, server: Server, sha256: str, upload_name: str, progress: Progress
) -> str:
    """Restore from the server's own view of the file, else by upload; say which it was."""
    path = plan.snapshot.path
    server_paths = server.endpoint.server_paths(path)
    try:
        for server_path in server_paths:
            with (
                suppress(NotVisible),
                progress.phase(f"Qdrant restores {plan.target} from the mounted folder"),
            ):
                server.recover(plan.target, server_path, sha256)
                return "file"
    except ServerFailure as error:
        meaning = _meaning(plan, error)
        if isinstance(meaning, Damaged):
            # If those here are other bytes as well, say so.
            with suppress(StorageError):
                _refuse_damaged(plan, sha256, progress)
            raise Untouched(meaning.message, hint=meaning.hint) from error
        raise meaning from error
    if server_paths:
        # It was left to Qdrant to hash it, which does not see it after all.
        _refuse_damaged(plan, sha256, progress)
    try:
        with progress.phase(
            f"uploading {plan.target}", total_bytes=plan.snapshot.size_bytes
        ) as advance:
            server.upload(plan.target, path, sha256, name=upload_name, advance=advance)
            return "upload"
    except ServerFailure as error:
        raise _meaning(plan, error) from error


def _refuse_damaged(plan: RestorePlan, sha256: str, progress: Progress) -> None:
    try:
        verification = verified(plan.snapshot, progress)
    except Damaged as error:
        raise Untouched(error.message, hint=error.hint) from error
    if verification.sha256 != sha256:
        raise Untouched(
            f"{plan.snapshot.name} has changed while it was restored.", hint="Run this again."
        )


def _meaning(plan: RestorePlan, error: ServerFailure) -> TaskError:
    if is_wrong_checksum(error):
        return Damaged(
            f"Qdrant read other bytes than {plan.snapshot.name} has here: {error.message}",
            hint="Check the mount or the link between here and Qdrant, then run this again.",
        )
    return RestoreIncomplete(
        f"Qdrant could not restore {plan.snapshot.name}: {error.message}", hint=error.hint
    )


def _status_finding(status: str) -> Finding:
    if status == "green":
        return Finding(check="status", status=Status.OK, message="green")
    message = f"{status} after {GREEN_SECONDS:g} s: the optimizer is still at work"
    return Finding(check="status", status=Status.WARN, message=message)
