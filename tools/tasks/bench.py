"""`inv bench`: this project compared with the tools that one would use instead."""

from __future__ import annotations

from snapshot_tasks.cli.command import Count, Outcome, Run, command
from tools.tasks.running import run_module


@command(
    "bench",
    help={
        "points": "How many points to measure with, in thousands.",
        "dimensions": "The length of their vectors.",
        "rounds": "How often everything is measured, in turn.",
        "quick": "A small and quick run, for a rough picture in a few minutes.",
        "no-growth": "Skip the measurements of how it grows with the size of the collection.",
        "year": "Also simulate so many days of snapshots off-site; 365 take about half an hour.",
        "markdown": "Write the result to this file as a page of the docs, and its plot next to it.",
    },
)
def bench(
    run: Run,
    points: int = Count(100),
    dimensions: int = Count(384),
    rounds: int = Count(5),
    quick: bool = False,
    no_growth: bool = False,
    year: int = Count(0),
    markdown: str = "",
) -> Outcome:
    """Measure this project against the tools one would use instead, on a throw-away Qdrant."""
    flags = (
        f"--points={points * 1000}",
        f"--dimensions={dimensions}",
        f"--rounds={rounds}",
        *(("--quick",) if quick else ()),
        *(("--no-growth",) if no_growth else ()),
        f"--year={year}",
    )
    return run_module(run, "bench", flags, markdown, failure="The benchmark failed.")
