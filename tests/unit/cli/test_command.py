"""Every task ends in the same way: a result or an error, its exit code, and one JSON document."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from invoke.collection import Collection
from invoke.program import Program

from snapshot_tasks.cli import namespace  # noqa: F401 - answers mistakes
from snapshot_tasks.cli.command import Count, Outcome, Run, Seconds, command
from snapshot_tasks.operations.batch import for_each
from snapshot_tasks.system import errors
from snapshot_tasks.system.errors import Damaged, Refused, TaskError

ERRORS = {
    errors.TaskError: 1,
    errors.Unforeseen: 1,
    errors.Unparsable: 1,
    errors.NotFound: 10,
    errors.Locked: 11,
    errors.CredentialsRefused: 12,
    errors.Unreachable: 13,
    errors.SettingsError: 14,
    errors.StorageError: 15,
    errors.Damaged: 20,
    errors.ContentsDiffer: 21,
    errors.RestoreIncomplete: 22,
    errors.BudgetMissed: 23,
    errors.Refused: 24,
    errors.Interrupted: 130,
    errors.ServerFailure: 1,
}
Work = Callable[[Run], Outcome]


@dataclass(frozen=True)
class Ended:
    """How one call ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout."""
        assert self.out.endswith("\n")
        assert self.out.count("\n") == 1
        document: dict[str, Any] = json.loads(self.out)
        return document


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run a task that does this work, as `inv work FLAGS` would."""

    def run(work: Work, *flags: str, core: tuple[str, ...] = ()) -> Ended:
        @command("group.work", help={})
        def body(run: Run) -> Outcome:
            """Do it."""
            return work(run)

        code: int | str | None = 0
        try:
            Program(namespace=Collection(body)).run(["inv", *core, "work", *flags])
        except SystemExit as ended:
            code = ended.code
        assert isinstance(code, int)
        captured = capsys.readouterr()
        return Ended(code=code, out=captured.out, err=captured.err)

    return run


def fail(error: BaseException) -> Work:
    """Return work that fails so."""

    def work(run: Run) -> Outcome:
        raise error

    return work


def succeed(run: Run) -> Outcome:
    """Return a result, and print a note."""
    run.progress.note("on the way")
    return Outcome(result={"points": 3, "name": "zwölf"}, render=lambda: print("3 points"))


def test_every_error_is_listed() -> None:
    """Every error has its exit code listed here, so that none is added by accident."""
    assert set(ERRORS) == {TaskError, *_subclasses(TaskError)}


def _subclasses(kind: type[TaskError]) -> set[type[TaskError]]:
    here = {k for k in kind.__subclasses__() if k.__module__ == errors.__name__}
    return here | {deeper for k in here for deeper in _subclasses(k)}


def test_success_prints_the_result(call: Callable[..., Ended]) -> None:
    """The result goes to stdout, everything else to stderr."""
    ended = call(succeed)
    assert (ended.code, ended.out) == (0, "3 points\n")
    assert ended.err == "note: on the way\n"


def test_success_as_json(call: Callable[..., Ended]) -> None:
    """With `--json`, stdout is exactly one document."""
    ended = call(succeed, "--json")
    assert ended.code == 0
    assert ended.document == {
        "ok": True,
        "task": "group.work",
        "exit_code": 0,
        "result": {"points": 3, "name": "zwölf"},
        "error": None,
    }


@pytest.mark.parametrize(("kind", "code"), ERRORS.items())
def test_each_error_has_its_exit_code(
    call: Callable[..., Ended], kind: type[TaskError], code: int
) -> None:
    """What happened and what to do are two lines on stderr; the exit code is the documented one."""
    ended = call(fail(kind("It broke.", hint="Mend it.")))
    assert (ended.code, ended.out) == (code, "")
    assert ended.err == "error: It broke.\n  fix: Mend it.\n"


@pytest.mark.parametrize(("kind", "code"), ERRORS.items())
def test_each_error_as_json(call: Callable[..., Ended], kind: type[TaskError], code: int) -> None:
    """A failure is one document too, with the same exit code."""
    ended = call(fail(kind("It broke.", hint="Mend it.")), "--json")
    assert ended.code == code
    assert ended.document == {
        "ok": False,
        "task": "group.work",
        "exit_code": code,
        "result": {},
        "error": {"kind": kind.kind, "message": "It broke.", "hint": "Mend it."},
    }


def test_the_kinds_are_distinct() -> None:
    """A program can tell errors apart by their kind."""
    assert len({kind.kind for kind in ERRORS}) == len(ERRORS)


def test_a_result_with_an_error_is_shown(call: Callable[..., Ended]) -> None:
    """A report with an error is printed before the error, and stays in the document."""

    def work(run: Run) -> Outcome:
        error = Damaged("It is damaged.", hint="Take another.")
        return Outcome(result={"findings": [1]}, render=lambda: print("report"), error=error)

    plain, as_json = call(work), call(work, "--json")
    assert (plain.code, plain.out) == (20, "report\n")
    assert as_json.code == 20
    assert as_json.document["result"] == {"findings": [1]}
    assert as_json.document["error"]["kind"] == "damaged"


@pytest.mark.parametrize(
    "error", [ValueError("odd"), OSError(5, "I/O"), KeyError("x"), SystemError()]
)
def test_a_bug_is_told_as_one(call: Callable[..., Ended], error: Exception) -> None:
    """An unexpected error is exit code 1 with a traceback on stderr, and still one document."""
    ended = call(fail(error), "--json")
    assert ended.code == 1
    assert ended.document["error"]["kind"] == "bug"
    assert type(error).__name__ in ended.document["error"]["message"]
    assert "Traceback" in ended.err


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_bug_in_printing_is_told_as_one(
    call: Callable[..., Ended], flags: tuple[str, ...]
) -> None:
    """If a result cannot be shown, the task ends like any bug, with at most one document."""

    def work(run: Run) -> Outcome:
        return Outcome(result={"odd": object()}, render=lambda: print(1 // 0))

    ended = call(work, *flags)
    assert ended.code == 1
    assert "Traceback" in ended.err
    if flags:
        assert ended.document["error"]["kind"] == "bug"
    else:
        assert "ZeroDivisionError" in ended.err.splitlines()[-2]


KEY = "hunter2'\\\"&/=hunter2"


@pytest.mark.parametrize("flags", [(), ("--json",)])
@pytest.mark.parametrize(
    "error",
    [
        ValueError(f"bad header {KEY}"),
        KeyError(KEY),
        ValueError({"api-key": KEY.encode()}),
        ValueError(f"at /?key={quote(KEY)}"),
        ValueError(json.dumps({"key": KEY})),
        TaskError(f"It said {KEY}.", hint=f"Do not say {KEY}."),
    ],
)
def test_not_even_a_bug_shows_the_key(
    call: Callable[..., Ended],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    flags: tuple[str, ...],
) -> None:
    """A library that puts the key into its error, however quoted, does not leak it."""
    monkeypatch.setenv("QDRANT_API_KEY", KEY)
    ended = call(fail(error), *flags)
    assert ended.code == 1
    assert "***" in ended.out + ended.err
    assert "hunter2" not in ended.out + ended.err


def test_a_bug_among_failures_shows_its_traceback_and_no_key(
    call: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task for several items reports what nobody foresaw with the rest, without the key."""
    monkeypatch.setenv("QDRANT_API_KEY", KEY)

    def work(run: Run) -> Outcome:
        def fails(name: str) -> None:
            raise ValueError(KEY) if name == "odd" else Damaged("It broke.", hint="Mend it.")

        batch = for_each(["broken", "odd"], fails, name=str)
        result = {"failures": [failure.as_json() for failure in batch.failures]}
        return Outcome(result=result, error=batch.error)

    ended = call(work, "--json")
    assert ended.code == 20
    kinds = [failure["kind"] for failure in ended.document["result"]["failures"]]
    assert kinds == ["damaged", "bug"]
    assert "Traceback" in ended.err
    assert "hunter2" not in ended.out + ended.err


def test_an_error_has_no_traceback(call: Callable[..., Ended]) -> None:
    """An expected error never shows the internals of the program."""
    assert "Traceback" not in call(fail(Damaged("It broke.", hint="Mend it."))).err


@pytest.mark.parametrize("text", ["\udcff.snapshot", "a\nb", 'quote"', "\u2028"])
def test_any_text_stays_one_document(call: Callable[..., Ended], text: str) -> None:
    """Names that are not UTF-8, and line breaks, do not break the document."""
    ended = call(fail(Damaged(text, hint="Mend it.")), "--json")
    assert ended.code == 20
    assert ended.document["error"]["message"] == text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_ends_with_130(call: Callable[..., Ended], number: signal.Signals) -> None:
    """Ctrl-C and a termination end the work, clean up, and restore the old handlers."""
    before, cleaned = signal.getsignal(number), []

    def work(run: Run) -> Outcome:
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        finally:
            os.kill(os.getpid(), number)
            cleaned.append(True)
        return Outcome(result={})

    ended = call(work, "--json")
    assert ended.code == 130
    assert ended.document["error"]["kind"] == "interrupted"
    assert cleaned == [True]
    assert "still cleaning up" in ended.err
    assert signal.getsignal(number) == before


def test_a_dry_run_is_known_to_the_task(call: Callable[..., Ended]) -> None:
    """`inv --dry TASK` says what it would do, in words and as JSON."""

    def work(run: Run) -> Outcome:
        return run.would("take one", "delete one") if run.dry else succeed(run)

    assert call(work).out == "3 points\n"
    assert call(work, core=("--dry",)).out == "would take one\nwould delete one\n"
    document = call(work, "--json", core=("--dry",)).document
    assert document["result"] == {"dry_run": True, "would": ["take one", "delete one"]}


class Terminal:
    """A terminal on which a user types this."""

    def __init__(self, typed: str) -> None:
        self._typed = typed

    def isatty(self) -> bool:
        """Say that this is a terminal."""
        return True

    def readline(self) -> str:
        """Return the typed line."""
        return self._typed


def delete(*, yes: bool) -> Work:
    """Return work that needs consent."""

    def work(run: Run) -> Outcome:
        run.consent("This deletes 3 points.", yes=yes)
        return succeed(run)

    return work


def test_without_a_terminal_consent_is_refused(
    call: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a terminal, the task does not ask: exit code 24, and which flag to add."""
    with Path(os.devnull).open(encoding="utf-8") as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        ended = call(delete(yes=False))
        assert (ended.code, ended.out) == (24, "")
        assert "--yes" in ended.err
        assert call(delete(yes=True)).code == 0


@pytest.mark.parametrize("typed", ["yes\n", "y\n", " YES \n"])
def test_a_clear_yes_is_consent(
    call: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    """On a terminal, it asks on stderr."""
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    ended = call(delete(yes=False))
    assert (ended.code, ended.out) == (0, "3 points\n")
    assert "This deletes 3 points." in ended.err


@pytest.mark.parametrize("typed", ["", "\n", "no\n", "yes please\n", "ja\n"])
def test_anything_else_is_none(
    call: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    """An empty line, the end of input and every other word change nothing."""
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    ended = call(delete(yes=False))
    assert ended.code == Refused.exit_code
    assert "nothing was changed" in ended.err


def test_json_never_asks(call: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that reads JSON is not asked, even on a terminal."""
    monkeypatch.setattr(sys, "stdin", Terminal("yes\n"))
    assert call(delete(yes=False), "--json").document["exit_code"] == 24


def test_wrong_settings_end_with_14(
    call: Callable[..., Ended], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings are read when a task uses them, and their problems end it like any error."""
    project.mkdir()
    monkeypatch.chdir(project)
    monkeypatch.setenv("QDRANT_ENGINE", "podman")

    def work(run: Run) -> Outcome:
        return Outcome(result={"url": run.settings.qdrant.url})

    assert call(work).code == 14
    monkeypatch.setenv("QDRANT_ENGINE", "native")
    assert call(work, "--json").document["result"] == {"url": "http://localhost:6333"}


def test_an_unknown_flag_ends_with_1(call: Callable[..., Ended]) -> None:
    """What Invoke cannot parse never starts the task."""
    ended = call(succeed, "--unknown")
    assert (ended.code, ended.out) == (1, "")


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("12", 12)])
def test_a_count_is_a_whole_number(text: str, value: int) -> None:
    """Flags that count take numbers."""
    assert Count(text) == value


@pytest.mark.parametrize("text", ["", "-1", "1.5", "many", "²"])
def test_a_count_is_nothing_else(text: str) -> None:
    """Anything else is refused with what was expected."""
    with pytest.raises(ValueError, match="a whole number"):
        Count(text)


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("12", 12), ("1.5", 1.5), (".5", 0.5)])
def test_seconds_are_a_number(text: str, value: float) -> None:
    """Flags for time take numbers with fractions."""
    assert Seconds(text) == value


@pytest.mark.parametrize("text", ["", "-1", "1e3", "nan", "inf", "5s", "."])
def test_seconds_are_nothing_else(text: str) -> None:
    """Anything else is refused with what was expected."""
    with pytest.raises(ValueError, match="a number of seconds"):
        Seconds(text)
