"""`inv lint`: the linters of this project."""

from __future__ import annotations

from snapshot_tasks.cli.command import Outcome, Run, command
from tools.tasks.running import run_tools

LINTERS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("lint-imports",),
    ("lint-imports", "--config", "tools/imports_at_run_time.toml"),
    ("codespell",),
)


@command("lint", help={})
def lint(run: Run) -> Outcome:
    """Run ruff, mypy, import-linter and codespell over this project."""
    return run_tools(run, LINTERS)
