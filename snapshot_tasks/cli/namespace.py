"""All tasks, grouped as `inv --list` shows them."""

from __future__ import annotations

from types import ModuleType

from invoke.collection import Collection

from snapshot_tasks.cli import drill, engine, offsite, project, restore, selftest, snapshot, stack

GROUPS: dict[str, tuple[ModuleType, ...]] = {
    "stack": (stack,),
    "snapshot": (snapshot, offsite, restore, drill, selftest),
    "engine": (engine,),
}


def build_namespace() -> Collection:
    """Assemble the tasks."""
    root = Collection.from_module(project)
    for name, modules in GROUPS.items():
        group = Collection(name)
        for module in modules:
            for task in Collection.from_module(module).tasks.values():
                group.add_task(task)
        root.add_collection(group)
    return root


namespace = build_namespace()
