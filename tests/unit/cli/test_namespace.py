"""Every file below `cli/tasks` is a task that `inv --list` shows."""

from __future__ import annotations

from pathlib import Path
from pkgutil import walk_packages

from snapshot_tasks.cli import tasks
from snapshot_tasks.cli.namespace import TASKS, namespace


def test_every_module_of_tasks_is_in_the_list() -> None:
    """A task that is not listed would exist, but nobody could run it."""
    prefix = f"{tasks.__name__}."
    found = {
        module.name.removeprefix(prefix)
        for module in walk_packages([str(Path(tasks.__path__[0]))], prefix)
        if not module.ispkg
    }
    assert found == set(TASKS)


def test_every_line_of_the_list_makes_a_task_of_its_name() -> None:
    """The group and the name that a user types are those of the file."""
    assert {name.replace("-", "_") for name in namespace.task_names} == set(TASKS)


def test_the_list_is_sorted_and_without_doubles() -> None:
    """Two branches that each add a task then rarely change the same line."""
    names = [name for name in TASKS if "." in name]
    assert names == sorted(set(names))
