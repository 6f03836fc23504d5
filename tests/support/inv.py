"""Calls `inv` as a user does: in this process, which is fast, or as a separate process."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import invoke
from invoke.main import program
from invoke.program import Program

# The folder for temporary files before any test set its own.
TEMPORARY = tempfile.gettempdir()
AS_MODULE = str(Path(invoke.__file__).with_name("__main__.py"))


@dataclass(frozen=True)
class Ran:
    """The outcome of one call of `inv`."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout."""
        document: dict[str, Any] = json.loads(self.stdout)
        return document


@dataclass(frozen=True)
class Inv:
    """Calls `inv` as a user does, in its own project folder."""

    root: Path
    environment: dict[str, str]

    def __call__(self, *arguments: str, **environment: str) -> Ran:
        """Run to the end, in this process if possible.

        `environment` adds settings for this call. This runs the same code as a separate process, in
        a twentieth of the time. Only `start` and `process` show the effects of signals and of the
        end of a process.
        """
        if threading.current_thread() is not threading.main_thread():
            return self.process(*arguments, **environment)
        return called(arguments, root=self.root, environment={**self.environment, **environment})

    def process(self, *arguments: str, **environment: str) -> Ran:
        """Run to the end as a separate process."""
        child = self.start(*arguments, **environment)
        try:
            stdout, stderr = child.communicate(timeout=280)
        except BaseException:
            child.kill()
            child.communicate()
            raise
        return Ran(code=child.returncode, stdout=stdout, stderr=stderr)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start a process and return it, to interrupt it."""
        return subprocess.Popen(
            [sys.executable, "-m", "invoke", *arguments],
            cwd=self.root,
            env={**os.environ, **self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def called(arguments: tuple[str, ...], *, root: Path, environment: Mapping[str, str]) -> Ran:
    """Run Invoke's own program in this process, and restore the state of the process afterwards."""
    with contextlib.ExitStack() as stack:
        stdout = stack.enter_context(tempfile.TemporaryFile(dir=TEMPORARY))
        stderr = stack.enter_context(tempfile.TemporaryFile(dir=TEMPORARY))
        stack.enter_context(contextlib.chdir(root))
        stack.enter_context(_environment(environment))
        stack.enter_context(_interpreter([AS_MODULE, *arguments]))
        with _streams(stdout.fileno(), stderr.fileno()):
            code = _exit_code()
        return Ran(code=code, stdout=_text(stdout), stderr=_text(stderr))


def _exit_code() -> int:
    """Run the program and return the exit code that its process would have had."""
    fresh = Program(
        name=program._name,
        binary=program._binary,
        binary_names=program._binary_names,
        version=program.version,
    )
    try:
        fresh.run(list(sys.argv))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def _text(file: Any) -> str:
    file.seek(0)
    text: str = file.read().decode()
    return text


@contextlib.contextmanager
def _environment(added: Mapping[str, str]) -> Iterator[None]:
    before, folder = dict(os.environ), tempfile.tempdir
    os.environ.update(added)
    if "TMPDIR" in added:
        tempfile.tempdir = None
    try:
        yield
    finally:
        tempfile.tempdir = folder
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


@contextlib.contextmanager
def _interpreter(argv: list[str]) -> Iterator[None]:
    """Give the call its arguments, and undo the permanent changes of Invoke and the tasks."""
    before = sys.argv, list(sys.path), sys.dont_write_bytecode, sys.modules.pop("tasks", None)
    threshold = gc.get_threshold()
    sys.argv = argv
    try:
        yield
    finally:
        gc.set_threshold(*threshold)
        sys.modules.pop("tasks", None)
        sys.argv, sys.path[:], sys.dont_write_bytecode, tasks = before
        if tasks is not None:
            sys.modules["tasks"] = tasks


@contextlib.contextmanager
def _streams(stdout: int, stderr: int) -> Iterator[None]:
    """Redirect the output of this process and its children, and give them no input."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    streams = sys.stdin, sys.stdout, sys.stderr
    for stream in streams[1:]:
        stream.flush()
    before = [os.dup(number) for number in range(3)]
    for number, target in enumerate((nothing, stdout, stderr)):
        os.dup2(target, number)
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, "rb", closefd=False)))
    sys.stdout = _writer(1, errors="strict")
    sys.stderr = _writer(2, errors="backslashreplace", line_buffering=True)
    mine = sys.stdin, sys.stdout, sys.stderr
    try:
        yield
    finally:
        for stream in mine:
            stream.close()
        sys.stdin, sys.stdout, sys.stderr = streams
        for number, target in enumerate(before):
            os.dup2(target, number)
        for descriptor in (nothing, *before):
            os.close(descriptor)


def _writer(number: int, *, errors: str, line_buffering: bool = False) -> io.TextIOWrapper:
    raw = io.BufferedWriter(io.FileIO(number, "wb", closefd=False))
    return io.TextIOWrapper(raw, encoding="utf-8", errors=errors, line_buffering=line_buffering)
