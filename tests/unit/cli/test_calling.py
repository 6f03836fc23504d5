"""Texts show each command as this call was made, so that it can be run as it is printed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

import pytest
from invoke.collection import Collection
from invoke.config import Config

from snapshot_tasks import namespace
from snapshot_tasks.cli.calling import LAUNCHER, Call, Calling, named_document, program
from snapshot_tasks.cli.namespace import build_namespace

HINT = "Take one with `inv snapshot.create`, or see ``inv snapshot.show --snapshot 'a`b'``."


@pytest.fixture(autouse=True)
def _in_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test calls from the project's root."""
    monkeypatch.chdir(tmp_path)


def loaded(monkeypatch: pytest.MonkeyPatch, root: Path, ns: Collection) -> Call:
    """Return the call of a task in a tasks.py that Invoke has loaded."""
    module = ModuleType("tasks")
    module.ns = ns  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tasks", module)
    config = Config()
    config.set_project_location(str(root))
    calling = Calling()
    calling.begin(config, root)
    return calling.call


@pytest.mark.parametrize(
    ("argv0", "named"),
    [
        ("/venv/bin/inv", "inv"),
        ("/venv/bin/invoke", "inv"),
        ("/venv/lib/invoke/__main__.py", "inv"),
        ("/venv/bin/qdrant-snapshots", "qdrant-snapshots"),
        ("/venv/lib/snapshot_tasks/__main__.py", "python -m snapshot_tasks"),
    ],
)
def test_the_program_is_the_one_that_was_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv0: str, named: str
) -> None:
    """By its name, in any folder; texts name tasks with it."""
    monkeypatch.setattr(sys, "argv", [argv0])
    assert program(tmp_path) == named
    text = Call(program=program(tmp_path)).named(HINT)
    assert text == HINT.replace("`inv ", f"`{named} ")


@pytest.mark.parametrize("called", ["./inv", "../inv", "/srv/a b/inv"])
def test_the_launcher_is_named_as_it_was_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, called: str
) -> None:
    """Only in its own process: a hook that calls `inv` was not launched by it."""
    monkeypatch.setattr(sys, "argv", ["/venv/lib/invoke/__main__.py"])
    monkeypatch.setenv(LAUNCHER, f"{os.getpid()} {called}")
    assert program(Path(called).resolve().parent) == (f"'{called}'" if " " in called else called)
    assert program(tmp_path / "else").endswith(f" --search-root {tmp_path / 'else'}")
    monkeypatch.setenv(LAUNCHER, f"{os.getppid()} {called}")
    assert program(tmp_path) == "inv"


def test_from_elsewhere_the_root_is_named_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a subfolder, Invoke finds the root by itself; translating a text again changes nothing."""
    below = tmp_path / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    assert program(tmp_path) == "inv"
    call = Call(program=program(tmp_path / "else where"))
    once = call.named(HINT)
    assert f"`inv --search-root '{tmp_path}/else where' snapshot.create`" in once
    assert call.named(once) == once


def test_a_task_is_named_as_the_project_calls_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prefix, nested groups, or another name: whatever the root defines."""
    prefixed = Collection()
    prefixed.add_collection(namespace, "qdrant")
    call = loaded(monkeypatch, tmp_path, prefixed)
    assert call.named("Run `inv doctor`, `inv stack.up --timeout 9`.") == (
        "Run `inv qdrant.doctor`, `inv qdrant.stack.up --timeout 9`."
    )
    assert call.named(call.named(HINT)) == call.named(HINT)
    grouped = Collection()
    grouped.add_collection(namespace.collections["snapshot"], "backup")
    call = loaded(monkeypatch, tmp_path, grouped)
    assert call.named("`inv snapshot.test-restore --all`") == "`inv backup.test-restore --all`"
    assert loaded(monkeypatch, tmp_path, namespace).named(HINT) == HINT


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Run `inv snapshot.create`.", "Run `inv snapshot.create --collection 'a b'`."),
        ("`inv snapshot.restore --replace`", "`inv snapshot.restore --collection 'a b' --replace`"),
        ("`inv snapshot.create --all`", "`inv snapshot.create --all`"),
        ("`inv snapshot.verify --snapshot x`", "`inv snapshot.verify --snapshot x`"),
        ("`inv snapshot.create -c x`", "`inv snapshot.create -c x`"),
        ("`inv snapshot.list`, `inv doctor`", "`inv snapshot.list`, `inv doctor`"),
    ],
)
def test_a_command_names_the_collection_that_was_given(text: str, named: str) -> None:
    """Without it, the command would act on the default one; where all are meant, it stays."""
    call = Call(collection="a b")
    assert call.named(text) == named
    assert call.named(named) == named
    assert Call().named(text) == text


def test_only_texts_of_a_document_are_changed() -> None:
    """A label stays as its owner wrote it, even if it looks like a command."""
    document = {
        "error": {"kind": "not_found", "message": "None.", "hint": "See `inv snapshot.list`."},
        "result": {"findings": [{"check": "x", "remedy": "`inv doctor`", "label": "`inv doctor`"}]},
    }
    from snapshot_tasks.cli import calling

    before = calling.CALLING.call
    calling.CALLING.call = Call(program="qdrant-snapshots")
    try:
        named = named_document(document)
    finally:
        calling.CALLING.call = before
    assert named["error"]["hint"] == "See `qdrant-snapshots snapshot.list`."
    [finding] = named["result"]["findings"]
    assert finding["remedy"] == "`qdrant-snapshots doctor`"
    assert finding["label"] == "`inv doctor`"


def test_adding_the_namespace_does_not_change_it() -> None:
    """Twice in one project, or in two: each name has the same tasks, and it is unchanged."""
    before = sorted(build_namespace().task_names)
    for _ in range(2):
        root = Collection()
        root.add_collection(namespace, "qdrant")
        root.add_collection(namespace, "again")
        root.add_collection(namespace.collections["stack"])
        assert "qdrant.snapshot.list" in root.task_names
        assert "again.snapshot.list" in root.task_names
        assert "stack.up" in root.task_names
    assert sorted(namespace.task_names) == before
    assert not namespace.configuration()


def test_every_text_names_commands_in_one_form() -> None:
    """A command without backticks and `inv` would be shown wrongly in any other call."""
    import ast
    import re

    package = Path(sys.modules["snapshot_tasks"].__file__ or "").parent
    tasks = "|".join(map(re.escape, namespace.task_names))
    wrong = []
    for path in package.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docs = {
            ast.get_docstring(node, clean=False)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found = re.search(rf"(?<!`)(?<!/)\binv ({tasks})\b|\./inv ({tasks})\b", node.value)
                # `code` puts such a start in backticks.
                if found and not node.value.startswith("inv ") and node.value not in docs:
                    wrong.append(f"{path.name}: {node.value}")
    assert wrong == []
