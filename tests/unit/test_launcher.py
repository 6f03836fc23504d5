"""The launcher starts Invoke at once in a fresh .venv, and recreates a stale one."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT

REQUIREMENTS = b"invoke==3.0.3\n"
TOOLS = ("cat", "dirname", "flock", "mkdir", "readlink", "rm", "sh", "sha256sum", "chmod", "cp")
# Stands for every Python: it records how it was called, and makes a .venv of itself.
PYTHON = """#!/bin/sh
case "$*" in
"-c import sys"*) exit {old} ;;
"-m venv"*)
    echo "venv $*" >>"{log}"
    [ "$FAIL_AT" = venv ] && exit 1
    rm -rf "$4" && mkdir -p "$4/bin" && cp "$0" "$4/bin/python"
    ;;
"-m pip"*)
    echo "pip $*" >>"{log}"
    [ "$FAIL_AT" = pip ] && exit 1
    exit 0
    ;;
*)
    echo "invoke" >>"{log}"
    for argument; do echo "$argument"; done
    ;;
esac
"""


@dataclass
class Launcher:
    """A copy of the launcher in a project of its own; its Python only records."""

    root: Path
    bin: Path

    @property
    def python(self) -> Path:
        """The interpreter of the project's .venv."""
        return self.root / ".venv" / "bin" / "python"

    @property
    def stamp(self) -> Path:
        """What says which requirements .venv was made from."""
        return self.root / ".venv" / ".requirements.sha256"

    def provide(self, name: str, *, old: bool = False) -> None:
        """Put a Python of that name on the PATH."""
        text = PYTHON.format(log=self.root / "log", old=int(old))
        (self.bin / name).write_text(text, encoding="utf-8")
        (self.bin / name).chmod(0o755)

    def __call__(
        self, *arguments: str, fail_at: str = "", by: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Start it, in a folder that is not the project's."""
        return subprocess.run(
            [by or self.root / "inv", *arguments],
            cwd=self.bin,
            env={"PATH": str(self.bin), "FAIL_AT": fail_at},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )

    def steps(self) -> list[str]:
        """Return what was run since the last time, by its kind."""
        log = self.root / "log"
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [line.split()[0] for line in lines]


@pytest.fixture
def launcher(tmp_path: Path) -> Launcher:
    """A launcher in a project without a .venv, on a machine with one new enough Python."""
    made = Launcher(root=tmp_path / "a project", bin=tmp_path / "bin")
    made.root.mkdir()
    made.bin.mkdir()
    shutil.copy(ROOT / "inv", made.root / "inv")
    (made.root / "requirements.txt").write_bytes(REQUIREMENTS)
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None
        (made.bin / tool).symlink_to(found)
    made.provide("python3")
    return made


@pytest.fixture
def fresh(launcher: Launcher) -> Launcher:
    """A launcher whose .venv is made."""
    assert launcher().returncode == 0
    launcher.steps()
    return launcher


def test_a_missing_venv_is_made_once(launcher: Launcher) -> None:
    """The first start sets up and goes on with the task; the second one only runs it."""
    first = launcher("test")
    assert (first.returncode, launcher.steps()) == (0, ["venv", "pip", "invoke"])
    assert "setting up .venv (once)" in first.stderr
    assert hashlib.sha256(REQUIREMENTS).hexdigest() in launcher.stamp.read_text(encoding="utf-8")
    second = launcher("test")
    assert (second.returncode, launcher.steps(), second.stderr) == (0, ["invoke"], "")


def test_every_argument_arrives_as_it_is(fresh: Launcher) -> None:
    """Spaces and stars reach the task, and stdout is the task's alone."""
    done = fresh("snapshot.create", "--label", "a  b", "*", "")
    root = str(fresh.root)
    assert done.stdout.splitlines() == [
        *("-m", "invoke", f"--search-root={root}", "--collection=tasks"),
        *("snapshot.create", "--label", "a  b", "*", ""),
    ]


def test_other_requirements_make_it_stale(fresh: Launcher) -> None:
    """Changed requirements have .venv made anew, once."""
    (fresh.root / "requirements.txt").write_bytes(b"invoke==3.0.4\n")
    fresh("test")
    assert fresh.steps() == ["venv", "pip", "invoke"]
    fresh("test")
    assert fresh.steps() == ["invoke"]


@pytest.mark.parametrize("lack", ["stamp", "python", "executable", "dangling", "cut"])
def test_a_half_made_venv_is_stale(fresh: Launcher, lack: str) -> None:
    """Without a whole stamp or an interpreter that can run, it is made anew."""
    if lack == "cut":
        fresh.stamp.write_text("", encoding="utf-8")
    elif lack == "executable":
        fresh.python.chmod(0o644)
    else:
        (fresh.stamp if lack == "stamp" else fresh.python).unlink()
    if lack == "dangling":
        fresh.python.symlink_to(fresh.root / "gone" / "python3")
    assert fresh("test").returncode == 0
    assert fresh.steps() == ["venv", "pip", "invoke"]


@pytest.mark.parametrize(("step", "ran"), [("venv", ["venv"]), ("pip", ["venv", "pip"])])
def test_a_failing_step_is_told_and_tried_again(
    launcher: Launcher, step: str, ran: list[str]
) -> None:
    """What could not be set up comes with its remedy, never runs the task, and leaves no stamp."""
    failed = launcher("test", fail_at=step)
    assert (failed.returncode, failed.stdout, launcher.steps()) == (1, "", ran)
    assert "error: " in failed.stderr
    assert "  fix: " in failed.stderr
    assert not launcher.stamp.exists()
    assert launcher("test").returncode == 0
    assert launcher.steps() == ["venv", "pip", "invoke"]


def test_it_runs_through_a_link(fresh: Launcher, tmp_path: Path) -> None:
    """From wherever it is linked, it is still the project's own .venv."""
    link = tmp_path / "linked"
    link.symlink_to(fresh.root / "inv")
    assert f"={fresh.root}\n" in fresh("test", by=link).stdout
    assert fresh.steps() == ["invoke"]


def test_an_old_python_is_passed_over(launcher: Launcher) -> None:
    """Where python3 is too old, a newer one beside it is taken."""
    launcher.provide("python3", old=True)
    launcher.provide("python3.12")
    assert launcher("test").returncode == 0
    assert launcher.steps() == ["venv", "pip", "invoke"]


@pytest.mark.parametrize("there", [True, False])
def test_without_a_python_it_says_what_it_needs(launcher: Launcher, there: bool) -> None:
    """Where every Python is too old or missing, the error names the one that is needed."""
    launcher.provide("python3", old=True)
    if not there:
        (launcher.bin / "python3").unlink()
    done = launcher("test")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Python 3.11 or newer" in done.stderr
    assert "  fix: " in done.stderr


def test_it_works_without_flock(launcher: Launcher) -> None:
    """Some systems have no `flock`; the first start works there too."""
    (launcher.bin / "flock").unlink()
    assert launcher("test").returncode == 0
    assert launcher.steps() == ["venv", "pip", "invoke"]
