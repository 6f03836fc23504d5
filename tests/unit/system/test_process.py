"""Programs are run, ended and found again, and their failures never raise."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapshot_tasks.system import process
from tests.support.world import processes_below, wait_until

DEAF = "trap '' INT TERM; echo ready; while :; do sleep 0.05; done"

# When interrupted, it starts another program and ends.
HEIR = """
import pathlib, signal, subprocess, time
def end(*caught):
    pathlib.Path("inherited").touch()
    subprocess.Popen(["sleep", "60"])
    raise SystemExit
signal.signal(signal.SIGINT, end)
pathlib.Path("ready").touch()
time.sleep(60)
"""


@pytest.fixture
def deaf() -> Iterator[subprocess.Popen[str]]:
    """A child that ignores interrupt and terminate."""
    child = subprocess.Popen(
        ["/bin/sh", "-c", DEAF], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert child.stdout is not None
    child.stdout.readline()
    yield child
    child.kill()
    child.wait()
    child.stdout.close()


@pytest.fixture
def listener() -> Iterator[int]:
    """A port on which this test process listens."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield int(server.getsockname()[1])


def shell(script: str, **options: float) -> process.Completed:
    """Run a short script."""
    return process.run(("/bin/sh", "-c", script), timeout_seconds=options.get("timeout"))


def test_both_outputs_and_the_code_are_kept() -> None:
    """A failing program is a result, not an exception."""
    done = shell("echo out; echo first >&2; echo ' last ' >&2; exit 3")
    assert (done.code, done.stdout, done.ok) == (3, "out\n", False)
    assert done.last_words == "last"


def test_last_words_are_never_empty() -> None:
    """If stderr is empty, the last line of stdout counts, else the exit code."""
    assert shell("echo a; echo b").last_words == "b"
    assert shell("exit 4").last_words == "exit code 4"


def test_a_missing_program_is_an_answer(tmp_path: Path) -> None:
    """The error names a program that does not exist or cannot be run."""
    missing = process.run(("no-such-program-here",))
    assert (missing.code, missing.last_words) == (-1, "no-such-program-here: command not found")
    (tmp_path / "plain").write_text("text", encoding="utf-8")
    denied = process.run((str(tmp_path / "plain"),))
    assert denied.code == -1
    assert "Permission denied" in denied.stderr


def test_a_program_that_hangs_is_ended() -> None:
    """A time limit is enforced and reported."""
    start = time.monotonic()
    done = shell("exec sleep 30", timeout=0.1)
    assert time.monotonic() - start < 5
    assert (done.code, done.last_words) == (-1, "no response within 0.1 s")


def test_the_environment_is_extended() -> None:
    """The given variables extend the environment; standard input is as given, or empty."""
    done = process.run(("/bin/sh", "-c", 'echo "$A $HOME"; cat'), env={"A": "b"}, stdin="in")
    assert done.stdout == f"b {os.environ['HOME']}\nin"
    assert process.run(("cat",)).stdout == ""


def test_bytes_that_are_no_text_are_replaced() -> None:
    """A program may print anything."""
    assert shell(r"printf '\377ok'").stdout == "\ufffdok"


def test_an_attached_program_gives_its_code() -> None:
    """A program on the user's terminal returns its exit code."""
    assert process.run_attached(("/bin/sh", "-c", 'exit "$CODE"'), env={"CODE": "7"}) == 7


def test_a_spawned_program_outlives_the_call(tmp_path: Path) -> None:
    """It runs in a separate session, appends to the log, and can be stopped."""
    log = tmp_path / "log"
    log.write_text("before\n", encoding="utf-8")
    argv = ("/bin/sh", "-c", 'echo "$WORD"; exec sleep 30')
    pid = process.spawn(argv, cwd=tmp_path, env={"WORD": "hello"}, log=log)
    try:
        assert os.getsid(pid) == pid
        deadline = time.monotonic() + 5
        while "hello" not in log.read_text(encoding="utf-8") and time.monotonic() < deadline:
            time.sleep(0.01)
        assert log.read_text(encoding="utf-8") == "before\nhello\n"
        assert process.started_at(pid) is not None
    finally:
        process.stop(pid)
    assert process.started_at(pid) is None


def test_a_live_process_is_told_by_its_start() -> None:
    """The start time identifies a process and does not change."""
    first = process.started_at(os.getpid())
    assert first is not None
    assert 0 < first <= time.time() + 1
    assert process.started_at(os.getpid()) == first


def test_an_ended_child_is_gone() -> None:
    """A child that ended counts as ended even if nobody waited for it."""
    child = os.posix_spawn("/bin/true", ["true"], {})
    deadline = time.monotonic() + 5
    while process.started_at(child) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.started_at(child) is None


def test_stopping_escalates(deaf: subprocess.Popen[str]) -> None:
    """A process that ignores the other signals is killed in the end."""
    process.stop(deaf.pid, patience_seconds=0.05)
    assert process.started_at(deaf.pid) is None


def test_stopping_is_polite(tmp_path: Path) -> None:
    """A process that handles the interrupt can clean up before it ends."""
    script = (
        f"trap 'echo bye > {tmp_path}/said; exit 0' INT; echo ready; while :; do sleep 0.01; done"
    )
    argv = ["/bin/sh", "-c", script]
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert child.stdout is not None
    with child.stdout:
        child.stdout.readline()
        process.stop(child.pid)
    child.returncode = 0
    assert (tmp_path / "said").read_text(encoding="utf-8") == "bye\n"


def test_stopping_what_is_gone_is_nothing() -> None:
    """A process that ended by itself is no error."""
    child = subprocess.Popen(["/bin/true"])
    child.wait()
    process.stop(child.pid)


def test_the_escalation_has_three_steps() -> None:
    """The signals are interrupt, terminate and kill, in this order."""
    assert process.STOP_SIGNALS == (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


def test_a_taken_port_is_not_free(listener: int) -> None:
    """A port with a listener is not free, and its process can be named."""
    assert not process.port_is_free(listener)
    assert f"(pid {os.getpid()})" in process.port_holder(listener)


def test_free_ports_are_free_and_different() -> None:
    """The returned ports can be used."""
    ports = process.free_ports(5)
    assert len(set(ports)) == 5
    assert all(process.port_is_free(port) for port in ports)
    assert process.port_holder(ports[0]) == "a process that this user cannot see"


def test_a_missing_folder_is_not_a_missing_program(tmp_path: Path) -> None:
    """A missing working directory is reported as such."""
    done = process.run((sys.executable, "--version"), cwd=tmp_path / "gone")
    assert done.code == -1
    assert "command not found" not in done.stderr


def test_a_program_that_starts_another_one_while_it_is_ended(tmp_path: Path) -> None:
    """Both are ended, even the second one, which only started during the search."""
    process.spawn((sys.executable, "-c", HEIR), cwd=tmp_path, env={}, log=tmp_path / "log")
    wait_until((tmp_path / "ready").exists)
    process.end_all_in(tmp_path)
    assert (tmp_path / "inherited").exists()
    assert processes_below(tmp_path) == []
