"""All tasks, grouped as `inv --list` shows them."""

from __future__ import annotations

from invoke.collection import Collection

from snapshot_tasks.cli import engine, project, snapshot, stack


def build_namespace() -> Collection:
    """Assemble the tasks."""
    root = Collection(project.doctor, project.demo, project.run_tests, project.lint)
    for name, module in (("stack", stack), ("snapshot", snapshot), ("engine", engine)):
        root.add_collection(Collection.from_module(module, name=name))
    return root


namespace = build_namespace()
