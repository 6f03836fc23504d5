"""Runs the tools of this project, and installs them first."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from snapshot_tasks.cli.command import Outcome, Run
from snapshot_tasks.system.errors import SettingsError, TaskError

ROOT = Path(__file__).resolve().parents[2]
DEV_REQUIREMENTS = ROOT / "requirements-dev.txt"


def run_module(
    run: Run, module: str, flags: tuple[str, ...], markdown: str, *, failure: str
) -> Outcome:
    """Run a module of this project that prints a page."""
    from snapshot_tasks.system import process

    page = (f"--markdown={markdown}",) if markdown else ()
    argv = (sys.executable, "-m", module, *flags, *page)
    if run.dry:
        return run.would(" ".join(argv))
    _install_dev_requirements(run)
    code = process.run_attached(argv, cwd=ROOT, stdout_to_stderr=run.json)
    error = TaskError(failure, hint="See the lines above.") if code else None
    return Outcome(result={"exit_code": code}, error=error)


def run_tools(
    run: Run, commands: tuple[tuple[str, ...], ...], environment: Mapping[str, str] | None = None
) -> Outcome:
    """Run tools of the development environment one after the other, and list those that fail."""
    from snapshot_tasks.system import process

    if run.dry:
        return run.would(*(" ".join(argv) for argv in commands))
    _install_dev_requirements(run)
    codes = {}
    for name, *arguments in commands:
        argv = (str(Path(sys.executable).parent / name), *arguments)
        codes[" ".join((name, *arguments))] = process.run_attached(
            argv, cwd=ROOT, env=environment, stdout_to_stderr=run.json
        )
    failed = dict.fromkeys(called.partition(" ")[0] for called, code in codes.items() if code)
    error = None
    if failed:
        error = TaskError(f"{', '.join(failed)} failed.", hint="See the lines above.")
    return Outcome(result={"exit_codes": codes}, error=error)


def _install_dev_requirements(run: Run) -> None:
    """Bring `.venv` up to date with requirements-dev.txt; other environments are not changed."""
    import hashlib

    from snapshot_tasks.system import process

    wanted = hashlib.sha256(DEV_REQUIREMENTS.read_bytes()).hexdigest()
    environment = Path(sys.prefix)
    stamp = environment / ".requirements-dev.sha256"
    if stamp.is_file() and stamp.read_text(encoding="utf-8").strip() == wanted:
        return
    if environment != ROOT / ".venv":
        from importlib.util import find_spec

        if find_spec("pytest") and find_spec("ruff"):
            return
        raise SettingsError(
            "The tools for tests and linting are not installed here.",
            hint="pip install -r requirements-dev.txt, or use ./inv instead of inv.",
        )
    argv = (sys.executable, "-m", "pip", "install", "--quiet", "-r", str(DEV_REQUIREMENTS))
    with run.progress.phase("installing the tools for tests and linting"):
        done = process.run(argv)
    if not done.ok:
        raise SettingsError(
            f"pip could not install requirements-dev.txt: {done.last_words}.",
            hint="Check the network and the package index, then run this again.",
        )
    stamp.write_text(wanted + "\n", encoding="utf-8")
