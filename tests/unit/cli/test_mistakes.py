"""Plain `inv` and `./inv` answer a mistyped word in our two lines, and other tasks in Invoke's."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.inv import Inv
from tests.support.launcher import give_launcher

# Someone else's project, which has tasks of its own.
FOREIGN = """
from invoke import Collection, task
from snapshot_tasks import namespace as backups

@task
def build(c, fast=False):
    '''Build it.'''

namespace = Collection(build)
namespace.add_collection(backups, "qdrant")
"""


@pytest.fixture
def inv(tmp_path: Path) -> Inv:
    """Plain `inv` in a project whose tasks have a prefix."""
    (tmp_path / "tasks.py").write_text(FOREIGN)
    path = os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))
    return Inv(root=tmp_path, environment={"PYTHONPATH": path, "QDRANT_ENGINE": "external"})


@pytest.mark.parametrize(
    ("words", "error", "fix"),
    [
        (
            ("qdrant.snapshot.crate",),
            "There is no task qdrant.snapshot.crate.",
            "Did you mean qdrant.snapshot.create",
        ),
        (("create",), "There is no task create.", "Did you mean qdrant.snapshot.create"),
        (
            ("qdrant.snapshot",),
            "There is no task qdrant.snapshot.",
            "It is a group of tasks; `inv --list qdrant.snapshot` shows them.",
        ),
        (
            ("qdrant.snapshot.create", "my documents"),
            "There is no task my documents.",
            "If it is a collection, use `--collection 'my documents'`; `inv --list` shows all",
        ),
        (
            ("qdrant.snapshot.verify", "docs_latest.snapshot"),
            "There is no task docs_latest.snapshot.",
            "If it is a snapshot, use `--snapshot docs_latest.snapshot`;",
        ),
        (("--help", "qdrant.doctr"), "There is no task qdrant.doctr.", "mean qdrant.doctor"),
        (("--list", "qdrnt"), "There is no group of tasks qdrnt.", "Did you mean qdrant?"),
        (
            ("qdrant.snapshot.list", "--josn"),
            "qdrant.snapshot.list has no flag --josn.",
            "Did you mean --json? `inv qdrant.snapshot.list --help` explains each flag.",
        ),
        (
            ("qdrant.snapshot.list", "--json=3"),
            "--json takes no value.",
            "Write only --json.",
        ),
        (
            ("qdrant.snapshot.show", "--snapshot", "a", "--snapshot", "b"),
            "--snapshot was given twice.",
            "Give it once.",
        ),
        (
            ("qdrant.snapshot.restore", "-c", "a", "-c=b"),
            "--collection was given twice.",
            "Give it once.",
        ),
        (
            ("--snapshot", "a b", "--dry", "qdrant.snapshot.restore", "--replace"),
            "--snapshot is before the name of its task.",
            "Use `inv qdrant.snapshot.restore --snapshot 'a b' --dry --replace`.",
        ),
        (
            ("--dry", "--yes", "qdrant.snapshot.prune"),
            "--yes is before the name of its task.",
            "Use `inv qdrant.snapshot.prune --dry --yes`.",
        ),
        (
            ("--label", "build"),
            "--label is before the name of its task.",
            "Name the task first; `inv --list` shows all tasks.",
        ),
    ],
)
def test_plain_inv_answers_in_two_lines(
    inv: Inv, words: tuple[str, ...], error: str, fix: str
) -> None:
    """What is wrong, then what to do, with the names that the tasks have here, and 1."""
    ran = inv(*words)
    assert (ran.code, ran.stdout) == (1, ""), ran.stderr
    first, second = ran.stderr.splitlines()
    assert first == f"error: {error}"
    assert second.startswith("  fix: ")
    assert fix in second


def test_a_mistake_is_one_document(inv: Inv) -> None:
    """With `--json` anywhere on the line, as for any other error."""
    ran = inv.process("--json", "qdrant.snapshot.list")
    assert (ran.code, ran.document["exit_code"]) == (1, 1)
    assert ran.document["task"] == "snapshot.list"
    assert ran.document["error"]["hint"] == "Use `inv qdrant.snapshot.list --json`."


@pytest.mark.parametrize("words", [("buildx",), ("build", "--fats"), ("build", "qdrant.doctr")])
def test_other_tasks_keep_the_words_of_invoke(inv: Inv, words: tuple[str, ...]) -> None:
    """The program is not ours, and neither are all of its tasks."""
    ran = inv(*words)
    assert ran.code == 1
    assert ran.stderr == f"No idea what {words[-1]!r} is!\n"


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        (("--collection=foo", "qdrant.snapshot.create"), "create --collection=foo"),
        (("-c", "build", "--dry", "qdrant.snapshot.prune"), "prune -c build --dry"),
        (("--dry", "-cbuild", "qdrant.snapshot.prune"), "prune --dry -cbuild"),
    ],
)
def test_the_launcher_takes_no_collection_before_the_task(
    inv: Inv, words: tuple[str, ...], fix: str
) -> None:
    """A collection may also be named as a task is; that task is not run."""
    launched = {"SNAPSHOT_TASKS_LAUNCHER": f"{os.getpid()} ./inv"}
    ran = inv(f"--search-root={inv.root}", "--collection=tasks", *words, **launched)
    flag = "-c" if "build" in fix else "--collection"
    assert ran.code == 1
    assert ran.stderr.splitlines() == [
        f"error: {flag} is before the name of its task.",
        f"  fix: Use `./inv qdrant.snapshot.{fix}`.",
    ]


def test_the_real_launcher_leaves_the_collection_to_us(tmp_path: Path) -> None:
    """Invoke itself would look for another file of tasks, and find none."""
    give_launcher(tmp_path)
    ran = launched(tmp_path, "--collection", "foo", "snapshot.create", "--json")
    assert ran["error"]["hint"] == (
        f"Use `{tmp_path / 'inv'} snapshot.create --collection foo --json`."
    )


def test_the_launcher_finds_another_project(tmp_path: Path) -> None:
    """Its remedies and its schedule name that project, too, from wherever they are run."""
    home, other = tmp_path / "home", tmp_path / "other"
    for folder in (home, other):
        folder.mkdir()
    give_launcher(home)
    (other / "tasks.py").write_text("from snapshot_tasks import namespace\n")
    create = f"{home / 'inv'} --search-root {other} snapshot.create"
    listed = launched(home, "-r", "other", "snapshot.list", "--json")
    assert str(other) in listed["error"]["message"]
    assert f"`{create}`" in listed["error"]["hint"]
    scheduled = launched(home, f"--search-root={other}", "snapshot.schedule", "--json")
    assert create in str(scheduled["result"])


def launched(home: Path, *words: str) -> dict[str, dict[str, str]]:
    """Run the real launcher of a folder from the one above, and return its document."""
    ran = subprocess.run(
        [home / "inv", *words],
        cwd=home.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    document: dict[str, dict[str, str]] = json.loads(ran.stdout)
    return document
