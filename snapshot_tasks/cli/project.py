"""The tasks beside the three groups: doctor, demo, and this project's own test and lint."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from snapshot_tasks.cli.ci import tell_ci
from snapshot_tasks.cli.command import PROJECT_ROOT, Count, Outcome, Run, command
from snapshot_tasks.cli.console import tell
from snapshot_tasks.system.errors import SettingsError, TaskError

DEMO_FOLDER = "demo_snapshots"
DEV_REQUIREMENTS = PROJECT_ROOT / "requirements-dev.txt"
LINTERS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("lint-imports",),
    ("codespell",),
)


@command("doctor", help={})
def doctor(run: Run) -> Outcome:
    """Check everything that could go wrong: one OK, WARN or FAIL line each, with its remedy."""
    from snapshot_tasks.catalog.folder import Catalog
    from snapshot_tasks.checks.doctor import examine
    from snapshot_tasks.checks.patient import Patient
    from snapshot_tasks.cli.checked import Checked
    from snapshot_tasks.cli.render import render_findings

    patient = Patient(
        settings=run.settings, catalog=Catalog(run.settings.snapshot_dir), now=datetime.now(UTC)
    )
    findings, error = examine(patient)
    verdict = "is not well" if error else "is well"
    checked = Checked(name="doctor", verdict=verdict, at=patient.now.isoformat(), findings=findings)
    tell_ci(run, [checked])
    return Outcome(
        result={"findings": [f.as_json() for f in findings]},
        render=lambda: render_findings(findings),
        error=error,
    )


@command("demo", help={})
def demo(run: Run) -> Outcome:
    """Load a sample into a real Qdrant, take a snapshot, prove that it restores, clean up."""
    from snapshot_tasks.catalog.folder import Catalog
    from snapshot_tasks.cli.render import render_created, render_drill, snapshot_json
    from snapshot_tasks.engines.select import drill_engine
    from snapshot_tasks.operations.demo import demo as run_demo

    if run.dry:
        return run.would("load the sample, take a snapshot of it, and prove that it restores")
    settings = run.settings
    selection = drill_engine(settings)
    run.progress.note(f"engine: {selection.engine.name} ({selection.reason})")
    catalog = Catalog(settings.project_root / DEMO_FOLDER)
    catalog.make_folder()
    with catalog.lock("demo"):
        done = run_demo(
            selection.engine,
            catalog,
            run.progress,
            version=settings.version,
            operation_timeout_seconds=settings.operation_timeout_seconds,
            clock=lambda: datetime.now(UTC),
        )

    def render() -> None:
        render_created(done.snapshot)
        render_drill(done.report)
        tell(f"Nothing is left running. The snapshot is in {catalog.folder}.")

    result = {
        "snapshot": snapshot_json(done.snapshot),
        "drill": done.report.as_json(),
        "folder": str(catalog.folder),
    }
    return Outcome(result=result, render=render, error=done.report.error)


@command("test", help={"only": "Only these tests: a path below tests/, such as unit."})
def run_tests(run: Run, only: str = "") -> Outcome:
    """Run the tests of this project; engines that are missing are skipped, in CI they fail."""
    target = PROJECT_ROOT / "tests" / only
    return _tools(
        run, (("pytest", str(target), *(() if only else ("--cov", "--cov-report=term"))),)
    )


@command("lint", help={})
def lint(run: Run) -> Outcome:
    """Run ruff, mypy, import-linter and codespell over this project."""
    return _tools(run, LINTERS)


@command(
    "bench",
    help={
        "points": "How many points to measure with, in thousands.",
        "dimensions": "How long their vectors are.",
        "rounds": "How often everything is measured, in turn.",
        "quick": "Small and few: the shape of it, in a few minutes.",
        "no-growth": "Leave out how it grows with the size of the collection.",
        "markdown": "Write the result to this file as a page of the docs, and its plot beside it.",
    },
)
def bench(
    run: Run,
    points: int = Count(100),
    dimensions: int = Count(384),
    rounds: int = Count(5),
    quick: bool = False,
    no_growth: bool = False,
    markdown: str = "",
) -> Outcome:
    """Measure this project against what one would use instead, on a throw-away Qdrant."""
    flags = (
        f"--points={points * 1000}",
        f"--dimensions={dimensions}",
        f"--rounds={rounds}",
        *(("--quick",) if quick else ()),
        *(("--no-growth",) if no_growth else ()),
    )
    return _module(run, "bench", flags, markdown, failure="The measuring failed.")


@command(
    "faults",
    help={
        "rounds": "How often each fault is injected.",
        "seed": "Which moments chance chooses.",
        "markdown": "Write the table to this file as a page of the docs.",
    },
)
def faults(run: Run, rounds: int = Count(3), seed: int = Count(1), markdown: str = "") -> Outcome:
    """Inject every known fault into real runs at random moments, and say what it has cost."""
    flags = (f"--rounds={rounds}", f"--seed={seed}")
    return _module(run, "tests.matrix", flags, markdown, failure="A fault has cost something.")


def _module(
    run: Run, module: str, flags: tuple[str, ...], markdown: str, *, failure: str
) -> Outcome:
    """Run a module of this project that prints a page."""
    from snapshot_tasks.system import process

    page = (f"--markdown={markdown}",) if markdown else ()
    argv = (sys.executable, "-m", module, *flags, *page)
    if run.dry:
        return run.would(" ".join(argv))
    _install_dev_requirements(run)
    code = process.run_attached(argv, cwd=PROJECT_ROOT, stdout_to_stderr=run.json)
    error = TaskError(failure, hint="The lines above say more.") if code else None
    return Outcome(result={"exit_code": code}, error=error)


def _tools(run: Run, commands: tuple[tuple[str, ...], ...]) -> Outcome:
    from snapshot_tasks.system import process

    if run.dry:
        return run.would(*(" ".join(argv) for argv in commands))
    _install_dev_requirements(run)
    codes = {}
    for name, *arguments in commands:
        argv = (str(Path(sys.executable).parent / name), *arguments)
        codes[name] = process.run_attached(argv, cwd=PROJECT_ROOT, stdout_to_stderr=run.json)
    failed = [name for name, code in codes.items() if code]
    error = None
    if failed:
        error = TaskError(f"{', '.join(failed)} failed.", hint="The lines above say where.")
    return Outcome(result={"exit_codes": codes}, error=error)


def _install_dev_requirements(run: Run) -> None:
    """Bring `.venv` up to date with requirements-dev.txt; any other environment is left alone."""
    import hashlib

    from snapshot_tasks.system import process

    wanted = hashlib.sha256(DEV_REQUIREMENTS.read_bytes()).hexdigest()
    environment = Path(sys.prefix)
    stamp = environment / ".requirements-dev.sha256"
    if stamp.is_file() and stamp.read_text(encoding="utf-8").strip() == wanted:
        return
    if environment != PROJECT_ROOT / ".venv":
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
