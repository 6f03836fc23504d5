"""`inv stack.down`: stop Qdrant."""

from __future__ import annotations

from snapshot_tasks.cli.command import Outcome, Run, command
from snapshot_tasks.cli.wiring import said
from snapshot_tasks.system.errors import Interrupted

AGAIN = "What was listed may be done in part; `inv stack.status` shows it. Run this again."


@command(
    "stack.down",
    help={
        "volumes": "Delete the data as well; asks first, or needs --yes.",
        "yes": "Confirm the deletion without asking.",
        "dry-run": "Only list what would be stopped and deleted.",
    },
)
def down(run: Run, volumes: bool = False, yes: bool = False, dry_run: bool = False) -> Outcome:
    """Stop Qdrant and nothing else; its data is kept unless --volumes is given."""
    from snapshot_tasks.engines.select import managed_alone

    engine = managed_alone(run.settings).engine
    plan = engine.plan_down(delete_data=volumes, for_good=True).checked()
    if run.dry or dry_run:
        return run.would(*(plan.steps or (f"find nothing to stop ({engine.status().detail})",)))
    if volumes:
        run.consent(f"This deletes the data of the live Qdrant: {'; '.join(plan.steps)}.", yes=yes)
    try:
        with run.progress.phase("stopping Qdrant"):
            engine.down(plan)
    except KeyboardInterrupt:
        raise Interrupted("Interrupted.", hint=AGAIN) from None
    result = {
        "engine": engine.name,
        "data_deleted": volumes and bool(plan.deletes or plan.stops),
        "stopped": list(plan.stops),
        "deleted": list(plan.deletes),
        "kept": list(plan.stays),
    }
    if not plan.stops and not plan.deletes:
        qdrant = run.settings.qdrant
        where = "" if qdrant.is_default_url else f" at {qdrant.url}"
        return said(result, f"Nothing to stop: no Qdrant of this project runs{where}.")
    kept = "its data was in memory and is gone" if plan.is_in_memory else "its data is kept"
    ending = "its data is deleted" if volumes else kept
    return said(result, f"Qdrant is stopped; {ending} ({'; '.join(plan.steps)}).")
