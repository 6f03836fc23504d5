"""Replace what an alias means: restore beside, prove, then point the alias at it.

Nothing is deleted, and the alias means a whole collection at every moment.
"""

from __future__ import annotations

from dataclasses import replace

from snapshot_tasks.catalog.journal import RESTORE
from snapshot_tasks.checks.restored import restored_error
from snapshot_tasks.domain.findings import ok
from snapshot_tasks.operations.restore.into_empty import (
    RestoreResult,
    bring_back,
    compare_points,
    remove_half_made,
)
from snapshot_tasks.operations.restore.plan import UNTOUCHED, RestorePlan, RestoreRequest
from snapshot_tasks.qdrant.paths import collection_path
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system import process
from snapshot_tasks.system.errors import (
    Refused,
    RestoreIncomplete,
    ServerFailure,
    TaskError,
    Unreachable,
)
from snapshot_tasks.system.progress import Progress


def switch_alias(
    plan: RestorePlan, request: RestoreRequest, server: Server, sha256: str, progress: Progress
) -> RestoreResult:
    """Restore beside the plan's target, then point its aliases at the restored collection.

    On any failure, nothing has changed, and the new collection is removed. If it is not certain
    whether the aliases will be switched, the next run finds out.

    Raises:
        Refused: if somebody else pointed the alias elsewhere meanwhile.
        RestoreIncomplete, ContentsDiffer: if not everything is as recorded, or the nodes did not
            answer when they were asked to switch.
    """
    pending = request.journal.begin(
        RESTORE,
        server.endpoint.url,
        plan.beside,
        must=True,
        upload="",
        snapshot=str(plan.snapshot.path),
        switching=list(plan.all_aliases),
        former=plan.target,
    )
    made = replace(plan, target=plan.beside, exists=False, aliases=(), kept_aliases=())
    result = bring_back(made, server, sha256, progress, upload_name="", removed=pending.done)
    asked = False
    try:
        findings = result.findings
        if result.restored and result.error is None:
            findings += compare_points(made, result.restored)
        if error := restored_error(plan.snapshot.name, findings, hint=UNTOUCHED):
            raise error
        _refuse_moved(plan, server)
        with process.shielded():
            asked = True
            _switch(plan, server)
    except BaseException:
        with process.shielded():
            if _is_ended(plan.beside, server, asked=asked):
                pending.done()
            else:
                progress.note(
                    f"{plan.beside} is left; the next run removes it if no alias means it."
                )
        raise
    pending.done()
    means = f"{', '.join(plan.all_aliases)}: now {plan.beside}, was {plan.target}"
    return replace(
        result,
        findings=(*findings, ok("switched", means)),
        former=plan.target,
        former_url=f"{server.endpoint.url}{collection_path(plan.target)}",
        switched=plan.all_aliases,
    )


def _refuse_moved(plan: RestorePlan, server: Server) -> None:
    """Refuse to switch an alias that does not mean the former collection any more."""
    owners = server.collections.aliases()
    there = owners.get(plan.named_by_alias, "")
    moved = [a for a in plan.all_aliases if owners.get(a, plan.target) != plan.target]
    if there != plan.target or moved:
        raise Refused(
            f"The alias {(moved or [plan.named_by_alias])[0]} does not mean {plan.target} any more:"
            " somebody else changed it meanwhile.",
            hint="Nothing was replaced. Run this again.",
        )


def _switch(plan: RestorePlan, server: Server) -> None:
    """Point every alias of the former collection at the new one, in one request."""
    try:
        server.collections.switch_aliases(plan.all_aliases, plan.beside)
    except (ServerFailure, Unreachable) as error:
        raise RestoreIncomplete(
            f"It is not certain whether {', '.join(plan.all_aliases)} will mean {plan.beside}:"
            f" {error.message}",
            hint=f"{plan.target} is as it was. `inv stack.status` shows the aliases; the next run"
            " tidies up.",
        ) from error


def _is_ended(beside: str, server: Server, *, asked: bool) -> bool:
    """Remove the new collection unless it is in use; return whether it is certain which.

    If a switch was `asked` for, it is left: Qdrant deletes the aliases of a collection with it.
    """
    try:
        is_used = beside in server.collections.aliases().values()
    except TaskError:
        return False
    return is_used or (not asked and remove_half_made(beside, "", server, arrival_seconds=0))
