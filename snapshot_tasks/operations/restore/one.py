"""Bring a collection back from a snapshot, and compare it with what was taken."""

from __future__ import annotations

from snapshot_tasks.catalog.journal import RESTORE
from snapshot_tasks.checks.file import sha256_to_find, verified
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.operations.restore.into_empty import RestoreResult, bring_back, new_upload_name
from snapshot_tasks.operations.restore.plan import RestorePlan, RestoreRequest, plan_restore
from snapshot_tasks.operations.restore.replace import replace_collection
from snapshot_tasks.qdrant.mounts import server_paths
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.errors import Refused
from snapshot_tasks.system.progress import Progress


def restore(request: RestoreRequest, server: Server, progress: Progress) -> RestoreResult:
    """Check the file, restore it, compare; a collection that came back wrong is removed again.

    Raises:
        Damaged: before anything is touched.
        RestoreIncomplete: when Qdrant refuses or fails; nothing half-made is left.
    """
    plan = plan_restore(request, server)
    if plan.skip:
        return RestoreResult(snapshot=plan.snapshot, target=plan.target, skipped=True)
    if not plan.exists:
        return _restore_anew(plan, request, server, progress)
    sha256 = request.verified_sha256 or verified(plan.snapshot, progress).sha256
    assert request.save_existing is not None
    return replace_collection(
        plan, server, sha256, request.save_existing, request.journal, progress
    )


def _restore_anew(
    plan: RestorePlan, request: RestoreRequest, server: Server, progress: Progress
) -> RestoreResult:
    sha256 = request.verified_sha256 or _checked_sha256(plan.snapshot, server, progress)
    # Reading the file may have taken a while.
    if plan.target in server.collections.names():
        raise Refused(
            f"The collection {plan.target} has come to be meanwhile.",
            hint="Restore beside it with `--as NAME`, or over it with `--replace --yes`.",
        )
    upload_name = new_upload_name()
    pending = request.journal.begin(
        RESTORE,
        server.endpoint.url,
        plan.target,
        upload=upload_name,
        aliases=list(plan.aliases),
        snapshot=str(plan.snapshot.path),
    )
    result = bring_back(
        plan, server, sha256, progress, upload_name=upload_name, removed=pending.done
    )
    if result.error is None:
        pending.done()
    return result


def _checked_sha256(snapshot: Snapshot, server: Server, progress: Progress) -> str:
    """Return the SHA-256 to restore by; a damaged file is never sent."""
    if server_paths(server.endpoint, snapshot.path):
        return sha256_to_find(snapshot, progress)
    return verified(snapshot, progress).sha256
