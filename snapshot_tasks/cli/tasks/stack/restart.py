"""`inv stack.restart`: stop and start Qdrant."""

from __future__ import annotations

from snapshot_tasks.cli.command import Outcome, Run, command
from snapshot_tasks.cli.wiring import BY_SETTING, TIMEOUT_HELP, said


@command("stack.restart", help={"timeout": TIMEOUT_HELP})
def restart(run: Run, timeout: float = BY_SETTING) -> Outcome:
    """Stop and start Qdrant, which also applies changed settings."""
    from snapshot_tasks.engines.select import managed_engine

    selection = managed_engine(run.settings)
    if run.dry:
        return run.would("restart Qdrant")
    selection.engine.restart(
        timeout_seconds=timeout or run.settings.qdrant.ready_timeout_seconds, progress=run.progress
    )
    return said({"engine": selection.engine.name}, "Qdrant is ready.")
