"""Snapshots of Qdrant collections that are proven to restore, as Invoke tasks.

`from snapshot_tasks import namespace` gives the tasks to a project's own `tasks.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snapshot_tasks.cli.namespace import namespace as namespace

__all__ = ["__version__", "namespace"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load Invoke only for those who want the tasks: children of a task do not."""
    if name == "namespace":
        from snapshot_tasks.cli.namespace import namespace

        return namespace
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
