"""The command that runs a task later in another process: this one, by its full path."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from snapshot_tasks.cli.calling import CALLING, SCRIPT, Way, is_launchers, launched_by, way

if TYPE_CHECKING:
    from snapshot_tasks.schedule.request import Command

_DISTRIBUTION = re.compile(r"\bqdrant[-_.]snapshot[-_.]tasks\b", re.IGNORECASE)
_INSTALLS = {
    "requirements.txt": "pip install -r requirements.txt",
    "pyproject.toml": "pip install .",
}


def scheduled_command(root: Path) -> Command:
    """Return the command that runs a task on schedule: the called program by its full path."""
    from snapshot_tasks.schedule.request import Command, launcher

    called, names = way(), CALLING.call.names
    if called is Way.LAUNCHER and is_launchers(root):
        return launcher(root)
    if called in (Way.INV, Way.LAUNCHER):
        argv = (*_inv(called), "--search-root", str(root))
        return Command(argv=argv, name="inv", names=names, install=_install(root))
    argv = _program(SCRIPT, module="snapshot_tasks")
    return Command(argv=argv, name=SCRIPT, names=names, folder=root, install=_install(root))


def _inv(called: Way) -> tuple[str, ...]:
    if called is Way.LAUNCHER:
        return (str(Path(launched_by()).resolve()),)
    return _program("inv", module="invoke")


def _program(name: str, *, module: str) -> tuple[str, ...]:
    """Return a program of this environment by its full path, or else its module."""
    for path in (Path(sys.argv[0]), Path(sys.executable).with_name(name)):
        if path.name == name and os.access(path, os.X_OK):
            return (os.path.abspath(path),)  # noqa: PTH100 - a link, as pipx makes, stays one
    return (sys.executable, "-m", module)


def _install(root: Path) -> str:
    """Return the command that installs these tasks on a runner, if a file of the project has it."""
    for name, install in _INSTALLS.items():
        with suppress(OSError, ValueError):
            if _DISTRIBUTION.search((root / name).read_text(encoding="utf-8")):
                return install
    return ""
