"""`inv test`: the tests of this project."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

from snapshot_tasks.cli.command import Count, Outcome, Run, command
from tools.tasks.running import ROOT, run_tools

# Tests spend more time waiting for servers than computing.
WORKERS_PER_PROCESSOR = 2
BY_PROCESSORS = Count(0)
# A run has up to 2 GB of files at the same time.
MEMORY_BYTES = 6 << 30


@command(
    "test",
    help={
        "only": "Only these tests: paths below tests/, separated by commas, such as unit,property.",
        "part": "Only this part of the tests, such as 1/2, for machines that share the work.",
        "full": "Also run long rounds and files of full size, which take an hour or more.",
        "coverage": "Measure which lines and branches run; all tests together need a minimum.",
        "workers": "How many tests run at the same time; default: 2 per processor.",
        "measure": "Save the time of each file in tests/durations.json, to plan later runs.",
    },
)
def run_tests(
    run: Run,
    only: str = "",
    part: str = "",
    full: bool = False,
    coverage: bool = False,
    workers: int = BY_PROCESSORS,
    measure: bool = False,
) -> Outcome:
    """Run the tests of this project; tests of missing engines are skipped, but fail in CI."""
    from snapshot_tasks.cli.console import say

    targets = [str(ROOT / "tests" / path) for path in only.split(",")]
    at_a_time = workers or WORKERS_PER_PROCESSOR * (os.cpu_count() or 1)
    flags = ["-n", str(at_a_time)] if at_a_time > 1 else []
    if coverage:
        flags += ["--cov", "--cov-report=term"]
        flags += ["--cov-fail-under=0"] if only or part else []
    switches = {"TESTS_FULL": full, "TESTS_MEASURE": measure, "TESTS_PART": part}
    environment = {name: str(value) for name, value in switches.items() if value}
    for reason in () if run.dry else left_out(full=full):
        say(f"left out: {reason}")
    return run_tools(run, (("pytest", *targets, *flags),), environment)


def left_out(*, full: bool) -> Iterator[str]:
    """Yield what will be skipped on this machine, and how to avoid that; in CI it fails."""
    from snapshot_tasks.engines.binary import find_binary
    from snapshot_tasks.engines.compose_client import docker_problem
    from snapshot_tasks.settings import load_settings

    if not full:
        yield "long rounds and files of full size; --full runs them"
    if problem := docker_problem():
        yield f"tests with Docker: {problem}"
    settings = load_settings(ROOT, {})
    for version in ("1.16.3", "1.17.0"):
        if find_binary(settings, version) is None:
            yield f"tests with Qdrant {version}; ./inv engine.install --version {version} gets it"
    for program, package in (("chromium", "chromium"), ("restic", "restic")):
        if shutil.which(program) is None:
            yield f"tests with {program}; Debian's package {package} has it"
