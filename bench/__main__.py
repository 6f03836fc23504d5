"""Start a Qdrant, fill it, run every contestant in turn for some rounds, print the ratios."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from bench.data import NAME, load
from bench.readers import READERS
from snapshot_tasks.engines.base import FreshRequest
from snapshot_tasks.engines.select import drill_engine
from snapshot_tasks.models import Endpoint, Silent
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.settings import load_settings

PROJECT_ROOT = Path(__file__).resolve().parents[1]
COLUMNS = ("what", "beside", "points/s", "points/s", "ratio", "spread", "target")


@dataclass(frozen=True, slots=True)
class Comparison:
    """One reader of this project beside another: the ratio of their points/s, and its target.

    With `time_share` the ratio is that of their seconds, and the target is not to be exceeded.
    """

    ours: str
    other: str
    target: float
    time_share: bool = False


COMPARISONS = (
    Comparison("fingerprint, live", "gRPC bytes", 0.6),
    Comparison("fingerprint, live", "gRPC bytes, two processes", 0.55),
    Comparison("fingerprint, live", "qdrant-client scroll", 6.0),
    Comparison("fingerprint, file", "engine, values touched", 0.65),
    Comparison("locate, live", "fingerprint, live", 0.05, time_share=True),
    Comparison("locate, file", "seal, file", 0.05, time_share=True),
)
Runs = dict[str, list[dict[str, float]]]


def main(argv: list[str]) -> int:
    """Measure and print; `--markdown` writes the page for the docs."""
    parser = argparse.ArgumentParser(prog="inv bench")
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--dimensions", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--markdown", type=Path)
    given = parser.parse_args(argv)
    with measured_server() as (endpoint, version, folder):
        say(f"loading {given.points:,} points of {given.dimensions} dimensions")
        load(endpoint, points=given.points, dimensions=given.dimensions)
        asked = {
            "url": endpoint.url,
            "grpc_port": endpoint.grpc_port,
            "points": given.points,
            "snapshot": str(download(endpoint, folder)),
        }
        runs: Runs = {name: [] for name in READERS}
        for number in range(given.rounds):
            for name, results in runs.items():
                say(f"round {number + 1} of {given.rounds}: {name}")
                results.append(run(name, asked))
    page = as_markdown(runs, version, given.points, given.dimensions)
    print(page)
    if given.markdown:
        given.markdown.write_text(page, encoding="utf-8")
    return 0


@contextmanager
def measured_server() -> Iterator[tuple[Endpoint, str, Path]]:
    """Run an empty Qdrant of the configured version, and a folder that goes with it."""
    settings = load_settings(PROJECT_ROOT, os.environ)
    engine = drill_engine(settings).engine
    with tempfile.TemporaryDirectory(prefix="qdrant-bench-") as name:
        request = FreshRequest(version=settings.version, folder=Path(name))
        with engine.fresh(request, Silent()) as server:
            yield server.endpoint, f"Qdrant {settings.version} ({engine.name})", Path(name)


def download(endpoint: Endpoint, folder: Path) -> Path:
    """Take a snapshot of the collection and bring it here."""
    path = folder / "bench.snapshot"
    server = Server(endpoint, operation_timeout_seconds=600)
    with server, path.open("wb") as file:
        server.download(
            NAME, server.create_snapshot(NAME, server.mark(NAME)), lambda chunk: _write(file, chunk)
        )
    return path


def _write(file: IO[bytes], chunk: bytes) -> None:
    file.write(chunk)


def run(name: str, asked: dict[str, Any]) -> dict[str, float]:
    """Run one contestant."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.readers", name],
        input=json.dumps(asked),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=PROJECT_ROOT,
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def as_markdown(runs: Runs, version: str, points: int, dimensions: int) -> str:
    """Return the page: ratios with their spread, then speed and memory of each contestant."""
    header = [COLUMNS, tuple("---" for _ in COLUMNS)]
    rows = [*header, *(_row(comparison, runs) for comparison in COMPARISONS)]
    memory = [
        ("reader", "points/s", "memory, MB", "its child's, MB"),
        ("---", "---", "---", "---"),
        *(
            (
                name,
                f"{_speed(results):,.0f}",
                f"{max(r['own'] for r in results) / 1e6:,.0f}",
                f"{max(r['children'] for r in results) / 1e6:,.0f}",
            )
            for name, results in runs.items()
        ),
    ]
    return "\n".join(
        (
            "# How fast every point is read",
            "",
            f"`inv bench` wrote this page on {datetime.now(UTC):%Y-%m-%d}: {version},",
            f"Python {platform.python_version()}, {os.cpu_count()} processors, the server's too,",
            f"{points:,} points of {dimensions} dimensions with a payload of about 350 bytes.",
            "Medians over the rounds; the spread is that of the ratio within one round.",
            "",
            *_lines(rows),
            "",
            "For locating, ratio is the share of the other's time. It lists the id of every point,",
            "then reads those that may differ. Qdrant takes 1.2 µs to list an id, which is 6 % of",
            "what reading its whole point takes: so 0.05 is out of reach while every id is listed.",
            "In the file, most of it is unpacking, which sealing needs as well.",
            "",
            "Memory is the most that a process held at once, the pages of files that the engine",
            "maps included.",
            "",
            *_lines(memory),
            "",
        )
    )


def _row(comparison: Comparison, runs: Runs) -> tuple[str, ...]:
    ours, other = runs[comparison.ours], runs[comparison.other]
    ratios = [
        b["seconds"] / a["seconds"] * a["points"] / b["points"]
        for a, b in zip(ours, other, strict=True)
    ]
    if comparison.time_share:
        ratios = [1 / ratio for ratio in ratios]
    sign = "≤" if comparison.time_share else "≥"
    return (
        comparison.ours,
        comparison.other,
        f"{_speed(ours):,.0f}",
        f"{_speed(other):,.0f}",
        f"{statistics.median(ratios):.2f}",
        f"{min(ratios):.2f}-{max(ratios):.2f}",
        f"{sign} {comparison.target}",
    )


def _speed(results: list[dict[str, float]]) -> float:
    return statistics.median(r["points"] / r["seconds"] for r in results)


def _lines(rows: Sequence[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in rows]


def say(message: str) -> None:
    """Tell on stderr where it is."""
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
