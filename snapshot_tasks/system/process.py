"""Run, start and stop other programs, and find the process that uses a port."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
# Longer lines of another program's output are passed on in pieces.
CHUNK_CHARACTERS = 8192
# How many more objects must exist before the garbage collector runs again.
COLLECT_OBJECTS = 50_000
INTERRUPTING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def collect_rarely() -> None:
    """Run the garbage collector rarely.

    This project creates almost no cycles of objects. Looking for them takes a tenth of the time of
    reading a collection, and a third of the time of reading a thousand manifests
    (docs/benchmark.md).
    """
    gc.set_threshold(COLLECT_OBJECTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The result of a program; `code` is -1 if it could not be run or ran out of time."""

    code: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        """Whether it exited with 0."""
        return self.code == 0

    @property
    def last_words(self) -> str:
        """The last line it printed, for an error message."""
        lines = (self.stderr.strip() or self.stdout.strip()).splitlines()
        return lines[-1].strip() if lines else f"exit code {self.code}"


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    timeout_seconds: float | None = None,
) -> Completed:
    """Run a program to its end and capture its output; a failure never raises."""
    try:
        done = subprocess.run(
            argv,
            cwd=cwd,
            env=None if env is None else {**os.environ, **env},
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_seconds,
            check=False,
            # Keeps Ctrl-C from reaching the child, so that we can stop it in an orderly way.
            start_new_session=True,
        )
    except FileNotFoundError as error:
        what = f"{cwd} does not exist" if str(error.filename) == str(cwd) else "command not found"
        return Completed(code=-1, stdout="", stderr=f"{argv[0]}: {what}")
    except OSError as error:
        return Completed(code=-1, stdout="", stderr=f"{argv[0]}: {error.strerror}")
    except subprocess.TimeoutExpired:
        return Completed(code=-1, stdout="", stderr=f"no response within {timeout_seconds} s")
    return Completed(code=done.returncode, stdout=done.stdout, stderr=done.stderr)


@contextmanager
def shielded() -> Iterator[None]:
    """Delay signals until the block has ended.

    Use this for cleanup, because an interruption would leave behind what it was about to remove.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen: list[int] = []
    previous = {
        number: signal.signal(number, lambda caught, frame: seen.append(caught))
        for number in INTERRUPTING_SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if seen:
        os.kill(os.getpid(), seen[0])


def run_attached(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdout_to_stderr: bool = False,
) -> int:
    """Run a program on the user's terminal and return its exit code."""
    merged = None if env is None else {**os.environ, **env}
    stdout = sys.stderr.fileno() if stdout_to_stderr else None
    return subprocess.run(argv, cwd=cwd, env=merged, stdout=stdout, check=False).returncode


def run_lines(
    argv: Sequence[str],
    take: Callable[[str], None],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    is_silent: bool = False,
) -> int:
    """Run a program, pass on each line of its stdout as it arrives, and return its exit code.

    If this process is interrupted, the program is killed. `stdin` must be short, because no output
    is read before all of it is written. A silent program's stderr is dropped.
    """
    with subprocess.Popen(
        argv,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if is_silent else None,
        text=True,
        errors="replace",
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            with suppress(BrokenPipeError), child.stdin:
                child.stdin.write(stdin)
            for line in child.stdout:
                take(line)
        except BaseException:
            child.kill()
            raise
    return child.returncode


def run_told(
    argv: Sequence[str],
    tell: Callable[[str], None],
    *,
    env: Mapping[str, str],
    secret: str | None,
    patience_seconds: float = 10.0,
) -> int:
    """Run a program of the user, pass on each line that it prints, and return its exit code.

    Variables that contain the `secret` are not passed on. If this process is interrupted, the
    program and everything that it has started are ended.

    Raises:
        OSError: if the program cannot be run.
    """
    inherited = {name: value for name, value in os.environ.items() if value.strip() != secret}
    end = partial(_end_group, patience_seconds=patience_seconds)
    return _run_told(argv, tell, end, env={**inherited, **env})


def run_politely(argv: Sequence[str], tell: Callable[[str], None], *, cwd: Path) -> int:
    """Run a task, pass on each line that it prints, and return its exit code.

    If this process is interrupted, the task is too, as by Ctrl-C, and gets the time that it needs
    to clean up. The exit code is negative if a signal has ended it.

    Raises:
        OSError: if the program cannot be run.
    """
    return _run_told(argv, tell, _interrupt, cwd=cwd)


def _run_told(
    argv: Sequence[str],
    tell: Callable[[str], None],
    end: Callable[[subprocess.Popen[str]], None],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> int:
    """Run a program, pass on its lines, and `end` it if this process is interrupted."""
    child = reader = None
    try:
        # Between its start and the line below, an interruption would leave it behind.
        with shielded():
            child = subprocess.Popen(
                argv,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                # Keeps Ctrl-C on a terminal from reaching it, so that we end it in an orderly way.
                start_new_session=True,
            )
            reader = threading.Thread(target=_tell_lines, args=(child.stdout, tell), daemon=True)
            reader.start()
        return child.wait()
    except BaseException:
        if child:
            end(child)
        raise
    finally:
        # A process that it leaves running may keep the output open; do not wait for that.
        if reader:
            reader.join(1.0)


def _interrupt(child: subprocess.Popen[str]) -> None:
    child.send_signal(signal.SIGINT)
    child.wait()


def _tell_lines(stream: IO[str], tell: Callable[[str], None]) -> None:
    with stream:
        while line := stream.readline(CHUNK_CHARACTERS):
            # Nobody may be reading our output any more, but the program's must still be read.
            with suppress(OSError, ValueError):
                tell(line.rstrip("\n"))


def _end_group(leader: subprocess.Popen[str], patience_seconds: float) -> None:
    """End a program that leads a separate session, and all other processes in that session."""
    for number in STOP_SIGNALS:
        with suppress(ProcessLookupError):
            os.killpg(leader.pid, number)
        with suppress(subprocess.TimeoutExpired):
            leader.wait(patience_seconds)
            break
    with suppress(ProcessLookupError):
        os.killpg(leader.pid, signal.SIGKILL)


def spawn(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], log: Path) -> int:
    """Start a program that outlives this one, with its output in `log`; return its process id.

    Only this user can read the log, and a link is not followed.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(log, flags, 0o600), "ab") as output:
        child = subprocess.Popen(
            argv,
            cwd=cwd,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    # The child should outlive us; without this, Popen's finaliser would print a warning.
    child.returncode = 0
    return child.pid


def end_first(pid: int) -> None:
    """Have the kernel end this process before any other if memory runs out, where it can be told.

    Measured: a damaged index file makes Qdrant 1.16.3 ask for 23 GB.
    """
    with suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000", encoding="ascii")


def started_at(pid: int) -> float | None:
    """Return when a live process started (seconds since the epoch), or None if it has ended.

    Together with the pid, this identifies a process even if the pid is reused later.
    """
    import psutil

    _reap(pid)
    try:
        process = psutil.Process(pid)
        # While a program ends, its first thread can already be a zombie while others still run and
        # hold file locks.
        if process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1:
            return None
        return float(process.create_time())
    except psutil.Error:
        return None


def stop(pid: int, *, patience_seconds: float = 10.0) -> None:
    """End a process: interrupt, then terminate, then kill it, with a wait after each signal."""
    for number in STOP_SIGNALS:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + patience_seconds
        while time.monotonic() < deadline:
            if started_at(pid) is None:
                return
            time.sleep(0.02)


def end_all_in(folder: Path) -> None:
    """End every process of this user that has its working directory in a folder."""
    # Repeat until none is found, because a program may start another while it is being ended.
    for _ in range(5):
        found = _all_in(folder)
        if not found:
            return
        for pid in found:
            stop(pid, patience_seconds=5)


def _all_in(folder: Path) -> list[int]:
    import psutil

    place, found = folder.resolve(), []
    for other in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if other.pid != os.getpid() and Path(other.cwd()).is_relative_to(place):
                found.append(other.pid)
    return found


def ended_with(pid: int) -> int | None:
    """Return the exit code of a child that `spawn` started, negative for a signal; else None."""
    _reap(pid)
    return _EXIT_CODES.get(pid)


# A status can be collected only once, and whoever looks at a process may be the one to do it.
_EXIT_CODES: dict[int, int] = {}


def _reap(pid: int) -> None:
    """Collect the exit status if the process is our child, so that no zombie is left."""
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
    if ended:
        _EXIT_CODES[pid] = os.waitstatus_to_exitcode(status)


def port_is_free(port: int) -> bool:
    """Return whether a server could listen on `port` of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> tuple[int, ...]:
    """Return different ports that are free on 127.0.0.1 now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return tuple(probe.getsockname()[1] for probe in probes)
    finally:
        for probe in probes:
            probe.close()


def port_holder(port: int) -> str:
    """Describe the process that listens on `port`, if this user is allowed to see it."""
    import psutil

    try:
        for connection in psutil.net_connections(kind="tcp"):
            listens = connection.status == psutil.CONN_LISTEN
            if listens and connection.laddr and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass
    return "a process that this user cannot see"
