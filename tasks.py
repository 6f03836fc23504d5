"""Invoke's entry point: `inv --list` shows the tasks."""

from snapshot_tasks.cli.namespace import namespace

__all__ = ["namespace"]
