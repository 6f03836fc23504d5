"""What the tests rely on: calls in process, separate ports, and which tests run where."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.conftest import ROOT, Inv
from tests.support import planning
from tests.support.planning import ALONE, SHARED, Plan, chain_of, measured
from tests.support.ports import BLOCK, free_ports


def _state() -> tuple[object, ...]:
    streams = (sys.stdin, sys.stdout, sys.stderr)
    return Path.cwd(), dict(os.environ), list(sys.path), sys.argv, tempfile.tempdir, streams


@pytest.mark.parametrize("words", [("--list",), ("snapshot.list",), ("no-task",)])
def test_a_call_in_process_leaves_nothing(inv: Inv, tmp_path: Path, words: tuple[str]) -> None:
    """Folder, environment, paths and streams are the same as before, whatever the call did."""
    before = _state()
    inv(*words, TMPDIR=str(tmp_path), QDRANT_URL="http://nowhere.example")
    assert _state() == before
    assert "tasks" not in sys.modules


def test_what_a_child_prints_is_caught(inv: Inv) -> None:
    """A program that a task runs writes to the same streams as the task."""
    text = (
        "import subprocess, sys\nfrom invoke.tasks import task\n"
        "@task\ndef both(context):\n    print('ours')\n    sys.stdout.flush()\n"
        "    subprocess.run(['sh', '-c', 'echo child; echo trouble >&2; exit 3'])\n"
        "    sys.exit(7)\n"
    )
    (inv.root / "tasks.py").write_text(text, encoding="utf-8")
    ran = inv("both")
    assert (ran.code, ran.stdout, ran.stderr) == (7, "ours\nchild\n", "trouble\n")


def test_two_workers_share_no_port() -> None:
    """Each keeps its own block until it ends."""
    mine = free_ports(3)
    ask = "from tests.support.ports import free_ports; print(*free_ports(3))"
    other = subprocess.run(
        [sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=True
    )
    theirs = [int(port) for port in other.stdout.split()]
    assert len({port // BLOCK for port in mine} | {port // BLOCK for port in theirs}) == 2


def test_chains() -> None:
    """A file is a chain, several files may share one, and a long test may be its own chain."""
    assert chain_of("tests/unit/test_x.py::test_y[1]") == "tests/unit/test_x.py"
    assert len({chain_of(f"{file}::test_y") for file in SHARED}) == 1
    assert chain_of(f"{ALONE[0]}::test_y") == f"{ALONE[0]}::test_y"


def test_what_is_planned_for_exists() -> None:
    """A file that was renamed must be planned for under its new name."""
    files = [*SHARED, *ALONE, *(name.partition("::")[0] for name in measured())]
    assert [f for f in files if f not in SHARED.values() and not (ROOT / f).exists()] == []


def test_parts_together_are_everything(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every chain is in exactly one part, and the parts take about the same time."""
    monkeypatch.setattr(planning, "measured", lambda: {"a": 9.0, "b": 5.0, "c": 4.0, "d": 1.0})
    plan = Plan(request.config)
    first, second = plan._part("abcd", "1/2"), plan._part("abcd", "2/2")
    assert sorted([*first, *second]) == ["a", "b", "c", "d"]
    assert sorted(first) == ["a", "d"]


def test_what_was_never_measured_starts_early(request: pytest.FixtureRequest) -> None:
    """A new file with servers may be long; one of unit tests is short."""
    plan = Plan(request.config)
    assert plan._seconds("tests/integration/test_new.py") >= 60
    assert plan._seconds("tests/unit/test_new.py") <= 1
