"""`inv snapshot.rekey`: encrypt the copies off-site to other recipients."""

from __future__ import annotations

from snapshot_tasks.cli.command import Outcome, Run, command
from snapshot_tasks.cli.console import say, tell
from snapshot_tasks.cli.flags import only_one
from snapshot_tasks.cli.wiring import (
    PLACE_HELP,
    collection_off_site,
    keys_off_site,
    repositories,
)
from snapshot_tasks.domain.failure import joined


@command(
    "snapshot.rekey",
    help={
        "from": f"The place, {PLACE_HELP}",
        "collection": "The collection; can be repeated. Default: QDRANT_COLLECTION_NAME.",
        "all": "All collections off-site.",
        "dry-run": "Print the plan and change nothing.",
        "yes": "Confirm the plan without asking.",
    },
    watched=True,
    iterable=("collection", "from_"),
)
def rekey(
    run: Run,
    from_: list[str] | None = None,
    collection: list[str] | None = None,
    all: bool = False,
    dry_run: bool = False,
    yes: bool = False,
) -> Outcome:
    """Encrypt the copies off-site to the recipients set now, with the identity of a former one."""
    from snapshot_tasks.cli.show.rekeyed import rekey_json, render_plan, render_rekeyed
    from snapshot_tasks.operations.batch import Batch
    from snapshot_tasks.operations.offsite.rekey import plan_rekey, rekey_each
    from snapshot_tasks.system.units import counted

    only_one(all=all, collection=collection)
    places, keys = repositories(run, from_), keys_off_site(run)
    if not all:
        collection = collection or [collection_off_site(run, places)]
    planned = plan_rekey(places, None if all else collection, keys)
    dry = run.dry or dry_run
    if dry or not planned.rekeyings:
        return Outcome(
            result=rekey_json(planned, Batch(failures=planned.failures), dry=dry),
            render=lambda: render_plan(planned, keys.packer, tell),
            error=joined(planned.failures),
        )
    if not run.json:
        render_plan(planned, keys.packer, tell if yes else say)
    count = counted(len(planned.rekeyings), "snapshot")
    run.consent(f"This encrypts {count} anew.", yes=yes)
    done = rekey_each(planned, keys, run.progress)
    return Outcome(
        result=rekey_json(planned, done),
        render=lambda: render_rekeyed(done.results),
        error=joined(done.failures),
    )
