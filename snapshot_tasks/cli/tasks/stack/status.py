"""`inv stack.status`: the live Qdrant and its collections."""

from __future__ import annotations

from snapshot_tasks.cli.command import Outcome, Run, command


@command("stack.status", help={})
def status(run: Run) -> Outcome:
    """Show the engine, the server's version, and the collections with their exact counts."""
    from snapshot_tasks.cli.show.stack import render_status, status_json
    from snapshot_tasks.engines.select import live_endpoint, live_engine
    from snapshot_tasks.operations.stack import stack_status

    settings = run.settings
    found = stack_status(
        live_engine(settings),
        lambda: live_endpoint(run.live),
        timeout_seconds=settings.qdrant.operation_timeout_seconds,
    )
    return Outcome(
        result=status_json(found, run.settings.qdrant.url),
        render=lambda: render_status(found),
        error=found.error,
    )
