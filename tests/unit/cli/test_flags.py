"""`-c` names the collection, and an empty name never means the default one."""

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
from tests.support.inv import Inv

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
    assert ran.code == 1
    assert "needed value" in ran.stderr
