"""How this call was made, so that a printed command can be run as it is shown.

Texts in the code say `inv TASK`, and so do proofs on disk. They are translated here, at the edge,
for a person or another program: to `./inv`, `inv`, `inv qdrant.…` or `qdrant-snapshots`.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Any

from invoke.collection import Collection
from invoke.config import Config
from invoke.tasks import Task

# The launcher exports its process id, which Invoke keeps, and the name by which it was called. The
# id ensures that a hook or another process started by a task is not mistaken for the launcher.
LAUNCHER = "SNAPSHOT_TASKS_LAUNCHER"
SCRIPT = "qdrant-snapshots"
MODULE = "python -m snapshot_tasks"
_NAMED = re.compile(r"`inv (?P<task>--list|--help|[a-z][a-z.-]*)(?P<rest>[^`]*)")
# A command with one of these flags does not act on the default collection.
_CHOSEN = re.compile(r"(?<!\S)(--(collection|snapshot|all)\b|-c)")
# The full names of the tasks that act on the default collection; each adds itself.
ON_DEFAULT: set[str] = set()
# The keys of a document whose texts may name a command; all others are data.
_TEXTS = ("message", "hint", "remedy")


class Way(Enum):
    """How a task was called."""

    LAUNCHER = auto()
    INV = auto()
    SCRIPT = auto()
    MODULE = auto()


class NamedTask(Task[Callable[..., None]]):
    """A task that knows its full name, even if a project renames it in its own namespace."""

    full_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The program that was called, the name of each task there, and the collection it was given.

    A command in a text then names that collection, because without it, the task that it names would
    act on the default one.
    """

    program: str = "inv"
    names: Mapping[str, str] = field(default_factory=dict)
    collection: str = ""

    def named(self, text: str) -> str:
        """Return a text with each command as the user must type it here."""
        return _NAMED.sub(self._typed, text)

    def _typed(self, command: re.Match[str]) -> str:
        task, rest = command["task"], command["rest"]
        if self.collection and task in ON_DEFAULT and not _CHOSEN.search(rest):
            rest = f" --collection {shlex.quote(self.collection)}{rest}"
        return f"`{self.program} {self.task(task)}{rest}"

    def task(self, full_name: str) -> str:
        """Return the name of a task here."""
        return self.names.get(full_name, full_name)


class Calling:
    """The current call; each task sets it when it starts."""

    def __init__(self) -> None:
        self.call = Call()

    def begin(self, config: Config, root: Path, collection: str = "") -> None:
        """Find out how this call was made; `collection` is the only one that it was given."""
        self.call = Call(program=program(root), names=_names(config), collection=collection)


CALLING = Calling()


def named(text: str) -> str:
    """Return a text with each command as the user must type it here."""
    return CALLING.call.named(text)


def named_document(value: Any) -> Any:
    """Return a document for `--json` with commands in messages and remedies as typed here."""
    if isinstance(value, Mapping):
        return {
            key: named(part) if key in _TEXTS and isinstance(part, str) else named_document(part)
            for key, part in value.items()
        }
    return [named_document(part) for part in value] if isinstance(value, list | tuple) else value


def program(root: Path) -> str:
    """Return the program as the user types it."""
    match way():
        case Way.LAUNCHER:
            launched = shlex.quote(launched_by())
            return launched if is_launchers(root) else _rooted(launched, root)
        case Way.SCRIPT:
            return SCRIPT
        case Way.MODULE:
            return MODULE
    # In another folder, Invoke needs to know where to look.
    here = Path.cwd()
    return "inv" if root in (here, *here.parents) else _rooted("inv", root)


def _rooted(program: str, root: Path) -> str:
    return f"{program} --search-root {shlex.quote(str(root))}"


def is_launchers(root: Path) -> bool:
    """Whether this is the folder of the launcher, in which it looks unless told otherwise."""
    return Path(launched_by()).resolve().parent == root.resolve()


def way() -> Way:
    """Return how this process was called; `python -m invoke` counts as `inv`."""
    if launched_by():
        return Way.LAUNCHER
    called = Path(sys.argv[0])
    if called.name == SCRIPT:
        return Way.SCRIPT
    is_module = called.name == "__main__.py" and called.parent.name == "snapshot_tasks"
    return Way.MODULE if is_module else Way.INV


def launched_by() -> str:
    """Return the launcher of this process as it was called, or an empty string without one."""
    process, _, launcher = os.environ.get(LAUNCHER, "").partition(" ")
    return launcher if process == str(os.getpid()) else ""


def _names(config: Config) -> dict[str, str]:
    """Return the name of each task in the tasks.py that Invoke has loaded."""
    module = sys.modules.get(config.tasks.collection_name) if config._project_prefix else None
    if module is None:
        return {}
    root = Collection.from_module(module, auto_dash_names=config.tasks.auto_dash_names)
    tasks = {name: root[name] for name in root.task_names}
    return {task.full_name: name for name, task in tasks.items() if isinstance(task, NamedTask)}
