"""Pure values never call the disk or the clock; the import contracts check the rest."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from snapshot_tasks import domain

FILES = sorted(Path(domain.__file__).parent.glob("*.py"))
# Methods of a path, and the clocks of datetime.
ASKING = {
    *("absolute", "chmod", "cwd", "exists", "expanduser", "glob", "hardlink_to", "home", "is_dir"),
    *("is_file", "is_symlink", "iterdir", "link_to", "lstat", "mkdir", "now", "open", "owner"),
    *("read_bytes", "read_text", "readlink", "rename", "resolve", "rglob", "rmdir", "samefile"),
    *("stat", "symlink_to", "today", "touch", "unlink", "utcnow", "walk"),
    *("write_bytes", "write_text"),
}
BUILT_IN = {"open", "print", "input", "exec", "eval", "__import__"}


def calls(source: str) -> list[str]:
    """Return the impure calls of a module."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Attribute) and called.attr in ASKING:
                found.append(f"{node.lineno}: .{called.attr}()")
            if isinstance(called, ast.Name) and called.id in BUILT_IN:
                found.append(f"{node.lineno}: {called.id}()")
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_pure_module_asks_nothing(file: Path) -> None:
    """The result depends only on the arguments."""
    assert calls(file.read_text(encoding="utf-8")) == []


def test_an_impure_module_would_be_found() -> None:
    """The rule fails for impure calls."""
    assert calls("path.read_text()\nopen('x')\ndatetime.now(UTC)\npath.with_name('y')") == [
        "1: .read_text()",
        "2: open()",
        "3: .now()",
    ]
