"""Create a collection from a snapshot, compare it, and remove an incomplete one."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from uuid import uuid4

from snapshot_tasks.checks.expected import (
    Cost,
    Expected,
    Restored,
    expected_recorded,
    expected_sealed,
    look,
    settle,
)
from snapshot_tasks.checks.file import verified
from snapshot_tasks.checks.restored import check_restored, check_searches, restored_error
from snapshot_tasks.domain.findings import Finding, failed, loses_points
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.operations.restore.plan import RestorePlan
from snapshot_tasks.operations.restore.reindex import reindexed
from snapshot_tasks.qdrant.collections import Exists
from snapshot_tasks.qdrant.errors import LOG_HINT, is_wrong_checksum, way_out
from snapshot_tasks.qdrant.mounts import server_paths
from snapshot_tasks.qdrant.nodes import open_nodes
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.qdrant.snapshots import NotVisible
from snapshot_tasks.sealing.room import require_room_for_replicas
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

# How long a request may take to arrive if its connection was lost.
ARRIVAL_SECONDS = 10.0
# How long to wait for a restore that Qdrant continues; after that, the next run cleans up.
PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.2
REMOVED = "The restored collection was removed. Try an older snapshot from `inv snapshot.list`."
KEPT = (
    "The points are whole, so the restored collection was kept. Set what differs again, or restore"
    " with `--reindex` if payload indexes are wrong."
)


class Untouched(Damaged):
    """The file was refused because of its checksum, before any of it was restored or sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreResult:
    """What a restore did and found.

    `seconds` is how long it took until every point was there, `green_seconds` until the optimizer
    was done (None if it was not waited for, or not done in time).

    `restored` is the restored collection, for further checks. `safety_snapshot` has the replaced
    collection; `safety_findings` say what looked suspicious about it. Or the `former` collection is
    still there, at `former_url`, and the `switched` aliases mean the restored one.
    """

    snapshot: Snapshot
    target: str
    findings: tuple[Finding, ...] = ()
    skipped_because: str = ""
    restored: Restored | None = None
    points_count: int | None = None
    seconds: float = 0.0
    green_seconds: float | None = None
    way: str = ""
    are_limits_lifted: bool = False
    safety_snapshot: str | None = None
    safety_findings: tuple[Finding, ...] = ()
    former: str = ""
    former_url: str = ""
    switched: tuple[str, ...] = ()

    @property
    def error(self) -> TaskError | None:
        """The error that the findings amount to, if any."""
        hint = KEPT if self.is_kept else REMOVED
        return restored_error(self.target, self.findings, hint=hint)

    @property
    def skipped(self) -> bool:
        """Whether nothing was done, because something of that name exists."""
        return bool(self.skipped_because)

    @property
    def is_kept(self) -> bool:
        """Whether the points are whole: then a restored collection is never removed."""
        return not loses_points(self.findings)


def _as_planned(expected: Expected, plan: RestorePlan) -> Expected:
    """Return what is expected without left aliases, and with no more replicas than nodes."""
    if expected.state is None:
        return expected
    state = expected.state
    if expected.owns_aliases:
        state = replace(state, aliases=plan.aliases)
    if plan.by_shard:
        state = replace(state, config=plan.by_shard.config)
    return replace(expected, state=state)


def new_upload_name() -> str:
    """Return a unique name for an upload, so that its copy on the server can be found again."""
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
    """Restore a missing collection and compare it; remove it if its points are not whole.

    `removed` is called once nothing of it is left.

    Raises:
        StorageError: if there is no room here to compare it; nothing was restored then.
        Damaged: if the server reads different bytes from the local file.
        RestoreIncomplete: if Qdrant refuses or fails.
    """
    proof = None
    if plan.by_shard and plan.is_read:
        proof = expected_sealed(plan.snapshot, plan.target, searches=False)
        scratch = Path(tempfile.gettempdir())
        require_room_for_replicas(plan.snapshot.path, scratch, share=plan.by_shard.node_share)
    start = time.monotonic()
    try:
        way = _send(plan, server, sha256, upload_name, progress)
        lifted = server.collections.lift_limits(plan.target) if plan.is_throwaway else None
        expected = _as_planned(expected_recorded(plan.snapshot, plan.target), plan)
        with progress.phase("waiting until every point is there"):
            settle(expected, plan.target, server)
        seconds = time.monotonic() - start
        proven = _prove(plan, proof, server, progress) if proof else ()
        for alias in plan.all_aliases:
            server.collections.create_alias(alias, plan.target)
        with progress.phase("waiting until it is green"):
            status = server.collections.wait_green(plan.target, server.endpoint.green_seconds)
        green_seconds = time.monotonic() - start if status == "green" else None
        restored = look(
            expected,
            plan.target,
            server,
            progress,
            version=plan.server_version,
            status=status,
            lifted=lifted,
        )
        described = check_restored(restored, Cost.DESCRIBED)
        if plan.reindex:
            described = reindexed(restored, described, progress)
        result = RestoreResult(
            snapshot=plan.snapshot,
            target=plan.target,
            findings=(*plan.warnings, *described, *proven),
            restored=restored,
            points_count=restored.actual.points_count,
            seconds=seconds,
            green_seconds=green_seconds,
            way=way,
            are_limits_lifted=lifted is not None,
        )
    except (Untouched, Exists):
        # The collection, if there is one, is not of this run.
        removed()
        raise
    except BaseException as error:
        lost = isinstance(error, KeyboardInterrupt | Unreachable)
        _undo(plan.target, upload_name, server, progress, removed, lost=lost)
        raise
    if not result.is_kept:
        _undo(plan.target, upload_name, server, progress, removed, lost=False)
    return result


def _prove(
    plan: RestorePlan, expected: Expected, server: Server, progress: Progress
) -> tuple[Finding, ...]:
    """Read every replica before an alias leads anybody to the collection.

    A replica can be active, green and empty; no description of the collection shows it.

    Raises:
        RestoreIncomplete, ContentsDiffer: if one has other points than were sealed.
    """
    planned = _as_planned(expected, plan)
    restored = look(planned, plan.target, server, progress, version=plan.server_version)
    findings = check_restored(restored, Cost.READ)
    if error := restored_error(plan.target, findings, hint=REMOVED):
        raise error
    return findings


def compare_points(plan: RestorePlan, restored: Restored) -> tuple[Finding, ...]:
    """Compare every restored point with the seal, and run the searches saved with it.

    Points that the restore itself has compared are not read again.
    """
    expected = expected_sealed(plan.snapshot, restored.collection)
    restored = replace(restored, expected=expected)
    return tuple(check_searches(restored)) if plan.is_read else check_restored(restored, Cost.READ)


def differs(snapshot: Snapshot, target: str, server: Server, progress: Progress) -> str:
    """Return how a collection on the server differs from a snapshot; empty if it does not.

    Aliases do not count, because they are created last; nor do searches, because the points decide.
    """
    snapshot.check_manifest()
    sealed = expected_sealed(snapshot, target, searches=False)
    expected = replace(sealed, owns_aliases=False)
    restored = look(expected, target, server, progress, version=server.version())
    findings = check_restored(restored, Cost.DESCRIBED)
    if not failed(findings):
        findings += check_restored(restored, Cost.READ)
    return "; ".join(f"{f.check}: {f.message}" for f in failed(findings))


def remove_half_made(
    target: str, upload_name: str, server: Server, *, arrival_seconds: float
) -> bool:
    """Remove an incomplete collection and its uploaded file; return whether both are gone.

    Qdrant continues a restore after a lost connection, so wait until it has finished.
    """
    start = time.monotonic()
    try:
        with open_nodes(server) as nodes:
            while (busy := nodes.is_busy(target)) or target not in server.collections.names():
                waited = time.monotonic() - start
                if waited >= (PATIENCE_SECONDS if busy else arrival_seconds):
                    break
                time.sleep(POLL_SECONDS)
        if busy:
            return False
        if upload_name:
            server.snapshots.discard_upload(target, upload_name)
        if target in server.collections.names():
            server.collections.delete(target)
    except TaskError:
        return False
    return True


def is_busy(target: str, server: Server) -> bool:
    """Return whether any node of the server's cluster is still restoring the collection.

    What was sent just before a run was killed is waited for.
    """
    deadline = time.monotonic() + ARRIVAL_SECONDS
    with open_nodes(server) as nodes:
        while (busy := nodes.is_busy(target)) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
    return busy


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
            progress.note(f"Could not remove {target}; the next run will remove it.")


def _send(
    plan: RestorePlan, server: Server, sha256: str, upload_name: str, progress: Progress
) -> str:
    """Restore in the way that fits file and server, and return which one it was.

    A server that was started with the file has restored it already.
    """
    if plan.loaded_at_start:
        if plan.target not in server.collections.names():
            raise RestoreIncomplete(
                f"Qdrant started with {plan.snapshot.name}, but has no {plan.target}.",
                hint=LOG_HINT,
            )
        return "start-up"
    if plan.by_shard:
        plan.by_shard.send(server, plan.target, progress)
        return "shards"
    if plan.sharding:
        plan.sharding.prepare(server, plan.target)
    return _send_file(plan, server, sha256, upload_name, progress)


def _send_file(
    plan: RestorePlan, server: Server, sha256: str, upload_name: str, progress: Progress
) -> str:
    """Restore from a path that the server can read, else by upload."""
    path = plan.snapshot.path
    seen_as = server_paths(server.endpoint, path)
    try:
        for server_path in seen_as:
            with (
                suppress(NotVisible),
                progress.phase(f"Qdrant is restoring {plan.target} from the mounted folder"),
            ):
                _reconciled(
                    partial(server.snapshots.recover, plan.target, server_path, sha256),
                    plan.target,
                    server,
                    progress,
                )
                return "file"
    except ServerFailure as error:
        meaning = _meaning(plan, error)
        if isinstance(meaning, Damaged):
            # If the local file is damaged as well, report that instead.
            with suppress(StorageError):
                _refuse_damaged(plan, sha256, progress)
            raise Untouched(meaning.message, hint=meaning.hint) from error
        raise meaning from error
    if seen_as:
        # Qdrant was expected to hash the file, but it cannot see it after all.
        _refuse_damaged(plan, sha256, progress)
    try:
        with progress.phase(
            f"uploading {plan.target}", total_bytes=plan.snapshot.size_bytes
        ) as advance:

            def upload() -> None:
                with path.open("rb") as file:
                    server.snapshots.upload(
                        plan.target, file, sha256, name=upload_name, advance=advance
                    )

            _reconciled(upload, plan.target, server, progress)
        _forget_upload(plan.target, upload_name, server, progress)
        return "upload"
    except ServerFailure as error:
        raise _meaning(plan, error) from error


def _reconciled(
    restore: Callable[[], None], target: str, server: Server, progress: Progress
) -> None:
    """Restore; if the answer is lost, wait until Qdrant is done, and let the comparison judge."""
    try:
        restore()
    except Unreachable as lost:
        progress.note(
            f"The connection was lost while Qdrant was restoring {target}; looking whether it goes"
            " on."
        )
        server.snapshots.await_restored(target, lost)


def _forget_upload(target: str, name: str, server: Server, progress: Progress) -> None:
    """Delete the copy that Qdrant keeps; a whole collection is not given up for one."""
    try:
        server.snapshots.delete(target, name)
    except TaskError as error:
        progress.note(
            f"{name}, the copy that the upload of {target} left on the server, could not be"
            f" deleted: {error.message} Delete it there."
        )


def _refuse_damaged(plan: RestorePlan, sha256: str, progress: Progress) -> None:
    try:
        verification = verified(plan.snapshot, progress)
    except Damaged as error:
        raise Untouched(error.message, hint=error.hint) from error
    if verification.sha256 != sha256:
        raise Untouched(f"{plan.snapshot.name} changed during the restore.", hint="Run this again.")


def _meaning(plan: RestorePlan, error: ServerFailure) -> TaskError:
    if is_wrong_checksum(error):
        return Damaged(
            f"Qdrant read different bytes from the local {plan.snapshot.name}: {error.message}",
            hint="Check the mount or the network between this machine and Qdrant, then run this"
            " again.",
        )
    return RestoreIncomplete(
        f"Qdrant could not restore {plan.snapshot.name}: {error.message}", hint=way_out(error)
    )
