"""The variables that a hook gets, and how the user's program is run and ended."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.operations.create.hook import hook_environment, run_hooks
from snapshot_tasks.system import process
from tests.conftest import ROOT
from tests.support.manifests import catalogued


def settings_names() -> set[str]:
    """Return the name of every setting."""
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    return {line.removeprefix("#").partition("=")[0] for line in lines if "=" in line}


def test_no_fact_has_the_name_of_a_setting(catalog: Catalog) -> None:
    """A hook that runs these tasks runs them with the settings it was given."""
    names = settings_names()
    assert "QDRANT_SNAPSHOT_DIR" in names
    assert not names & set(hook_environment(catalogued(catalog)))


def test_every_fact_is_documented(catalog: Catalog) -> None:
    """And the page lists all of them."""
    page = (ROOT / "docs" / "hooks.md").read_text(encoding="utf-8")
    for name in hook_environment(catalogued(catalog)):
        assert f"`{name}`" in page


def test_without_a_manifest_facts_are_empty(catalog: Catalog) -> None:
    """An unknown fact is not invented."""
    snapshot = catalogued(catalog)
    snapshot.manifest_path.unlink()
    told = hook_environment(catalog.newest("books"))
    assert told["QDRANT_SNAPSHOT_COLLECTION"] == "books"
    assert told["QDRANT_SNAPSHOT_SHA256"] == told["QDRANT_SNAPSHOT_POINTS_COUNT"] == ""


def test_no_hook_is_none(catalog: Catalog) -> None:
    """Most have none."""
    assert run_hooks((), [catalogued(catalog)], print, secret=None) == ()


def test_output_is_told_as_it_comes(tmp_path: Path) -> None:
    """The program continues only after its first line was received."""
    heard = tmp_path / "heard"
    code = (
        "import pathlib, time\n"
        "print('first', flush=True)\n"
        f"while not pathlib.Path({str(heard)!r}).exists(): time.sleep(0.01)\n"
        "print('x' * 10000)\n"
        "raise SystemExit(3)\n"
    )
    lines: list[str] = []

    def tell(line: str) -> None:
        lines.append(line)
        heard.touch()

    assert process.run_told([sys.executable, "-c", code], tell, env={}, secret=None) == 3
    assert lines[0] == "first"
    assert "".join(lines[1:]) == "x" * 10000


def test_what_nobody_reads_is_taken_all_the_same() -> None:
    """A closed terminal does not block the program that prints to it."""

    def tell(line: str) -> None:
        raise BrokenPipeError

    code = "for _ in range(5000): print('x' * 100)"
    assert process.run_told([sys.executable, "-c", code], tell, env={}, secret=None) == 0


@contextmanager
def interrupted_at(begun: threading.Event) -> Iterator[None]:
    """Interrupt this process once the program has started."""

    def work() -> None:
        begun.wait()
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        begun.set()
        thread.join()


@pytest.mark.parametrize("ignored", ["", "SIGINT", "SIGINT SIGTERM"])
def test_an_interrupted_program_is_ended_whatever_it_ignores(ignored: str) -> None:
    """Interrupt, terminate, kill: with some time in between."""
    code = "import signal, time\n"
    code += "".join(f"signal.signal(signal.{n}, signal.SIG_IGN)\n" for n in ignored.split())
    code += "import os; print(os.getpid(), flush=True); time.sleep(600)\n"
    begun, pids = threading.Event(), list[int]()

    def tell(line: str) -> None:
        if line.isdigit():
            pids.append(int(line))
            begun.set()

    with interrupted_at(begun), pytest.raises(KeyboardInterrupt):
        process.run_told(
            [sys.executable, "-c", code], tell, env={}, secret=None, patience_seconds=0.1
        )
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_a_variable_that_holds_the_secret_is_not_passed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Under any name; similar names stay."""
    monkeypatch.setenv("ONE", "key")
    monkeypatch.setenv("OTHER", "keyboard")
    lines: list[str] = []
    code = "import os; print(os.environ.get('ONE'), os.environ.get('OTHER'), os.environ['NEW'])"
    argv = [sys.executable, "-c", code]
    process.run_told(argv, lines.append, env={"NEW": "fact"}, secret="key")
    assert lines == ["None keyboard fact"]
