"""docs/tasks.md is what the tasks themselves say."""

from __future__ import annotations

import re

import pytest

from snapshot_tasks.cli.namespace import TASKS
from snapshot_tasks.system.errors import TaskError
from tools.task_page import PAGE, cell, coded_errors, task_page


def test_the_page_on_disk_is_the_one_written_anew() -> None:
    """A changed flag, sentence or exit code changes the page too."""
    assert PAGE.read_text(encoding="utf-8") == task_page(), "run python -m tools.task_page"


def test_every_task_has_a_section_and_every_flag_a_row() -> None:
    """Nothing is left out, no cell is empty, and a second reading finds the same."""
    assert task_page() == task_page()
    page = task_page()
    headings = re.findall(r"^## ([a-z].*)$", page, re.MULTILINE)
    assert headings == sorted(name.replace("_", "-") for name in TASKS)
    assert "| `--collection=…` `-c` |" in page
    assert "| `--max-proof-age=…` | `8d` |" in page
    assert not re.findall(r"\| *\|", page)


def test_every_exit_code_has_a_row() -> None:
    """All the errors that end a task with a code of their own are explained."""
    codes = {error.exit_code for error in coded_errors()} | {0, 1}
    rows = re.findall(r"^\| (\d+) \|", task_page(), re.MULTILINE)
    assert [int(row) for row in rows] == sorted(codes)


def test_a_text_with_a_bar_stays_one_cell() -> None:
    """A bar in a help text would move all that follows into the next column."""
    assert cell("a | b") == "a \\| b"


@pytest.mark.parametrize("error", coded_errors())
def test_the_meaning_of_an_error_is_one_paragraph(error: type[TaskError]) -> None:
    """Its docstring becomes a cell of a table."""
    assert error.__doc__
    assert "\n" not in error.__doc__
