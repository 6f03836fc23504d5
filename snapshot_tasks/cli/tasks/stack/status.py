"""`inv stack.status`: the live Qdrant and its collections."""

from __future__ import annotations

from typing import Any

from snapshot_tasks.cli.command import Outcome, Run, command
from snapshot_tasks.cli.console import tell


@command("stack.status", help={})
def status(run: Run) -> Outcome:
    """Show the engine, the server's version, and the collections with their exact counts."""
    from snapshot_tasks.cli.show.stack import render_stack, stack_json
    from snapshot_tasks.engines.select import live_endpoint, live_engine
    from snapshot_tasks.operations.stack import stack_report
    from snapshot_tasks.system.errors import TaskError

    settings = run.settings
    selection = live_engine(settings)
    engine = selection.engine.status()
    facts: dict[str, Any] = {
        "engine": selection.engine.name,
        "reason": selection.reason,
        "running": engine.running,
        "detail": engine.detail,
        "url": settings.url,
    }
    heading = f"engine {selection.engine.name} ({selection.reason}): {engine.detail}"
    try:
        report = stack_report(
            live_endpoint(settings), timeout_seconds=settings.operation_timeout_seconds
        )
    except TaskError as error:
        return Outcome(result=facts, render=lambda: tell(heading), error=error)

    def render() -> None:
        tell(heading)
        render_stack(report)

    return Outcome(result=facts | stack_json(report), render=render)
