"""Every error is two lines: what happened, and what to do now; each is a sentence."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator

import pytest

from snapshot_tasks.storage import base
from snapshot_tasks.system import errors
from snapshot_tasks.system.untrusted import sentence
from tests.conftest import ROOT

CLASSES = {
    name
    for module in (errors, base)
    for name, one in inspect.getmembers(module, inspect.isclass)
    if issubclass(one, errors.TaskError)
}
# What a message or a hint may end with: a full stop, or a text that has one itself.
ENDS = re.compile(
    r"[.!?]$|\{(sentence\(.*\)|(\w+\.)*(message|hint)|said|explained|[A-Z_]+|_others\(.*\))\}$"
)


def raised() -> Iterator[tuple[str, ast.Call]]:
    """Yield where each error of the code is made."""
    for path in sorted((*ROOT.glob("snapshot_tasks/**/*.py"), *ROOT.glob("tools/**/*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _called(node) in CLASSES:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def _called(node: ast.Call) -> str:
    function = node.func
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")


def _text(node: ast.expr | None) -> str | None:
    """Return a text as it is written, with what is filled in; None for any other expression."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if not isinstance(node, ast.JoinedStr):
        return None
    return "".join(
        str(part.value) if isinstance(part, ast.Constant) else f"{{{ast.unparse(part.value)}}}"
        for part in node.values
        if isinstance(part, ast.FormattedValue | ast.Constant)
    )


def test_every_error_is_two_sentences() -> None:
    """Each has a hint, without line breaks, and nothing ends in the middle."""
    calls, wrong = dict(raised()), []
    for where, call in calls.items():
        hint = next((word.value for word in call.keywords if word.arg == "hint"), None)
        if hint is None:
            wrong.append(f"{where} has no hint")
        for text in filter(None, (_text(call.args[0]), _text(hint))):
            if "\n" in text or not ENDS.search(text):
                wrong.append(f"{where}: {text}")
    assert wrong == []
    assert len(calls) > 200


@pytest.mark.parametrize("text", ["so be it", "so be it.", "so be it!", "so it be?"])
def test_what_another_program_said_last_is_a_sentence(text: str) -> None:
    """It is not known how it ends."""
    assert ENDS.search(sentence(text))
    assert not sentence(text).endswith("..")
