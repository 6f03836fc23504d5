"""The page of the docs: every ratio with its spread and target, then each contestant's cost."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime

from bench.contests import CONTESTS, Contest, Runs, comparisons
from bench.growth import Grown

RATIOS = ("contest", "this project", "beside", "ratio", "spread", "target", "met")
COSTS = ("what", "s", "speed", "memory added, MB", "its children's, MB", "Qdrant's processors")

GROWTH = (
    "",
    "The time is linear in bytes. Taking and restoring hold the same few MB at every size.",
    "Sealing holds the engine's own table of ids, once in each of its two processes: it grows",
    "with points, so the target (1 GB within 20 % of 10 MB) is not met there. Reading a live",
    "collection holds batches of 1,000 points: that grows with dimensions and payload, not with",
    "points. Below 20,000 points it reads them as a whole over REST, which holds most.",
)
TRIED = (
    "",
    "## What was tried, and did not matter or did",
    "",
    "- Hashing a download in a thread of its own: no faster. What mattered is httpx, which takes",
    "  bodies apart in pieces of 64 KiB; reading the socket directly is 1.6 times as fast.",
    "- `array` or NumPy for a vector's float32 bits: 5.7 and 6.3 µs; `struct.pack` takes 3.3 µs.",
    "- Forking a reader that has opened the shard, to spare the second copy: the engine's threads",
    "  are missing in the child, which then waits for ever. Two processes with a copy and a",
    "  slice of the points each (the engine's own condition) are what sealing does.",
    "- Search answers asked in one batch take half as long as one by one, and are the same.",
    "- Python's search for cycles of objects: a tenth of reading a live collection, a third of",
    "  listing a thousand snapshots. Tasks look for them rarely.",
    "- The number of tasks in `inv --list`: 34 bare ones start as fast as one. Imports are all.",
    "- Killing the throw-away server instead of telling it to stop would spare 0.4 s of a drill,",
    "  and leave a server behind whose program is wrapped in a script. It is told to stop.",
)


def as_markdown(
    runs: Runs, grown: Sequence[Grown], *, version: str, what: str, plot: str = ""
) -> str:
    """Return the page."""
    return "\n".join(
        (
            "# How fast, beside what one would use instead",
            "",
            f"`inv bench` wrote this page on {datetime.now(UTC):%Y-%m-%d}: Qdrant {version} as a",
            f"native process, Python {platform.python_version()}, {os.cpu_count()} processors of",
            f"{_processor()}, which Qdrant shares; {what} with a payload of about 350 bytes.",
            "All contestants take turns, round by round, each in a process of its own, its start",
            "not counted. Ratios are medians over the rounds; the spread is from the lowest to the",
            "highest. “≥” compares speeds, “≤” times for the same work.",
            "",
            *_table(RATIOS, _ratios(runs)),
            "",
            "`create` is compared by what it takes longer than `create --no-seal`. Memory is the",
            "most that was a process's own, without the pages of files: what the work added to it,",
            "and what all processes held at once that it started, a throw-away Qdrant among them.",
            *(line for contest in CONTESTS for line in _costs(contest, runs)),
            *_growth(grown, plot),
            *TRIED,
            "",
        )
    )


def _ratios(runs: Runs) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for contest, comparison in comparisons():
        ratios = comparison.ratios(runs)
        rows.append(
            (
                contest.title,
                comparison.ours,
                comparison.other,
                f"{statistics.median(ratios):.2f}",
                f"{min(ratios):.2f}-{max(ratios):.2f}",
                comparison.target,
                "yes" if comparison.is_met(runs) else "**no**",
            )
        )
    return rows


def _costs(contest: Contest, runs: Runs) -> list[str]:
    divisor = 1e6 if contest.unit == "MB/s" else 1
    rows = []
    for name in contest.contestants:
        results = runs[name]
        seconds = statistics.median(r["seconds"] for r in results)
        speed = statistics.median(r["amount"] / r["seconds"] for r in results) / divisor
        own, children = (max(r[key] for r in results) / 1e6 for key in ("own", "children"))
        busy = statistics.median(r["server"] / r["seconds"] for r in results)
        rows.append(
            (
                name,
                f"{seconds:,.3g}",
                f"{speed:,.3g} {contest.unit}" if speed < 1000 else f"{speed:,.0f} {contest.unit}",
                f"{own:,.0f}",
                f"{children:,.0f}",
                f"{busy:.2f}",
            )
        )
    remark = ("", contest.remark) if contest.remark else ()
    return ["", f"## {contest.title}", "", *_table(COSTS, rows), *remark]


def _growth(grown: Sequence[Grown], plot: str) -> list[str]:
    if not grown:
        return []
    columns = ("points", "dimensions", "shards", "payload, bytes", "file, MB")
    names = list(grown[0].results)
    rows = [
        (
            f"{one.points:,}",
            f"{one.dimensions:,}",
            str(one.shards),
            f"{one.payload_bytes:,}",
            f"{one.size_bytes / 1e6:,.0f}",
            *(
                f"{r['seconds']:,.3g} s, {(r['own'] + r['children']) / 1e6:,.0f} MB"
                for r in one.results.values()
            ),
        )
        for one in grown
    ]
    picture = [f"![time and memory against the size of the file]({plot})", ""] if plot else []
    return ["", "## How it grows", "", *picture, *_table((*columns, *names), rows), *GROWTH]


def _table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    lines = [columns, tuple("---" for _ in columns), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.machine()
