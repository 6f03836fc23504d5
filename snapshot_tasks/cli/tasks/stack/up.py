"""`inv stack.up`: start Qdrant and restore what is missing."""

from __future__ import annotations

from snapshot_tasks.cli.command import Outcome, Run, command
from snapshot_tasks.cli.wiring import BY_SETTING, TIMEOUT_HELP


@command(
    "stack.up",
    help={
        "no-restore": "Only start Qdrant; do not restore anything.",
        "timeout": f"{TIMEOUT_HELP} Another run that holds the snapshot folder gets as long.",
    },
)
def up(run: Run, no_restore: bool = False, timeout: float = BY_SETTING) -> Outcome:
    """Start Qdrant, wait until it is ready, and restore each missing catalogued collection."""
    from snapshot_tasks.catalog.folder import Catalog
    from snapshot_tasks.cli.show.stack import render_up, up_json
    from snapshot_tasks.engines.select import live_endpoint, managed_engine
    from snapshot_tasks.operations.stack import stack_up

    settings = run.settings
    selection = managed_engine(settings)
    if run.dry:
        changes = selection.engine.changes()
        upgrade = selection.engine.upgrade(recreate=False)
        kept = tuple(f"keep the container as it is, without {change}" for change in changes)
        return run.would(
            f"start Qdrant with the {selection.engine.name} engine and restore what is missing",
            *((upgrade,) if upgrade else ()),
            *kept,
        )
    run.progress.note(f"engine: {selection.engine.name} ({selection.reason})")
    done = stack_up(
        selection.engine,
        lambda: live_endpoint(run.live),
        Catalog(settings.snapshot_dir),
        run.progress,
        ready_timeout_seconds=timeout or settings.qdrant.ready_timeout_seconds,
        operation_timeout_seconds=settings.qdrant.operation_timeout_seconds,
        restore=not no_restore,
    )
    nothing = "" if no_restore else "There are no snapshots yet, so there is nothing to restore."
    return Outcome(
        result=up_json(selection, done),
        render=lambda: render_up(done, nothing=nothing),
        error=done.restored.error,
    )
