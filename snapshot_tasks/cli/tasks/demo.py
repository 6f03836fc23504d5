"""`inv demo`: try everything on sample data."""

from __future__ import annotations

from datetime import UTC, datetime

from snapshot_tasks.cli.command import Outcome, Run, command

DEMO_FOLDER = "demo_snapshots"


@command("demo", help={})
def demo(run: Run) -> Outcome:
    """Load a sample into a real Qdrant, take a snapshot, prove that it restores, clean up."""
    from snapshot_tasks.catalog.folder import Catalog
    from snapshot_tasks.cli.show.demo import demo_json, render_demo
    from snapshot_tasks.engines.select import drill_engine
    from snapshot_tasks.operations.demo import demo as run_demo

    if run.dry:
        return run.would("load a sample, take a snapshot of it, and prove that it restores")
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
            version=settings.engine.version,
            operation_timeout_seconds=settings.qdrant.operation_timeout_seconds,
            clock=lambda: datetime.now(UTC),
        )

    return Outcome(
        result=demo_json(done, catalog.folder),
        render=lambda: render_demo(done, catalog.folder),
        error=done.report.error,
    )
