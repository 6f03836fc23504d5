"""On a narrow terminal, whole columns are dropped, and no name is broken."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.cli.console import cells, wrapped
from snapshot_tasks.cli.show.findings import render_findings
from snapshot_tasks.cli.show.plans import Placed, render_plans
from snapshot_tasks.cli.show.snapshots import render_snapshot, render_snapshots
from snapshot_tasks.cli.show.stack import render_stack
from snapshot_tasks.cli.show.table import table
from snapshot_tasks.domain.findings import fail
from snapshot_tasks.domain.retention import Candidate, Decision, Plan
from snapshot_tasks.operations.stack import StackReport
from tests.support.manifests import TAKEN_AT, add_drill, catalogued

NOW = TAKEN_AT + timedelta(hours=3)
Captured = pytest.CaptureFixture[str]
WIDTHS = (60, 80, 120)
NAMES = ("docs", "a" * 255, "資料" * 20, "e\u0301" * 30)


@pytest.fixture(params=WIDTHS)
def columns(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The width of a terminal that stdout is."""
    columns: int = request.param
    monkeypatch.setattr("snapshot_tasks.cli.console.terminal_columns", lambda: columns)
    monkeypatch.setattr("snapshot_tasks.cli.show.table.terminal_columns", lambda: columns)
    return columns


def assert_fits(text: str, columns: int, *whole: str) -> None:
    """Assert that each name is there whole, and only lines with one that is too long are wide."""
    for name in whole:
        assert any(name in line for line in text.splitlines()), name
    for line in text.splitlines():
        words = line.split()
        assert cells(line) <= columns or max(map(cells, words)) > columns - 24, line


@pytest.mark.parametrize("name", NAMES)
def test_no_table_breaks_a_name(columns: int, capsys: Captured, name: str) -> None:
    """Whatever the name is; what matters most is dropped last."""
    report = StackReport(version="1.17.0", collections=((name, 3),), aliases={"alias": name})
    render_stack(report)
    assert_fits(capsys.readouterr().out, columns, name)
    rows = [(name, "x" * 30, "y" * 30, "1")]
    table("", ("name", "first", "second", "#third"), rows, drop=("first", "second", "third"))
    text = capsys.readouterr().out
    assert_fits(text, columns, name)
    if name == "docs":
        assert ("first" in text, "second" in text) == (columns > 60 + 10, True)


def test_the_catalogue_keeps_the_proof(columns: int, catalog: Catalog, capsys: Captured) -> None:
    """At 60 columns, the name and what is known of its restore are left."""
    snapshot = catalogued(catalog)
    add_drill(snapshot, TAKEN_AT)
    render_snapshots(catalog.entries(), NOW)
    text = capsys.readouterr().out
    assert_fits(text, columns, snapshot.name, "proven 3 h ago")
    assert ("sealed" in text) == (columns == 120)


def test_lines_break_only_between_words(columns: int, catalog: Catalog, capsys: Captured) -> None:
    """Findings, plans and facts: names and commands in backticks stay whole."""
    add_drill(catalogued(catalog, label="one two " * 30, aliases=("b" * 255,)), TAKEN_AT)
    snapshot = catalog.newest("books")
    command = f"`inv snapshot.verify --snapshot {snapshot.name}`"
    render_findings([fail("file", f"{'more words ' * 9}{snapshot.name}", f"Run {command} now.")])
    candidate = Candidate(name=snapshot.name, created_at=TAKEN_AT, size_bytes=3)
    decision = Decision(candidate=candidate, keep=True, reasons=("the newest one",) * 9)
    plan = Plan(collection="books", decisions=(decision,))
    render_plans([Placed(plan=plan, freed_bytes=3)], print)
    render_snapshot(snapshot, NOW)
    text = capsys.readouterr().out
    assert_fits(text.replace(command, "#"), columns, snapshot.name, "b" * 255)
    assert command in text


def test_a_pipe_gets_one_line_for_each(capsys: Captured) -> None:
    """Programs read lines: nothing is wrapped or dropped."""
    assert wrapped("word " * 99, hang=3) == ["word " * 99]
    table("", ("name", "other"), [("a" * 255, "b" * 255)], drop=("other",))
    assert "a" * 255 + "   " + "b" * 255 in capsys.readouterr().out


def test_the_width_is_that_of_the_terminal() -> None:
    """On a real pseudo-terminal of 60 columns, the widest column is left out."""
    text = on_terminal(
        "from snapshot_tasks.cli.show.table import table\n"
        "table('', ('name', 'other'), [('n' * 50, 'o' * 50)], drop=('other',))\n",
        "stdout",
    )
    assert "n" * 50 in text
    assert "other" not in text


def test_errors_break_between_words_on_a_terminal_only(capsys: Captured) -> None:
    """Even if only stderr is one; the report on how a task ended has whole lines, as a log has."""
    code = (
        "from snapshot_tasks.cli.console import PRINTED, say\nPRINTED.clear()\n"
        f"say('error: {'some words ' * 9}`inv snapshot.create --all`', hang=7)\n"
        "print(PRINTED.text, end='')\n"
    )
    first, *others = on_terminal(code, "stderr").splitlines()
    assert max(map(len, (first, *others))) <= 60
    assert others
    assert all(re.match(r" {7}\S", line) for line in others)
    assert "`inv snapshot.create --all`" in others[-1]
    exec(code)
    printed = capsys.readouterr()
    assert printed.err == printed.out
    assert len(printed.err.splitlines()) == 1


def on_terminal(code: str, stream: str) -> str:
    """Return what a program writes to a terminal of 60 columns; its other outputs are pipes."""
    ours, theirs = pty.openpty()
    environment = {n: v for n, v in os.environ.items() if n != "COLUMNS"} | {"NO_COLOR": "1"}
    subprocess.run(["stty", "cols", "60"], stdin=theirs, check=True)
    outputs: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: theirs}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, **outputs)
    os.close(theirs)
    text = os.read(ours, 65536).decode()
    os.close(ours)
    return text
