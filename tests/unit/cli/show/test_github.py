"""What GitHub Actions sees: the exact text, and no name that could become a command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.cli.show.checked import Checked, checked_drill, not_checked
from snapshot_tasks.cli.show.findings import render_findings
from snapshot_tasks.cli.show.github import (
    MAX_SUMMARY_BYTES,
    as_markdown,
    tell_github,
    workflow_commands,
)
from snapshot_tasks.cli.show.snapshots import render_snapshots
from snapshot_tasks.system.errors import BudgetMissed, ContentsDiffer, NotFound
from snapshot_tasks.system.progress import Silent
from tests.support.manifests import TAKEN_AT, catalogued
from tests.support.reports import FAIL, OK, WARN, make_report

TASK = "snapshot.test-restore"
Captured = pytest.CaptureFixture[str]

SUMMARY = """\
## snapshot.test-restore

### ✅ <code>books&#95;20250101&#95;120000.snapshot</code> proven: restores in 2.2 s

| | check | found |
|---|---|---|
| OK | count | 1,234 points, exactly |
| WARN | config | a new key |

Times: start 1.0 s, restore 2.5 s

### ❌ <code>books&#95;20250101&#95;120000.snapshot</code> not proven

| | check | found |
|---|---|---|
| OK | count | 1,234 points, exactly |
| WARN | config | a new key |
| FAIL | aliases | missing&#58; library (Mend it.) |

Times: start 1.0 s, restore 2.5 s
""".replace("proven:", "proven&#58;")


class Noted(Silent):
    """Progress that keeps its notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        """Keep it."""
        self.notes.append(message)


@pytest.fixture
def good(catalog: Catalog) -> Checked:
    """A restore test that passed."""
    return checked_drill(make_report(catalogued(catalog)))


@pytest.fixture
def bad(good: Checked) -> Checked:
    """The same, failed."""
    error = ContentsDiffer("It differs.", hint="Mend it.")
    return replace(good, findings=(OK, WARN, FAIL), verdict="not proven", error=error)


def test_the_summary_is_exactly_this(good: Checked, bad: Checked) -> None:
    """Proven or not, with each finding, the remedies and the times."""
    assert as_markdown(TASK, [good, bad]) == SUMMARY


def test_it_is_appended_where_github_wants_it(
    good: Checked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """The text of an earlier task of the step stays; without GITHUB_ACTIONS nothing is printed."""
    path = tmp_path / "summary.md"
    path.write_text("# Before\n", encoding="utf-8")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    tell_github(Silent(), TASK, [good])
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# Before\n## snapshot.test-restore\n")
    assert "restores in 2.2 s" in text
    assert capsys.readouterr() == ("", "")


def test_elsewhere_nothing_is_told(bad: Checked, capsys: Captured) -> None:
    """No workflow command is printed on a user's terminal."""
    tell_github(Silent(), TASK, [bad])
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("path", ["missing/summary.md", "."])
def test_a_summary_that_cannot_be_written_is_a_note(
    good: Checked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """A proven snapshot stays proven, whatever happens to GitHub's file."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / path))
    noted = Noted()
    tell_github(noted, TASK, [good])
    assert [note.startswith("Could not write the step summary") for note in noted.notes] == [True]


def test_each_failure_is_annotated_on_stderr(
    good: Checked, bad: Checked, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """GitHub shows them at the top of the run; stdout may be a JSON document and is not touched."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    tell_github(Silent(), TASK, [replace(good, findings=(OK,)), bad])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "::error title=snapshot.test-restore%3A aliases::"
        "books_20250101_120000.snapshot: missing: library Mend it.\n"
        "::warning title=snapshot.test-restore%3A config::"
        "books_20250101_120000.snapshot: a new key\n"
    )


def test_what_no_finding_tells_is_told_by_its_error(good: Checked) -> None:
    """A missed budget, and a snapshot that could not be tested at all."""
    slow = replace(good, findings=(OK,), error=BudgetMissed("Took 9 s, 5% more.", hint="Wait."))
    absent = not_checked("a.snapshot", NotFound("No engine.", hint="Get one."), TAKEN_AT)
    assert list(workflow_commands(TASK, [slow, absent])) == [
        f"::error title=snapshot.test-restore%3A budget::{good.name}: Took 9 s, 5%25 more. Wait.",
        "::error title=snapshot.test-restore%3A not_found::a.snapshot: No engine. Get one.",
    ]
    assert "| FAIL | not&#95;found | No engine. (Get one.) |" in as_markdown(TASK, [absent])


def test_no_name_can_give_a_command(good: Checked) -> None:
    """Line breaks and the special characters of commands are escaped as GitHub documents it."""
    name = "x\r\n::add-mask::y\n::error::z\u2028w\x1b[0m%0A"
    hostile = replace(FAIL, check="a,b::c\nd", message=name, remedy="")
    (line,) = workflow_commands(TASK, [replace(good, findings=(hostile,), name=name)])
    assert "\n" not in line
    assert "\r" not in line
    assert line.startswith("::error title=snapshot.test-restore%3A a%2Cb%3A%3Ac%0Ad::x%0A")
    assert line.count("%0A::error") == 2
    assert r"\x1b[0m%250A" in line


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[click](https://evil.example)",
        "https://evil.example www.evil.example",
        "a | b\n| c\n# d",
        "`code` **bold** _it_ ~~no~~ $x$ @someone #12",
        "\u202egnp.exe",
    ],
)
def test_no_name_becomes_markup(good: Checked, name: str) -> None:
    """Names are shown as text in the summary: no HTML, link, mention, heading or extra cell."""
    plain = replace(OK, check="x", message="y")
    hostile = replace(OK, check=name, message=name)
    text = as_markdown(TASK, [replace(good, name=name, verdict=name, findings=(hostile,))])
    calm = as_markdown(TASK, [replace(good, name="n", verdict="v", findings=(plain,))])
    for sign in "<>[]|`*_~$@\n\u202e":
        assert text.count(sign) == calm.count(sign), sign
    assert "://" not in text
    assert "www.e" not in text


def test_a_summary_stays_within_githubs_size(bad: Checked) -> None:
    """GitHub discards a larger summary completely, so the rest is only counted."""
    long = replace(bad, findings=[replace(FAIL, message="x" * 900)] * 100)
    text = as_markdown(TASK, [long] * 30)
    assert len(text.encode()) < MAX_SUMMARY_BYTES + 100
    assert text.endswith("more are not shown here.\n")


def test_what_is_printed_in_actions_gives_no_command(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """A file name at the start of a line, or wrapped in a table, is not a runner's command."""
    catalogued(catalog, collection="a" * 60 + "::error::b" * 9)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    render_findings([replace(OK, message="##[error]x")], title="::add-mask::x_1.snapshot")
    render_snapshots(catalog.entries(), TAKEN_AT)
    out = capsys.readouterr().out
    assert "::" not in out
    assert "##[" not in out
    assert r"\x3a:add-mask\x3a:x_1.snapshot" in out
