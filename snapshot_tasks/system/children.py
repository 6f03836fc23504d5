"""Parts of this project that run as processes of their own: they are asked, and answer in lines.

A child prints JSON objects, one to a line: what it has to say on the way, and at the end
`{"result": …}` or `{"failure": …}`.
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
    """A child ended without a result; `line` is the last it said."""

    def __init__(self, line: dict[str, Any], code: int) -> None:
        super().__init__(str(line.get("failure") or f"the reader ended with {code}"))
        self.line = line


def say(**line: Any) -> None:
    """Print one line, for the process that asked."""
    print(json.dumps(line), flush=True)


def ask(
    module: str,
    *arguments: str,
    take: Callable[[dict[str, Any]], None],
    stdin: str = "",
    cwd: Path | None = None,
) -> dict[str, Any]:
    """Run a module of this project, hand over each line that it prints, and return its result.

    What is secret goes through `stdin`: arguments are for everybody to see. `cwd` is the scratch
    folder that it works in, if any.

    Raises:
        ChildFailed: when it ends without a result.
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
    )
    if code or "result" not in last:
        raise ChildFailed(last, code)
    result: dict[str, Any] = last["result"]
    return result


def _python_path() -> str:
    """Return where this process finds modules, so that a child finds the same ones."""
    return os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path)
