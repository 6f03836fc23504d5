"""`qdrant-snapshots`: the tasks as a separate program, for folders without a tasks.py."""

from __future__ import annotations

from invoke.exceptions import Exit
from invoke.program import Program as InvokeProgram

from snapshot_tasks import __version__
from snapshot_tasks.cli.calling import SCRIPT
from snapshot_tasks.cli.namespace import build_namespace


class Program(InvokeProgram):
    """Invoke's program, which lists our tasks by default."""

    def no_tasks_given(self) -> None:
        """List the tasks, because a user who names none is looking for one."""
        self.list_tasks()
        raise Exit


def main() -> None:
    """Run the program."""
    Program(name=SCRIPT, binary=SCRIPT, version=__version__, namespace=build_namespace()).run()
