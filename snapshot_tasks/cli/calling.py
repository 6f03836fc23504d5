"""How this call was made: texts name each command so that it can be run as it is printed.

Texts in the code say `inv TASK`, and so do proofs on disk. Whatever a person or another program
reads is named here, at the edge: `./inv`, `inv`, `inv qdrant.…` or `qdrant-snapshots`.
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

# The launcher exports its process, which Invoke runs in, and the name it was called by. The process
# keeps a hook, or whatever else a task starts, from being taken for it.
LAUNCHER = "SNAPSHOT_TASKS_LAUNCHER"
SCRIPT = "qdrant-snapshots"
MODULE = "python -m snapshot_tasks"
_NAMED = re.compile(r"`inv (?P<task>[a-z][a-z.-]*)")
# The texts of a document that may name a command; all others are data.
_TEXTS = ("message", "hint", "remedy")


class Way(Enum):
    """In which way a task was called."""

    LAUNCHER = auto()
    INV = auto()
    SCRIPT = auto()
    MODULE = auto()


class NamedTask(Task[Callable[..., None]]):
    """A task that knows its full name here, whatever a project calls it in its own namespace."""

    full_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What was called, and what each task is called there."""

    program: str = "inv"
    names: Mapping[str, str] = field(default_factory=dict)

    def named(self, text: str) -> str:
        """Return a text whose commands are those to type here."""
        return _NAMED.sub(lambda m: f"`{self.program} {self.task(m['task'])}", text)

    def task(self, full_name: str) -> str:
        """Return what a task is called here."""
        return self.names.get(full_name, full_name)


class Calling:
    """The call that goes on; each task sets it as it begins."""

    def __init__(self) -> None:
        self.call = Call()

    def begin(self, config: Config, root: Path) -> None:
        """Find out how this call was made."""
        self.call = Call(program=program(root), names=_names(config))


CALLING = Calling()


def named(text: str) -> str:
    """Return a text whose commands are those to type here."""
    return CALLING.call.named(text)


def named_document(value: Any) -> Any:
    """Return a document for `--json` whose messages and remedies name commands as called here."""
    if isinstance(value, Mapping):
        return {
            key: named(part) if key in _TEXTS and isinstance(part, str) else named_document(part)
            for key, part in value.items()
        }
    return [named_document(part) for part in value] if isinstance(value, list | tuple) else value


def program(root: Path) -> str:
    """Return how the program was called, as one types it."""
    match way():
        case Way.LAUNCHER:
            return shlex.quote(_launched_by())
        case Way.SCRIPT:
            return SCRIPT
        case Way.MODULE:
            return MODULE
    # From elsewhere, Invoke must be told where to look.
    here = Path.cwd()
    return "inv" if root in (here, *here.parents) else f"inv --search-root {shlex.quote(str(root))}"


def way() -> Way:
    """Return in which way this process was called; `python -m invoke` is `inv`."""
    if _launched_by():
        return Way.LAUNCHER
    called = Path(sys.argv[0])
    if called.name == SCRIPT:
        return Way.SCRIPT
    is_module = called.name == "__main__.py" and called.parent.name == "snapshot_tasks"
    return Way.MODULE if is_module else Way.INV


def _launched_by() -> str:
    """Return the launcher that runs this very process, as it was called; nothing without one."""
    process, _, launcher = os.environ.get(LAUNCHER, "").partition(" ")
    return launcher if process == str(os.getpid()) else ""


def _names(config: Config) -> dict[str, str]:
    """Return what each task is called in the tasks.py that Invoke has loaded."""
    module = sys.modules.get(config.tasks.collection_name) if config._project_prefix else None
    if module is None:
        return {}
    root = Collection.from_module(module, auto_dash_names=config.tasks.auto_dash_names)
    tasks = {name: root[name] for name in root.task_names}
    return {task.full_name: name for name, task in tasks.items() if isinstance(task, NamedTask)}
