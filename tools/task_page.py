"""Write docs/tasks.md from the tasks themselves: `./inv docs`, or python -m tools.task_page.

What `inv --help` prints and what the page says can then not differ; tests/unit/test_task_page.py
compares the page on disk with a new one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from invoke.parser.argument import Argument
from invoke.tasks import Task

from snapshot_tasks.cli.namespace import build_namespace
from snapshot_tasks.system import errors as errors_module
from snapshot_tasks.system.errors import TaskError

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tasks.md"
INTRODUCTION = """\
# Tasks and exit codes

<!-- Written by `./inv docs` from the tasks themselves: change their help, not this page. -->

Every task, its flags and their defaults, as `inv --help TASK` prints them. Every task also accepts
`--json`, which prints exactly one JSON document on stdout, even on failure. `inv --dry TASK`
changes nothing anywhere. Without `--snapshot`, a task uses the newest snapshot of the collection.
Without `--collection`, it uses `QDRANT_COLLECTION_NAME`.

Flags of a task come after its name. A mistyped task or flag, or a value that a flag cannot have,
ends with 1, and the remedy names the nearest or what is allowed. One mistake is beyond us: before
the task's name, plain `inv` itself takes `-c NAME` and `--collection NAME` for a file of tasks.
"""
CODES = """\
## Exit codes

They are the same for every task. An error is two lines: what happened, and what to do now. With
`--json` these are `message` and `hint` in `error`, and `kind` names the error.

| code | `kind` | meaning |
|---|---|---|
| 0 | – | Done and, if it is a drill, proven. |
"""
PARSING = "An error without a code of its own, or a command line that cannot be parsed."


def task_page() -> str:
    """Return the page: every task, then the exit codes."""
    namespace = build_namespace()
    sections = [section(name, namespace[name]) for name in sorted(namespace.task_names)]
    return "\n".join([INTRODUCTION, *sections, CODES + "".join(code_rows())])


def section(name: str, task: Task[Any]) -> str:
    """Return the section of one task: its sentence and a table of its flags."""
    flags = [flag for flag in task.get_arguments() if flag.name != "json"]
    sentence = (task.__doc__ or "").partition("\n")[0]
    return f"## {name}\n\n{sentence}\n" + ("\n" + flag_table(flags) if flags else "")


def flag_table(flags: Sequence[Argument]) -> str:
    """Return the table of a task's flags."""
    rows = (f"| {spelling(flag)} | {default(flag)} | {cell(flag.help or '')} |\n" for flag in flags)
    return "| flag | default | meaning |\n|---|---|---|\n" + "".join(rows)


def spelling(flag: Argument) -> str:
    """Return the flag as it is typed; those with a value show that they have one."""
    long, *short = flag.names
    value = "" if flag.kind is bool else "=…"
    return " ".join(f"`{text}`" for text in (f"--{long}{value}", *(f"-{name}" for name in short)))


def default(flag: Argument) -> str:
    """Return the default; where there is none, the help says what happens without the flag."""
    if flag.kind is bool or flag.default in ("", 0, -1, []):
        return "–"
    return f"`{flag.default}`"


def cell(text: str) -> str:
    """Return a text that cannot end a cell of a table."""
    return text.replace("|", "\\|")


def code_rows() -> Iterator[str]:
    """Yield a row for each exit code that is not 0, from the errors that have it."""
    yield f"| 1 | `error` … | {PARSING} |\n"
    for error in coded_errors():
        meaning = " ".join((error.__doc__ or "").split())
        yield f"| {error.exit_code} | `{error.kind}` | {cell(meaning)} |\n"


def coded_errors() -> Sequence[type[TaskError]]:
    """Return the errors that have an exit code of their own, by code."""
    errors = (error for error in vars(errors_module).values() if isinstance(error, type))
    coded = (error for error in errors if issubclass(error, TaskError) and error.exit_code != 1)
    return sorted(coded, key=lambda error: error.exit_code)


if __name__ == "__main__":
    PAGE.write_text(task_page(), encoding="utf-8")
