"""The three first changes of CONTRIBUTING.md: each is one new file and one line, and works."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.conftest import ROOT

_CHANGE = re.compile(
    r"this file, `(?P<file>[\w/.]+)`,\n\n```python\n(?P<code>.*?)```"
    r".*?in `(?P<list>[\w/.]+)`:\n\n```diff\n(?P<diff>.*?)```",
    re.DOTALL,
)
# What a newcomer would try, by the name of the new file.
TRIALS = {
    "size.py": """
from snapshot_tasks.cli.namespace import build_namespace
assert "size" in build_namespace().collections["snapshot"].tasks
""",
    "metadata.py": """
from types import SimpleNamespace
from snapshot_tasks.checks.restored import RESTORED_CHECKS
[check] = [check for check, _ in RESTORED_CHECKS if check.__name__ == "check_metadata"]
def state(value): return SimpleNamespace(config={"metadata": value})
for now, status in (("a", "OK"), ("b", "FAIL")):
    expected = SimpleNamespace(state=state("a"))
    [finding] = check(SimpleNamespace(expected=expected, actual=state(now)))
    assert finding.status == status, finding
""",
    "memory.py": """
from snapshot_tasks.storage.stores import examples, open_store
store = open_store("mem://trial", {})
store.write("a/b", b"xyz")
assert [stored.name for stored in store.list("a")] == ["a/b"]
assert b"".join(store.read("a/b", offset=1)) == b"yz"
assert "mem://name" in examples()
""",
}


def changes() -> list[dict[str, str]]:
    """Return the changes that the page shows."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return [match.groupdict() for match in _CHANGE.finditer(text)]


def added(diff: str) -> Iterator[tuple[str, str, bool]]:
    """Yield each added line with the line it follows, or replaces."""
    lines = diff.splitlines()
    for before, line in pairwise(lines):
        if line.startswith("+"):
            yield before[1:], line[1:], before.startswith("-")


def apply(text: str, diff: str) -> str:
    """Return a text with the lines of a diff; what they follow must be there once."""
    for before, line, replaces in added(diff):
        assert text.count(f"{before}\n") == 1, before
        text = text.replace(f"{before}\n", f"{line}\n" if replaces else f"{before}\n{line}\n")
    return text


def test_the_page_has_three_changes() -> None:
    """A task, a check and a store; each list gets one line, beside its import."""
    assert [Path(change["file"]).name for change in changes()] == list(TRIALS)
    for change in changes():
        lines = [line for _, line, _ in added(change["diff"])]
        assert len([line for line in lines if not line.startswith("from ")]) == 1


@pytest.mark.parametrize("change", changes(), ids=lambda change: Path(change["file"]).stem)
def test_a_first_change_works(change: dict[str, str], tmp_path: Path) -> None:
    """The new file and the line are all that it takes."""
    shutil.copytree(
        ROOT / "snapshot_tasks",
        tmp_path / "snapshot_tasks",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    new, listed = tmp_path / change["file"], tmp_path / change["list"]
    assert not new.exists()
    new.write_text(change["code"], encoding="utf-8")
    listed.write_text(apply(listed.read_text(encoding="utf-8"), change["diff"]), encoding="utf-8")
    ruff = ("ruff", "check", "--config", str(ROOT / "pyproject.toml"), str(new), str(listed))
    for program in (("-m", *ruff), ("-c", TRIALS[new.name])):
        done = subprocess.run(
            [sys.executable, *program], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
