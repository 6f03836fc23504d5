"""`inv stack.…`: the live Qdrant."""

from __future__ import annotations

from typing import Any

from snapshot_tasks.cli.command import Count, Outcome, Run, Seconds, command
from snapshot_tasks.cli.console import tell

TIMEOUT_HELP = "Seconds to wait until Qdrant is ready; QDRANT_READY_TIMEOUT_SECONDS by default."
BY_SETTING = Seconds(0)


@command(
    "stack.up",
    help={
        "no-restore": "Only start it; restore nothing.",
        "timeout": TIMEOUT_HELP,
    },
)
def up(run: Run, no_restore: bool = False, timeout: float = BY_SETTING) -> Outcome:
    """Start Qdrant, wait until it is ready, restore each catalogued collection that is missing."""
    from snapshot_tasks.catalog.folder import Catalog
    from snapshot_tasks.cli.render import render_restored, render_stack, restore_json, stack_json
    from snapshot_tasks.engines.select import live_endpoint, managed_engine
    from snapshot_tasks.operations.stack import stack_report, stack_up

    settings = run.settings
    selection = managed_engine(settings)
    if run.dry:
        return run.would(
            f"start Qdrant with the {selection.engine.name} engine and restore what is missing"
        )
    run.progress.note(f"engine: {selection.engine.name} ({selection.reason})")
    restored = stack_up(
        selection.engine,
        live_endpoint(settings),
        Catalog(settings.snapshot_dir),
        run.progress,
        ready_timeout_seconds=timeout or settings.ready_timeout_seconds,
        operation_timeout_seconds=settings.operation_timeout_seconds,
        restore=not no_restore,
    )
    report = stack_report(
        live_endpoint(settings), timeout_seconds=settings.operation_timeout_seconds
    )

    def render() -> None:
        for result in restored.results:
            render_restored(result)
        if not no_restore and not restored.results and not restored.errors:
            tell("No snapshot yet, so nothing to restore.")
        render_stack(report)

    result = {
        "engine": selection.engine.name,
        "reason": selection.reason,
        **stack_json(report),
        "restored": [restore_json(r) for r in restored.results],
        "failed": [{"collection": name, "message": e.message} for name, e in restored.errors],
    }
    return Outcome(result=result, render=render, error=restored.error)


@command(
    "stack.down",
    help={
        "volumes": "Delete the data too; asks first, or needs --yes.",
        "yes": "Agree to deleting the data.",
    },
)
def down(run: Run, volumes: bool = False, yes: bool = False) -> Outcome:
    """Stop Qdrant; its data stays unless --volumes is given."""
    from snapshot_tasks.engines.select import managed_engine

    selection = managed_engine(run.settings)
    what = "stop Qdrant" + (" and delete all of its data" if volumes else "")
    if run.dry:
        return run.would(what)
    if volumes:
        run.consent("This deletes all data of the live Qdrant.", yes=yes)
    with run.progress.phase("stopping Qdrant"):
        selection.engine.down(delete_data=volumes)
    return _said(
        {"engine": selection.engine.name, "data_deleted": volumes},
        "Qdrant is stopped, its data deleted." if volumes else "Qdrant is stopped; its data stays.",
    )


@command("stack.restart", help={"timeout": TIMEOUT_HELP})
def restart(run: Run, timeout: float = BY_SETTING) -> Outcome:
    """Stop and start Qdrant, which also applies changed settings."""
    from snapshot_tasks.engines.select import managed_engine

    selection = managed_engine(run.settings)
    if run.dry:
        return run.would("restart Qdrant")
    selection.engine.restart(
        timeout_seconds=timeout or run.settings.ready_timeout_seconds, progress=run.progress
    )
    return _said({"engine": selection.engine.name}, "Qdrant is ready.")


@command("stack.status", help={})
def status(run: Run) -> Outcome:
    """Show the engine, the server's version, and the collections with their exact counts."""
    from snapshot_tasks.cli.render import render_stack, stack_json
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


@command(
    "stack.logs",
    help={
        "follow": "Go on printing as the log grows, until Ctrl-C.",
        "tail": "Lines to begin with.",
        "service": "Only this Compose service, such as qdrant-restore.",
    },
)
def logs(run: Run, follow: bool = False, tail: int = Count(100), service: str = "") -> Outcome:
    """Print the log of Qdrant, and under Compose that of the restore service too."""
    from snapshot_tasks.engines.select import managed_engine

    engine = managed_engine(run.settings).engine
    if follow and not run.json:
        engine.follow_logs(service=service, tail=tail)
        return Outcome(result={})
    lines = engine.logs(service=service, tail=tail)

    def render() -> None:
        for line in lines:
            tell(line)

    return Outcome(result={"lines": lines}, render=render)


def _said(result: dict[str, Any], sentence: str) -> Outcome:
    return Outcome(result=result, render=lambda: tell(sentence))
