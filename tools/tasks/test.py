"""`inv test`: the tests of this project."""

from __future__ import annotations

from snapshot_tasks.cli.command import Outcome, Run, command
from tools.tasks.running import ROOT, run_tools


@command("test", help={"only": "Only these tests: a path below tests/, such as unit."})
def run_tests(run: Run, only: str = "") -> Outcome:
    """Run the tests of this project; engines that are missing are skipped, in CI they fail."""
    target = ROOT / "tests" / only
    return run_tools(
        run, (("pytest", str(target), *(() if only else ("--cov", "--cov-report=term"))),)
    )
