"""`inv stack.restart`: stop and start Qdrant."""

from __future__ import annotations

from snapshot_tasks.cli.command import Outcome, Run, command
from snapshot_tasks.cli.wiring import BY_SETTING, TIMEOUT_HELP, said


@command(
    "stack.restart",
    help={
        "recreate": "Also apply changed settings, such as another version; says what changes.",
        "timeout": TIMEOUT_HELP,
    },
)
def restart(run: Run, recreate: bool = False, timeout: float = BY_SETTING) -> Outcome:
    """Stop and start Qdrant as it is; with --recreate, apply changed settings."""
    from snapshot_tasks.engines.select import managed_alone

    selection = managed_alone(run.settings)
    changes = selection.engine.changes()
    if run.dry:
        upgrade = selection.engine.upgrade(recreate=recreate)
        return run.would(
            "restart Qdrant",
            *(f"{'change' if recreate else 'keep'} {one}" for one in changes),
            *((upgrade,) if upgrade else ()),
        )
    selection.engine.restart(
        recreate=recreate,
        timeout_seconds=timeout or run.settings.qdrant.ready_timeout_seconds,
        progress=run.progress,
    )
    applied = list(changes) if recreate else []
    left = [] if recreate else list(changes)
    result = {"engine": selection.engine.name, "changed": applied, "not_applied": left}
    return said(result, "Qdrant is ready.")
