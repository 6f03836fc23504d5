"""Start a Qdrant, fill it, run every contestant in turn for a few rounds, print the ratios."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.contestant import Asked
from bench.contests import CONTESTS, Result
from bench.data import BATCH, NAME, SMALL, SMALLER, change, load
from bench.growth import GROWING, QUICK_SIZES, SIZES, Grown, Size, draw
from bench.memory import watch
from bench.page import as_markdown
from bench.server import (
    PROJECT_ROOT,
    bench_version,
    cpu_seconds,
    measured_server,
    server_processes,
)
from bench.year import MODELS, Day, year
from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.operations.create.one import create
from snapshot_tasks.operations.create.request import CreateRequest
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.progress import Silent

OPTIMIZING_SECONDS = 600
# Qdrant flushes every 5 s, and shortens its log only then.
FLUSHING_SECONDS = 11


def main(argv: list[str]) -> int:
    """Measure and print; `--markdown` writes the page for the docs, with its plot next to it."""
    parser = argparse.ArgumentParser(prog="inv bench")
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--dimensions", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--no-growth", action="store_true")
    parser.add_argument("--year", type=int, default=0)
    parser.add_argument("--markdown", type=Path)
    given = parser.parse_args(argv)
    size = Size(points=given.points, dimensions=given.dimensions)
    sizes = () if given.no_growth else QUICK_SIZES if given.quick else SIZES
    if given.quick:
        size = Size(points=20_000, dimensions=384)
    runs = contest(size, 2 if given.quick else given.rounds)
    grown = [grow(each) for each in sizes]
    years = {model: list(live(model, given.year)) for model in MODELS if given.year}
    plot = given.markdown.with_suffix(".svg") if given.markdown and grown else None
    page = as_markdown(
        runs,
        grown,
        years,
        version=bench_version(),
        what=f"{size.points:,} points of {size.dimensions} dimensions",
        plot=plot.name if plot else "",
    )
    print(page)
    if plot:
        draw(grown, plot)
    if given.markdown:
        given.markdown.write_text(page, encoding="utf-8")
    return 0


def contest(size: Size, rounds: int) -> dict[str, list[Result]]:
    """Run all contestants in turn: those of one server, then those of a cluster."""
    runs: dict[str, list[Result]] = {name: [] for each in CONTESTS for name in each.contestants}
    for nodes in sorted({each.nodes for each in CONTESTS}):
        contests = [each for each in CONTESTS if each.nodes == nodes]
        everybody = [(each.module, name) for each in contests for name in each.contestants]
        with measured_server(nodes) as (endpoint, folder):
            asked = prepare(endpoint, folder, replace(size, shards=2 * nodes if nodes > 1 else 1))
            if nodes == 1:
                asked["changed"] = prepare_changed(endpoint, folder, size)
            for number in range(rounds):
                for module, name in everybody:
                    say(f"round {number + 1} of {rounds}: {name}")
                    runs[name].append(run(module, name, asked, endpoint))
    return runs


def live(model: str, days: int) -> Iterator[Day]:
    """Live some days, and say so."""
    for day in year(model, days):
        say(f"{model}: day {day.number + 1} of {days}")
        yield day


def grow(size: Size) -> Grown:
    """Measure one size, once."""
    with measured_server() as (endpoint, folder):
        asked = prepare(endpoint, folder, size)
        results = {}
        for module, name in GROWING:
            say(f"{size.points:,} points of {size.dimensions} dimensions: {name}")
            results[name] = run(module, name, asked, endpoint)
        return Grown(size=size, size_bytes=asked["bytes"], results=results)


def prepare(endpoint: Endpoint, folder: Path, size: Size) -> Asked:
    """Fill the server, take a snapshot of it, and leave another one there for the downloads."""
    say(f"loading {size.points:,} points of {size.dimensions} dimensions")
    load(endpoint, NAME, size)
    if len(endpoint.nodes()) > 1:
        load(endpoint, SMALL, replace(size, points=max(BATCH, size.points // SMALLER)))
    with Server(endpoint, operation_timeout_seconds=3600) as server:
        taken = _taken(server, folder)
        left = server.snapshots.create(NAME, server.snapshots.mark(NAME))
        # Names of snapshots only contain the second, so two in the same second would be the same
        # file.
        time.sleep(1)
    return {
        "url": endpoint.url,
        "nodes": [node.url for node in endpoint.nodes()],
        "grpc_port": endpoint.grpc_port,
        "version": bench_version(),
        "folder": str(folder),
        "points": size.points,
        "bytes": taken.size_bytes,
        "snapshot": str(taken.path),
        "sha256": taken.sha256,
        "server_snapshot": left.name,
        "server_bytes": left.size_bytes,
    }


def prepare_changed(endpoint: Endpoint, folder: Path, size: Size) -> str:
    """Change some points, and take another snapshot; return its file."""
    say("changing one point in a hundred")
    change(endpoint, NAME, size)
    with Server(endpoint, operation_timeout_seconds=3600) as server:
        return str(_taken(server, folder).path)


def _taken(server: Server, folder: Path) -> Snapshot:
    # Data that the optimizer is still rewriting or that is still in the log would be in the file
    # twice.
    server.collections.wait_green(NAME, OPTIMIZING_SECONDS)
    time.sleep(FLUSHING_SECONDS)
    request, catalog = CreateRequest(collection=NAME), Catalog(folder)
    return create(request, server, catalog, Silent(), clock=lambda: datetime.now(UTC)).snapshot


def run(module: str, name: str, asked: Asked, endpoint: Endpoint) -> Result:
    """Run one contestant.

    `own` is the memory that it used for its work, and `children` that of all processes it started;
    `server` is how long it kept the measured Qdrant's processors busy.
    """
    processes = server_processes(endpoint)
    before = cpu_seconds(processes)
    with subprocess.Popen(
        [sys.executable, "-m", "bench.contestant", module, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT_ROOT,
    ) as contestant:
        assert contestant.stdin is not None
        assert contestant.stdout is not None
        with contestant.stdin as stdin:
            json.dump(asked, stdin)
        most, children = watch(contestant)
        if contestant.returncode:
            raise subprocess.CalledProcessError(contestant.returncode, contestant.args)
        result: dict[str, Any] = json.loads(contestant.stdout.read())
    return {
        "amount": result["amount"],
        "seconds": result["seconds"],
        "own": max(0, most - result["before"]),
        "children": children,
        "server": cpu_seconds(processes) - before,
        **{key: result[key] for key in ("sent",) if key in result},
    }


def say(message: str) -> None:
    """Print the progress on stderr."""
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
