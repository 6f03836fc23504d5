"""`qdrant-snapshots` suggests what a mistyped word may have meant, in two lines, with code 1."""

from __future__ import annotations

import sys

import pytest

from snapshot_tasks import __version__
from snapshot_tasks.cli.program import main


def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str
) -> tuple[int, str, str]:
    """Return the exit code of the program for these words, and its output."""
    monkeypatch.setattr(sys, "argv", ["/venv/bin/qdrant-snapshots", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


@pytest.mark.parametrize(
    ("words", "error", "fix"),
    [
        (("snapshot.crate",), "There is no task snapshot.crate.", "Did you mean snapshot.create"),
        (("create",), "There is no task create.", "Did you mean snapshot.create"),
        (("test-restore",), "There is no task test-restore.", "mean snapshot.test-restore"),
        (("--help", "snapshot.lst"), "There is no task snapshot.lst.", "mean snapshot.list"),
        (("snapshot.list", "extra"), "There is no task extra.", "`qdrant-snapshots --list` shows"),
        (("snapshot.list", "--josn"), "snapshot.list has no flag --josn.", "Did you mean --json?"),
        (("snapshot.list", "--lsit"), "snapshot.list has no flag --lsit.", "Did you mean --list"),
        (("--lst",), "There is no flag --lst.", "Did you mean --list"),
        (("zzz",), "There is no task zzz.", "`qdrant-snapshots --list` shows all tasks."),
        (
            ("snapshot.show", "--snapshot"),
            "--snapshot needs a value.",
            "`qdrant-snapshots snapshot.show --help` explains each flag.",
        ),
        (
            ("snapshot.prune", "--keep-last", "x"),
            "--keep-last 'x' is not valid.",
            "Use a whole number, 0 or greater.",
        ),
        (
            ("--collection", "foo", "snapshot.create"),
            "--collection is before the name of its task.",
            "Use `qdrant-snapshots snapshot.create --collection foo`.",
        ),
        (("--hide",), "--hide needs a value.", "`qdrant-snapshots --help` shows all flags."),
        (("x\x1b[31m",), "There is no task x\\x1b[31m.", "--list"),
    ],
)
def test_what_is_mistyped_is_answered(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    error: str,
    fix: str,
) -> None:
    """One error line and one fix line on stderr, nothing on stdout, and exit code 1."""
    code, out, err = run(capsys, monkeypatch, *words)
    first, second = err.splitlines()
    assert (code, out) == (1, "")
    assert first == f"error: {error}"
    assert second.startswith("  fix: ")
    assert fix in second


def test_its_version(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own name and version, not Invoke's."""
    code, out, _ = run(capsys, monkeypatch, "--version")
    assert (code, out) == (0, f"qdrant-snapshots {__version__}\n")


def test_without_arguments_it_lists(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same as `--list`; the development tasks of this project are not among them."""
    _, listed, _ = run(capsys, monkeypatch, "--list")
    code, out, _ = run(capsys, monkeypatch)
    assert (code, out) == (0, listed)
    assert "snapshot.test-restore" in out
    assert "bench" not in out
