"""`inv bench`: this project beside what one would use instead."""

from __future__ import annotations

from snapshot_tasks.cli.command import Count, Outcome, Run, command
from tools.tasks.running import run_module


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
    return run_module(run, "bench", flags, markdown, failure="The measuring failed.")
