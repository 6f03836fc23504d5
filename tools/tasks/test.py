"""`inv test`: the tests of this project."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from snapshot_tasks.cli.command import Count, Outcome, Run, command
from snapshot_tasks.system.errors import SettingsError
from tools.tasks.running import ROOT, run_tools

# Tests spend more time waiting for servers than computing.
WORKERS_PER_PROCESSOR = 2
BY_PROCESSORS = Count(0)
_PART = re.compile(r"([1-9]\d{0,3})/([1-9]\d{0,3})")


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
    """Run the tests of this project; tests that lack a program are skipped, but fail in CI.

    Raises:
        SettingsError: if there is no such part.
    """
    from snapshot_tasks.cli.console import say

    if part:
        check_part(part)
    targets = [str(ROOT / "tests" / path) for path in only.split(",")]
    at_a_time = workers or WORKERS_PER_PROCESSOR * (os.cpu_count() or 1)
    flags = ["-n", str(at_a_time)] if at_a_time > 1 else []
    if coverage:
        flags += ["--cov", "--cov-report=term"]
        flags += ["--cov-fail-under=0"] if only or part else []
    switches = {"TESTS_FULL": full, "TESTS_MEASURE": measure, "TESTS_PART": part}
    environment = {name: str(value) for name, value in switches.items() if value}
    for reason in () if run.dry else left_out(only, part, full=full):
        say(f"left out: {reason}")
    return run_tools(run, (("pytest", *targets, *flags),), environment)


def check_part(part: str) -> None:
    """Raise SettingsError unless the text is a part such as 1/2."""
    found = _PART.fullmatch(part)
    if found is None or int(found[1]) > int(found[2]):
        raise SettingsError(
            f"--part {part} is not a part of the tests.",
            hint="Give its number and how many parts there are, such as --part 1/2 or --part 2/2.",
        )


def left_out(only: str, part: str, *, full: bool) -> Iterator[str]:
    """Yield what will be skipped on this machine, and how to avoid that; in CI it fails."""
    from tools.tasks.needs import unmet

    if not full:
        yield "long rounds and files of full size; --full runs them"
    for reason in unmet(only.split(",")):
        yield f"{reason} (if they are in part {part})" if part else reason
