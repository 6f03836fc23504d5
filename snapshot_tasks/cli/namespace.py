"""All tasks, as `inv --list` shows them. A new task is a file in `tasks/` and a line here."""

from __future__ import annotations

from importlib import import_module

from invoke.collection import Collection

from snapshot_tasks.cli.mistakes import answer_mistakes

# The modules in `tasks/`; the part before the dot is the group.
TASKS = (
    "demo",
    "doctor",
    "report",
    "engine.install",
    "points.diff",
    "snapshot.check",
    "snapshot.create",
    "snapshot.import",
    "snapshot.keep",
    "snapshot.list",
    "snapshot.pin",
    "snapshot.prune",
    "snapshot.pull",
    "snapshot.push",
    "snapshot.rekey",
    "snapshot.restore",
    "snapshot.schedule",
    "snapshot.selftest",
    "snapshot.show",
    "snapshot.test_restore",
    "snapshot.unpin",
    "snapshot.verify",
    "stack.down",
    "stack.logs",
    "stack.restart",
    "stack.status",
    "stack.up",
)


def build_namespace() -> Collection:
    """Assemble the collection of all tasks."""
    root = Collection()
    for name in TASKS:
        group = name.rpartition(".")[0]
        if group and group not in root.collections:
            root.add_collection(Collection(group))
        add_tasks(root.collections[group] if group else root, f"{__package__}.tasks.{name}")
    return root


def add_tasks(collection: Collection, module: str) -> None:
    """Add the tasks that are defined in a module."""
    for task in Collection.from_module(import_module(module)).tasks.values():
        collection.add_task(task)


answer_mistakes()
namespace = build_namespace()
