"""`-c` names the collection, an empty name never means the default, wrong values are refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import snapshot_tasks
from snapshot_tasks.cli.namespace import build_namespace
from tests.support.inv import Inv, Ran

PACKAGE = Path(snapshot_tasks.__file__).parent
FOREIGN = "from snapshot_tasks import namespace\n"
EMPTY = (
    ("--collection=",),
    ("--collection", ""),
    ("-c", ""),
    ("--collection", " "),
)


@pytest.fixture
def inv(tmp_path: Path) -> Inv:
    """Someone else's project, with a tasks.py of its own."""
    (tmp_path / "tasks.py").write_text(FOREIGN)
    (tmp_path / "other.py").write_text(FOREIGN)
    path = os.pathsep.join((str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")))
    return Inv(root=tmp_path, environment={"PYTHONPATH": path, "QDRANT_ENGINE": "external"})


def with_collection() -> list[str]:
    """Return the name of each task that has `--collection`."""
    root = build_namespace()
    return [
        name
        for name in sorted(root.task_names)
        if any(flag.names[0] == "collection" for flag in root[name].get_arguments())
    ]


@pytest.mark.parametrize("name", with_collection())
def test_every_task_with_a_collection_takes_it_by_its_short_flag(name: str) -> None:
    """Otherwise, Invoke takes `-c` for the name of a tasks.py."""
    flags = {flag.names[0]: flag for flag in build_namespace()[name].get_arguments()}
    assert flags["collection"].nicknames == ("c",)


@pytest.mark.parametrize("words", [("-c", "chat"), ("-cchat",), ("-c=chat",), ("-c", "demo")])
def test_the_short_flag_selects_the_collection(inv: Inv, words: tuple[str, ...]) -> None:
    """Also in the forms that Invoke splits, and for a name that a task has, too."""
    name = "demo" if "demo" in words else "chat"
    ran = inv("--dry", "snapshot.create", *words, "--json")
    assert ran.code == 0, ran.stderr
    assert f"take a snapshot of {name} " in ran.document["result"]["would"][0]


def test_plain_inv_does_the_same_as_a_process(inv: Inv) -> None:
    """And before the task, `-c` keeps its meaning: another file of tasks."""
    ran = inv.process("-c", "other", "--dry", "snapshot.create", "-c", "chat", "--json")
    assert ran.code == 0, ran.stderr
    assert "take a snapshot of chat " in ran.document["result"]["would"][0]


def test_the_program_does_the_same(tmp_path: Path) -> None:
    """`qdrant-snapshots` has no `-c` of its own."""
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "snapshot_tasks",
            "--dry",
            "snapshot.create",
            "-c",
            "chat",
            "--json",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "take a snapshot of chat " in json.loads(ran.stdout)["result"]["would"][0]


def test_the_launcher_does_the_same(tmp_path: Path) -> None:
    """`./inv` hands all words on as they are."""
    for name in ("inv", "tasks.py", "requirements.txt"):
        shutil.copy(PACKAGE.parent / name, tmp_path)
    (tmp_path / "tasks.py").write_text(FOREIGN)
    script = (tmp_path / "inv").read_text().replace("$here/.venv/bin/python", sys.executable)
    (tmp_path / "inv").write_text(script.replace("if ! is_fresh; then", "if false; then"))
    ran = subprocess.run(
        [tmp_path / "inv", "--dry", "snapshot.create", "-c", "chat", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "take a snapshot of chat " in json.loads(ran.stdout)["result"]["would"][0]


@pytest.mark.parametrize("words", EMPTY)
@pytest.mark.parametrize("name", with_collection())
def test_an_empty_collection_is_refused(inv: Inv, name: str, words: tuple[str, ...]) -> None:
    """A script with an unset variable must not act on the default collection."""
    ran = inv(name, *words, "--json")
    assert ran.code == 14
    assert ran.document["error"]["message"] == "--collection is empty."


def test_one_empty_collection_of_several_is_refused(inv: Inv) -> None:
    """The others are not worked on."""
    ran = inv("snapshot.create", "-c", "a", "-c", "", "--json")
    assert ran.code == 14
    assert ran.document["error"]["message"] == "--collection is empty."


@pytest.mark.parametrize("words", [("snapshot.push", "--to="), ("snapshot.prune", "--from", "")])
def test_an_empty_place_is_refused(inv: Inv, words: tuple[str, ...]) -> None:
    """It must not mean the place in the settings."""
    ran = inv(*words, "--json")
    assert ran.code == 14
    assert ran.document["error"]["message"] == f"{words[1].rstrip('=')} is empty."


@pytest.mark.parametrize("name", ["snapshot.create", "snapshot.prune", "snapshot.check"])
@pytest.mark.parametrize("words", [("--collection",), ("--collection", "--all"), ("-c", "--json")])
def test_a_collection_without_a_value_is_refused(
    inv: Inv, name: str, words: tuple[str, ...]
) -> None:
    """Invoke takes a list flag without a value for one that is not there."""
    ran = inv("--dry", name, *words)
    assert ran.code == 14
    assert (not ran.stdout) is ("--json" not in words)
    assert ran.stderr.splitlines() == [
        "error: --collection needs a value.",
        f"  fix: `inv {name} --help` explains each flag.",
    ]


@pytest.mark.parametrize(
    ("words", "what", "fix", "code"),
    [
        (("snapshot.prune", "--keep-last", "-1"), "--keep-last '-1'", "a whole number, 0 or", 1),
        (("snapshot.prune", "--max-age", "1y"), "--max-age '1y'", "a duration such as", 1),
        (("snapshot.check", "--max-age", "soon"), "--max-age 'soon'", "a duration such as", 1),
        (("snapshot.restore", "--timeout", "1m"), "--timeout '1m'", "a number of seconds", 1),
        (("snapshot.verify", "--remote", "--sample", "0.1"), "--sample '0.1'", "such as 10%", 1),
        (("snapshot.schedule", "--every", "7x"), "--every '7x'", "a duration such as", 1),
        (("snapshot.schedule", "--at", "25:99"), "--at '25:99'", "a time of day such as 02:15", 14),
        (("snapshot.schedule", "--format", "crn"), "--format 'crn'", "Did you mean cron?", 14),
        (("snapshot.verify", "--level", "byte"), "--level 'byte'", "Did you mean bytes?", 14),
        (
            ("snapshot.test-restore", "--engine-version", "x"),
            "--engine-version 'x'",
            "such as 1.",
            14,
        ),
        (
            ("engine.install", "--version", "newest"),
            "--version 'newest'",
            "a version such as 1.",
            14,
        ),
        (("stack.logs", "--tail", "all"), "--tail 'all'", "a whole number, 0 or greater", 1),
    ],
)
def test_a_wrong_value_is_refused_with_its_flag(
    inv: Inv, words: tuple[str, ...], what: str, fix: str, code: int
) -> None:
    """Two lines: the flag and its value, then the nearest or what is allowed.

    What Invoke cannot parse ends with 1; what only the task can judge is a wrong setting.
    """
    assert_mistake(inv(*words), f"{what} is not valid.", fix, code=code)
    ran = inv(*words, "--json")
    assert ran.document["error"]["message"] == f"{what} is not valid."
    assert (ran.document["task"], ran.document["exit_code"]) == (words[0], code)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("snapshot.create", "--all", "-c", "a"), "--all and --collection"),
        (("snapshot.check", "--all", "-c", "a"), "--all and --collection"),
        (("snapshot.prune", "--all", "-c", "a"), "--all and --collection"),
        (("snapshot.pull", "--all", "-c", "a"), "--all and --collection"),
        (("snapshot.push", "--all", "--snapshot", "a"), "--all and --snapshot"),
        (("snapshot.verify", "--all", "--snapshot", "a"), "--all and --snapshot"),
        (("snapshot.restore", "--all", "--as", "a"), "--all and --as"),
        (("snapshot.restore", "--replace", "--if-missing"), "--replace and --if-missing"),
        (("snapshot.test-restore", "--all", "--create"), "--all and --create"),
        (
            ("snapshot.test-restore", "--in-place", "--engine-version", "1.17.0"),
            "--in-place and --engine-version",
        ),
    ],
)
def test_flags_that_conflict_are_refused(inv: Inv, words: tuple[str, ...], what: str) -> None:
    """Those that were given, in the same two lines for every task."""
    assert_mistake(inv(*words), f"{what} cannot be combined.", "Use only one of them.")


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        (("snapshot.restore", "-c", "other"), "`inv snapshot.create --collection other`"),
        (("snapshot.verify", "--collection=other"), "`inv snapshot.create --collection other`"),
        (("snapshot.check", "-c", "other"), "`inv snapshot.create --collection other`"),
        (("snapshot.restore",), "`inv snapshot.create`"),
    ],
)
def test_a_remedy_keeps_the_collection(inv: Inv, words: tuple[str, ...], fix: str) -> None:
    """It is about the collection that was asked for, by `--collection` after the task's name."""
    (inv.root / "qdrant_snapshots").mkdir()
    ran = inv(*words, QDRANT_URL="http://127.0.0.1:1")
    assert fix in ran.stderr
    assert "inv -c" not in ran.stderr
    assert fix in inv(*words, "--json", QDRANT_URL="http://127.0.0.1:1").document["error"]["hint"]


def assert_mistake(ran: Ran, what: str, fix: str, *, code: int = 14) -> None:
    """Two lines on stderr, the second with this remedy, and nothing on stdout."""
    assert (ran.code, ran.stdout) == (code, ""), ran.stderr
    first, second = ran.stderr.splitlines()
    assert first == f"error: {what}"
    assert fix in second
