"""`inv stack.down`: stop Qdrant."""

from __future__ import annotations

from snapshot_tasks.cli.command import Outcome, Run, command
from snapshot_tasks.cli.wiring import said


@command(
    "stack.down",
    help={
        "volumes": "Delete the data as well; asks first, or needs --yes.",
        "yes": "Confirm the deletion without asking.",
    },
)
def down(run: Run, volumes: bool = False, yes: bool = False) -> Outcome:
    """Stop Qdrant; its data is kept unless --volumes is given."""
    from snapshot_tasks.engines.select import managed_engine

    selection = managed_engine(run.settings)
    what = "stop Qdrant" + (" and delete all of its data" if volumes else "")
    if run.dry:
        return run.would(what)
    if volumes:
        run.consent("This deletes all data of the live Qdrant.", yes=yes)
    with run.progress.phase("stopping Qdrant"):
        selection.engine.down(delete_data=volumes)
    return said(
        {"engine": selection.engine.name, "data_deleted": volumes},
        "Qdrant is stopped and its data is deleted."
        if volumes
        else "Qdrant is stopped; its data is kept.",
    )
