"""`qdrant-snapshots`: the tasks as a separate program, for folders without a tasks.py."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from invoke.exceptions import Exit, ParseError
from invoke.parser.context import ParserContext
from invoke.program import Program as InvokeProgram

from snapshot_tasks import __version__
from snapshot_tasks.cli.calling import SCRIPT, program
from snapshot_tasks.cli.namespace import build_namespace
from snapshot_tasks.system.untrusted import printable

MAX_WORD = 100


class Program(InvokeProgram):
    """Invoke's program, which lists our tasks by default and suggests what was meant."""

    def parse_core(self, argv: list[str] | None) -> None:
        """Parse the words before the first task. Raises `Exit` if that fails."""
        with self._answering():
            super().parse_core(argv)

    def parse_tasks(self) -> None:
        """Parse the tasks and their flags. Raises `Exit` if that fails."""
        with self._answering():
            super().parse_tasks()

    def parse_cleanup(self) -> None:
        """Handle `--help` and `--list`. Raises `Exit` afterwards, and for an unknown task."""
        with self._answering():
            super().parse_cleanup()

    def no_tasks_given(self) -> None:
        """List the tasks, because a user who names none is looking for one."""
        self.list_tasks()
        raise Exit

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except ParseError as error:
            message, hint = self._answer(error)
            raise Exit(f"error: {message}\n  fix: {hint}", code=1) from error

    def _answer(self, error: ParseError) -> tuple[str, str]:
        """Return what is wrong with the command line, and what to do about it."""
        called = program(Path.cwd())
        context = error.context
        task = context.name if context and context.name else None
        text = printable(str(error))
        unknown = re.fullmatch(r"No idea what ['\"](?P<word>.+)['\"] is!", str(error), re.DOTALL)
        if not unknown:
            return _plain(text), f"`{called} --help {task or 'TASK'}` explains each flag."
        word = printable(unknown["word"], limit=MAX_WORD)
        if not word.startswith("-"):
            names = nearest_tasks(word, self.collection.task_names)
            return f"There is no task {word}.", f"{_meant(names)}`{called} --list` shows all tasks."
        flags = nearest(word, (*_flags(context), *_flags(self.initial_context)))
        if task is None:
            return f"There is no flag {word}.", f"{_meant(flags)}`{called} --help` shows all flags."
        return (
            f"{task} has no flag {word}.",
            f"{_meant(flags)}`{called} --help {task}` explains each flag.",
        )


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """Return the known words that are most similar to this one, the most similar first."""
    return difflib.get_close_matches(word, list(dict.fromkeys(known)), n=3)


def nearest_tasks(word: str, known: Iterable[str]) -> list[str]:
    """Return the tasks most similar to a word, which may lack the group, as `create` does."""
    names = list(known)
    verbs = {name.rpartition(".")[2] for name in names}
    by_verb = [
        name for verb in nearest(word, verbs) for name in names if name.rpartition(".")[2] == verb
    ]
    return list(dict.fromkeys([*nearest(word, names), *by_verb]))[:3]


def _plain(text: str) -> str:
    """Return Invoke's message as a sentence with the flag as it is typed."""
    missing = re.fullmatch(r"Flag <Argument: (\S+).*> needed value and was not given one!", text)
    if missing:
        return f"--{missing[1].replace('_', '-')} needs a value."
    return text if text.endswith((".", "!")) else f"{text}."


def _flags(context: ParserContext | None) -> list[str]:
    return [flag for flag in context.flags if flag.startswith("--")] if context else []


def _meant(names: list[str]) -> str:
    if not names:
        return ""
    *others, last = names
    return f"Did you mean {', '.join(others)} or {last}? " if others else f"Did you mean {last}? "


def main() -> None:
    """Run the program."""
    Program(name=SCRIPT, binary=SCRIPT, version=__version__, namespace=build_namespace()).run()
