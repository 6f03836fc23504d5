"""Invoke's entry point: `inv --list` shows the tasks."""

from snapshot_tasks.cli.namespace import add_tasks, build_namespace

# Tasks for the development of this project itself, which nobody else's namespace has.
DEVELOPMENT = ("bench", "docs", "faults", "lint", "test")

namespace = build_namespace()
for name in DEVELOPMENT:
    add_tasks(namespace, f"tools.tasks.{name}")

__all__ = ["namespace"]
