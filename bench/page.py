"""The benchmark page: each ratio with its spread and target, then the cost of each contestant."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from bench.contests import CONTESTS, Contest, Runs, comparisons
from bench.growth import Grown
from bench.year import Day

RATIOS = ("contest", "this project", "compared with", "ratio", "spread", "target", "met")
COSTS = ("what", "s", "speed", "memory added, MB", "its children's, MB", "Qdrant's processors")
SENT = "sent, MB"

GROWTH = (
    "",
    "The time is linear in bytes. Taking and restoring use the same few MB at every size.",
    "Sealing keeps Qdrant Edge's table of ids in memory, once in each of its two processes. The",
    "table grows with the points, so the target (1 GB within 20 % of 10 MB) is not met there.",
    "Reading a live collection keeps batches of 1,000 points in memory, which grow with",
    "dimensions and payload, not with points. Below 20,000 points, it reads whole points over",
    "REST, which uses the most memory.",
)
YEAR = (
    "",
    "One snapshot a day, under daily 7, weekly 4 and monthly 12; the target is at most 3 × the",
    "newest alone. Twelve months in which a percent is overwritten each day hold the data three",
    "times over by themselves, and Qdrant's optimizer writes segments anew in the meantime.",
)
TRIED = (
    "",
    "## What we tried, and whether it helped",
    "",
    "- Hashing a download in a separate thread is no faster. The slow part was httpx, which",
    "  splits bodies into pieces of 64 KiB; reading the socket directly is 1.6 times as fast.",
    "- `array` and NumPy take 5.7 and 6.3 µs for the float32 bits of a vector; `struct.pack` takes",
    "  3.3 µs.",
    "- Forking a reader that has opened the shard would save the second copy, but the threads of",
    "  Qdrant Edge are missing in the child, which then waits forever. So sealing uses two",
    "  processes, each with a copy and its share of the points (Qdrant Edge requires this).",
    "- Asking for search results in one batch takes half as long as one by one, with the same",
    "  results.",
    "- Python's garbage collector took a tenth of the time to read a live collection and a third",
    "  of the time to list a thousand snapshots. Tasks now run it rarely.",
    "- The number of tasks in `inv --list` does not matter: 34 bare tasks start as fast as one.",
    "  Only imports take time.",
    "- Killing the throw-away server instead of stopping it would save 0.4 s of a drill, but would",
    "  leave a server behind if its program is wrapped in a script. So it is stopped normally.",
)


def as_markdown(
    runs: Runs,
    grown: Sequence[Grown],
    years: Mapping[str, Sequence[Day]],
    *,
    version: str,
    what: str,
    plot: str = "",
) -> str:
    """Return the page."""
    return "\n".join(
        (
            "# How fast it is, compared with the alternatives",
            "",
            f"`inv bench` wrote this page on {datetime.now(UTC):%Y-%m-%d}: Qdrant {version} as a",
            f"native process, Python {platform.python_version()}, {os.cpu_count()} processors of",
            f"{_processor()}, which Qdrant shares; {what} with a payload of about 350 bytes.",
            "In each round, all contestants take turns, each in a separate process whose start is",
            "not counted. Ratios are medians over the rounds; the spread runs from the lowest to",
            "the highest. “≥” compares speeds, “≤” compares times for the same work.",
            "",
            *_table(RATIOS, _ratios(runs)),
            "",
            "For `create`, only the extra time over `create --no-seal` is compared. Memory is",
            "peak private memory, without file pages: what the work added to the process itself,",
            "and what all processes that it started used at once, including a throw-away Qdrant.",
            *(line for contest in CONTESTS for line in _costs(contest, runs)),
            *_growth(grown, plot),
            *years_table(years),
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
        sent = [r["sent"] for r in results if "sent" in r]
        rows.append(
            (
                name,
                f"{seconds:,.3g}",
                f"{speed:,.3g} {contest.unit}" if speed < 1000 else f"{speed:,.0f} {contest.unit}",
                f"{own:,.0f}",
                f"{children:,.0f}",
                f"{busy:.2f}",
                f"{statistics.median(sent) / 1e6:,.3g}" if sent else "",
            )
        )
    shown = len(COSTS) + any(row[-1] for row in rows)
    table = _table((*COSTS, SENT)[:shown], [row[:shown] for row in rows])
    remark = ("", contest.remark) if contest.remark else ()
    return ["", f"## {contest.title}", "", *table, *remark]


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


def years_table(years: Mapping[str, Sequence[Day]]) -> list[str]:
    """Return how much lay off-site at the end of each month."""
    rows = [
        (
            model,
            str(day.number + 1),
            str(day.kept_count),
            f"{day.stored_bytes / 1e6:,.0f}",
            f"{day.newest_bytes / 1e6:,.0f}",
            f"{day.stored_bytes / day.newest_bytes:.2f}",
        )
        for model, days in years.items()
        for day in days
        if day.number % 30 == 0 or day is days[-1]
    ]
    columns = ("what", "day", "snapshots kept", "off-site, MB", "the newest alone, MB", "ratio")
    return ["", "## A year off-site", "", *_table(columns, rows), *YEAR] if rows else []


def _table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    lines = [columns, tuple("---" for _ in columns), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.machine()
