"""`inv bench` on small collections: every contestant, every ratio and the plot are there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import grow
from bench.contests import CONTESTS, Comparison, comparisons
from bench.growth import GROWING, Size, draw
from tests.conftest import ROOT
from tests.support.amount import only_full


@only_full
@pytest.mark.timeout(900)
def test_every_contestant_is_measured(tmp_path: Path) -> None:
    """No number is checked here, because numbers mean nothing on a machine under load."""
    page = tmp_path / "benchmark.md"
    flags = ["--points=2000", "--dimensions=8", "--rounds=1", "--no-growth", f"--markdown={page}"]
    done = bench(*flags)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == page.read_text(encoding="utf-8").strip()
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    ratios = [row for row in rows if re.search(r"\| [≥≤] \d", row)]
    assert len(ratios) == len(list(comparisons()))
    for contest in CONTESTS:
        for name in contest.contestants:
            assert any(row.startswith(f"| {name} |") for row in rows), name
    assert {path.name for path in tmp_path.iterdir()} == {page.name}


def test_growth_is_measured_and_drawn(tmp_path: Path) -> None:
    """A size in two shards: every curve has its point."""
    grown = grow(Size(points=1000, dimensions=8, shards=2))
    assert set(grown.results) == {name for _, name in GROWING}
    assert grown.size_bytes > 0
    plot = tmp_path / "plot.svg"
    draw([grown], plot)
    drawn = plot.read_text(encoding="utf-8")
    assert all(name in drawn for _, name in GROWING)


@pytest.mark.parametrize(
    ("comparison", "ratio", "met"),
    [
        (Comparison(ours="a", other="b", at_most=1.1), 2.0, False),
        (Comparison(ours="b", other="a", at_most=1.1), 0.5, True),
        (Comparison(ours="a", other="b", at_least=0.5), 0.5, True),
        (Comparison(ours="a", minus="b", other="b", at_most=1.0), 1.0, True),
    ],
)
def test_ratios(comparison: Comparison, ratio: float, met: bool) -> None:
    """Speeds must be at least, and times at most, the target."""
    runs = {
        "a": [{"seconds": 2.0, "amount": 1.0}] * 2,
        "b": [{"seconds": 1.0, "amount": 1.0}] * 2,
    }
    assert comparison.ratios(runs) == [ratio] * 2
    assert comparison.is_met(runs) is met


def bench(*flags: str) -> subprocess.CompletedProcess[str]:
    """Run the module that `inv bench` runs."""
    return subprocess.run(
        [sys.executable, "-m", "bench", *flags],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": str(Path.home()), "QDRANT_ENGINE": "native"},
        capture_output=True,
        text=True,
        check=False,
    )
