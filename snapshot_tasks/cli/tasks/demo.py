"""`inv demo`: the whole story on sample data."""

from __future__ import annotations

from datetime import UTC, datetime

from snapshot_tasks.cli.command import Outcome, Run, command
from snapshot_tasks.cli.console import tell

DEMO_FOLDER = "demo_snapshots"


@command("demo", help={})
def demo(run: Run) -> Outcome:
    """Load a sample into a real Qdrant, take a snapshot, prove that it restores, clean up."""
    from snapshot_tasks.catalog.folder import Catalog
    from snapshot_tasks.cli.show.drill import render_drill
    from snapshot_tasks.cli.show.snapshots import render_created, snapshot_json
    from snapshot_tasks.engines.select import drill_engine
    from snapshot_tasks.operations.demo import demo as run_demo

    if run.dry:
        return run.would("load the sample, take a snapshot of it, and prove that it restores")
    settings = run.settings
    selection = drill_engine(settings)
    run.progress.note(f"engine: {selection.engine.name} ({selection.reason})")
    catalog = Catalog(settings.project_root / DEMO_FOLDER)
    catalog.make_folder()
    with catalog.lock("demo"):
        done = run_demo(
            selection.engine,
            catalog,
            run.progress,
            version=settings.version,
            operation_timeout_seconds=settings.operation_timeout_seconds,
            clock=lambda: datetime.now(UTC),
        )

    def render() -> None:
        render_created(done.snapshot)
        render_drill(done.report)
        tell(f"Nothing is left running. The snapshot is in {catalog.folder}.")

    result = {
        "snapshot": snapshot_json(done.snapshot),
        "drill": done.report.as_json(),
        "folder": str(catalog.folder),
    }
    return Outcome(result=result, render=render, error=done.report.error)
