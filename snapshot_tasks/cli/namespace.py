"""All tasks, grouped as `inv --list` shows them."""

from __future__ import annotations

from types import ModuleType

from invoke.collection import Collection

from snapshot_tasks.cli import (
    check,
    drill,
    engine,
    offsite,
    project,
    report,
    restore,
    retention,
    schedule,
    selftest,
    snapshot,
    stack,
)

ROOT: tuple[ModuleType, ...] = (project, report)
GROUPS: dict[str, tuple[ModuleType, ...]] = {
    "stack": (stack,),
    "snapshot": (snapshot, offsite, restore, drill, check, selftest, retention, schedule),
    "engine": (engine,),
}


def build_namespace() -> Collection:
    """Assemble the tasks."""
    root = _gathered(Collection(), ROOT)
    for name, modules in GROUPS.items():
        root.add_collection(_gathered(Collection(name), modules))
    return root


def _gathered(collection: Collection, modules: tuple[ModuleType, ...]) -> Collection:
    for module in modules:
        for task in Collection.from_module(module).tasks.values():
            collection.add_task(task)
    return collection


namespace = build_namespace()
