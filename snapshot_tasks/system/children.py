"""Parts of this project that run as separate processes and report back in lines.

A child prints one JSON object per line: progress first, and at the end `{"result": …}` or
`{"failure": …}`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from snapshot_tasks.system import process


class ChildFailed(Exception):
    """A child ended without a result; `line` is the last line that it printed."""

    def __init__(self, line: dict[str, Any], code: int) -> None:
        super().__init__(str(line.get("failure") or f"the reader exited with {code}"))
        self.line = line


def say(**line: Any) -> None:
    """Print one line for the parent process."""
    print(json.dumps(line), flush=True)


def ask(
    module: str,
    *arguments: str,
    take: Callable[[dict[str, Any]], None],
    stdin: str = "",
    cwd: Path | None = None,
) -> dict[str, Any]:
    """Run a module of this project, pass on each line that it prints, and return its result.

    Secrets go through `stdin`, because every user can see the arguments. `cwd` is the scratch
    folder that the child works in, if any.

    Raises:
        ChildFailed: if the child ends without a result.
    """
    last: dict[str, Any] = {}

    def take_line(line: str) -> None:
        nonlocal last
        last = json.loads(line)
        take(last)

    code = process.run_lines(
        (sys.executable, "-m", module, *arguments),
        take_line,
        cwd=cwd,
        env={"PYTHONPATH": _python_path(), "RUST_BACKTRACE": "0"},
        stdin=stdin,
        is_silent=True,
    )
    if code or "result" not in last:
        raise ChildFailed(last, code)
    result: dict[str, Any] = last["result"]
    return result


def _python_path() -> str:
    """Return this process's module search path, so that a child finds the same modules."""
    return os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path)
