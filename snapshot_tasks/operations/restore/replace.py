"""Replace an existing collection with a snapshot, without ever losing the existing data.

Qdrant cannot rename a collection, and restoring over one is neither atomic nor does it replace all
settings. So the file is first tested under a temporary name. Then the existing collection is saved
in a safety snapshot. Only then it is deleted, and the file is restored in its place.
"""

from __future__ import annotations

import time
from dataclasses import replace
from uuid import uuid4

from snapshot_tasks.catalog.journal import RESTORE, TRIAL, Journal
from snapshot_tasks.checks.file import verified
from snapshot_tasks.checks.restored import restored_error
from snapshot_tasks.domain.findings import Finding
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.operations.restore.into_empty import (
    RestoreResult,
    bring_back,
    compare_points,
    differs,
    new_upload_name,
    remove_half_made,
)
from snapshot_tasks.operations.restore.plan import (
    UNTOUCHED,
    RestorePlan,
    RestoreRequest,
    plan_restore,
)
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system import process
from snapshot_tasks.system.errors import Refused, RestoreIncomplete, TaskError
from snapshot_tasks.system.progress import Progress
from snapshot_tasks.system.untrusted import sentence


def replace_collection(
    plan: RestorePlan, request: RestoreRequest, server: Server, sha256: str, progress: Progress
) -> RestoreResult:
    """Replace the plan's target; on any failure, restore it as it was.

    In a cluster of several nodes, where more can fail, the safety snapshot is test-restored before
    anything is deleted.

    Raises:
        Refused: if the existing collection changed after the safety snapshot, or its absence is not
            agreed to.
        Damaged, RestoreIncomplete, ContentsDiffer: if the file did not pass its test; nothing was
            touched then. Or if it failed later; the previous contents are restored then, or are in
            the safety snapshot that the error names.
    """
    assert request.save_existing is not None
    away_seconds = _try(plan, server, sha256, request.journal, progress)
    if plan.is_on_several_nodes:
        request.tell_away(away_seconds)
    saved = request.save_existing(plan.target)
    safety = saved.snapshot
    if plan.is_on_several_nodes and safety.sealed and not request.prove_safety(safety):
        _prove_here(safety, server, request.journal, progress)
    _refuse_unsafe(plan.target, safety, server, progress)
    upload_name = _upload_name(plan)
    pending = request.journal.begin(
        RESTORE,
        server.endpoint.url,
        plan.target,
        must=True,
        upload=upload_name,
        aliases=list(plan.all_aliases),
        snapshot=str(plan.snapshot.path),
        safety=str(safety.path),
    )
    is_replaced = False
    try:
        with process.shielded():
            server.collections.delete(plan.target)
        result = bring_back(plan, server, sha256, progress, upload_name=upload_name)
        is_replaced = result.is_kept
    finally:
        with process.shielded():
            if not is_replaced:
                put_back(plan.target, safety, server, progress, upload_name=upload_name)
            pending.done()
    return replace(result, safety_snapshot=safety.name, safety_findings=saved.findings)


def _prove_here(safety: Snapshot, server: Server, journal: Journal, progress: Progress) -> None:
    """Test-restore the safety snapshot beside the collection, as no other server can do it."""
    progress.note(f"Restoring {safety.name} under a temporary name in the cluster, to prove it.")
    plan = plan_restore(RestoreRequest(snapshot=safety, target=f"trial-{uuid4().hex}"), server)
    _try(plan, server, verified(safety, progress).sha256, journal, progress)


def _upload_name(plan: RestorePlan) -> str:
    """Return a name for uploads of whole snapshots; of a shard's, a server keeps no copy."""
    return "" if plan.is_on_several_nodes else new_upload_name()


def _refuse_unsafe(target: str, safety: Snapshot, server: Server, progress: Progress) -> None:
    """Refuse to delete a collection unless the safety snapshot has exactly its current points."""
    if safety.sealed is None:
        problem = "it could not be sealed"
    else:
        problem = differs(safety, target, server, progress)
    if problem:
        raise Refused(
            f"The safety snapshot does not match the current contents of {target} ({problem}).",
            hint="Nothing was replaced. Stop all writes to the collection, then run this again.",
        )


def put_back(
    target: str, safety: Snapshot, server: Server, progress: Progress, *, upload_name: str
) -> None:
    """Restore the previous contents from their safety snapshot, unless they still exist.

    Raises:
        RestoreIncomplete: if that fails too; the safety snapshot stays, and the error names it.
    """
    try:
        if target in server.collections.names():
            problem = differs(safety, target, server, progress)
        else:
            progress.note(f"Restoring {target} as it was, from {safety.name}.")
            plan = plan_restore(RestoreRequest(snapshot=safety, target=target), server)
            sha256 = verified(safety, progress).sha256
            back = bring_back(plan, server, sha256, progress, upload_name=upload_name)
            problem = back.error.message if back.error and not back.is_kept else ""
    except TaskError as error:
        problem = error.message
    if problem:
        raise RestoreIncomplete(
            f"{target} could be neither replaced nor restored as it was: {sentence(problem)}",
            hint=f"The previous contents are safe in {safety.path}. The next run tries again to"
            " restore them.",
        )


def _try(
    plan: RestorePlan, server: Server, sha256: str, journal: Journal, progress: Progress
) -> float:
    """Restore the file under a temporary name, compare every point, and delete it again.

    Returns how many seconds the restore took, with what is compared before its aliases are made.
    """
    target, upload_name = f"trial-{uuid4().hex}", _upload_name(plan)
    trial = replace(plan, target=target, exists=False, aliases=(), kept_aliases=())
    pending = journal.begin(TRIAL, server.endpoint.url, target, upload=upload_name)
    findings: tuple[Finding, ...] = ()
    start = time.monotonic()
    try:
        result = bring_back(trial, server, sha256, progress, upload_name=upload_name)
        seconds = time.monotonic() - start
        findings = result.findings
        if result.restored and result.error is None:
            findings += compare_points(plan, result.restored)
    finally:
        with process.shielded():
            if remove_half_made(target, upload_name, server, arrival_seconds=0):
                pending.done()
            else:
                progress.note(f"Could not remove {target}; the next run will remove it.")
    if error := restored_error(plan.snapshot.name, findings, hint=UNTOUCHED):
        raise error
    return seconds
