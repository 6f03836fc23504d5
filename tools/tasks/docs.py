"""`inv docs`: the site, and the page that is written from the tasks themselves."""

from __future__ import annotations

from snapshot_tasks.cli.command import Outcome, Run, command
from tools.tasks.running import run_tools

QUIET = {"NO_MKDOCS_2_WARNING": "1"}


@command("docs", help={})
def docs(run: Run) -> Outcome:
    """Write docs/tasks.md anew and build the site into site/; a broken link fails."""
    from tools.task_page import PAGE, task_page

    if not run.dry:
        PAGE.write_text(task_page(), encoding="utf-8")
    return run_tools(run, (("mkdocs", "build", "--strict", "--quiet"),), QUIET)
