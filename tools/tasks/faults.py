"""`inv faults`: known faults injected into real runs."""

from __future__ import annotations

from snapshot_tasks.cli.command import Count, Outcome, Run, command
from tools.tasks.running import run_module


@command(
    "faults",
    help={
        "rounds": "How often each fault is injected.",
        "seed": "The seed for the random moments.",
        "markdown": "Write the table to this file as a page of the docs.",
    },
)
def faults(run: Run, rounds: int = Count(3), seed: int = Count(1), markdown: str = "") -> Outcome:
    """Inject every known fault into real runs at random moments, and report the damage."""
    flags = (f"--rounds={rounds}", f"--seed={seed}")
    return run_module(run, "tests.matrix", flags, markdown, failure="A fault has done damage.")
