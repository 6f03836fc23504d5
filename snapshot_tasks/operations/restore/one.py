"""Restore a collection from a snapshot, and compare it with what was taken."""

from __future__ import annotations

from snapshot_tasks.catalog.journal import RESTORE
from snapshot_tasks.checks.file import (
    refuse_points_of_the_future,
    sha256_to_find,
    sha256_to_restore,
)
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.operations.restore.into_empty import RestoreResult, bring_back, new_upload_name
from snapshot_tasks.operations.restore.plan import (
    OTHER_NAME_OR_REPLACE,
    RestorePlan,
    RestoreRequest,
    plan_restore,
)
from snapshot_tasks.operations.restore.replace import replace_collection
from snapshot_tasks.operations.restore.switch import switch_alias
from snapshot_tasks.qdrant.mounts import server_paths
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.errors import Refused
from snapshot_tasks.system.progress import Progress


def restore(request: RestoreRequest, server: Server, progress: Progress) -> RestoreResult:
    """Check the file, restore it and compare; remove the collection if its points are not whole.

    Raises:
        Damaged: before anything is touched.
        RestoreIncomplete: if Qdrant refuses or fails; no incomplete collection is left.
    """
    plan = plan_restore(request, server)
    if plan.skip:
        return RestoreResult(
            snapshot=plan.snapshot, target=plan.target, skipped_because=plan.skipped_because
        )
    if not plan.exists:
        return _restore_anew(plan, request, server, progress)
    sha256 = request.verified_sha256 or sha256_to_restore(plan.snapshot, progress)
    replacing = switch_alias if plan.beside else replace_collection
    return replacing(plan, request, server, sha256, progress)


def _restore_anew(
    plan: RestorePlan, request: RestoreRequest, server: Server, progress: Progress
) -> RestoreResult:
    sha256 = request.verified_sha256 or _checked_sha256(plan.snapshot, server, progress)
    # Reading the file can take a while, so check again.
    if not plan.loaded_at_start and plan.target in server.collections.names():
        raise Refused(
            f"The collection {plan.target} was created while the file was being checked.",
            hint=OTHER_NAME_OR_REPLACE,
        )
    # A cluster keeps no copy of a shard's upload.
    upload_name = "" if plan.by_shard else new_upload_name()
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
    if result.is_kept:
        pending.done()
    return result


def _checked_sha256(snapshot: Snapshot, server: Server, progress: Progress) -> str:
    """Return the SHA-256 that Qdrant must find; a damaged file is never sent."""
    if not server_paths(server.endpoint, snapshot.path):
        return sha256_to_restore(snapshot, progress)
    sha256 = sha256_to_find(snapshot, progress)
    refuse_points_of_the_future(snapshot)
    return sha256
