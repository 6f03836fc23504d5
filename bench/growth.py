"""How time and memory grow with points, dimensions, payload and shards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.contests import Result

# Contest and contestant, as the plot shows them.
GROWING = (
    ("takers", "create --no-seal"),
    ("takers", "seal"),
    ("restorers", "restore from file://"),
    ("restorers", "restore by upload"),
    ("readers", "fingerprint, live"),
    ("pushers", "push, first"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A collection to measure with."""

    points: int
    dimensions: int
    shards: int = 1
    text_repeats: int = 8

    @property
    def payload_bytes(self) -> int:
        """The approximate size of a point's payload as JSON."""
        return 130 + 27 * self.text_repeats


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """The measured cost of one size."""

    size: Size
    size_bytes: int
    results: Mapping[str, Result] = field(default_factory=dict)

    @property
    def points(self) -> int:
        """The number of points."""
        return self.size.points

    @property
    def dimensions(self) -> int:
        """The length of their vectors."""
        return self.size.dimensions

    @property
    def shards(self) -> int:
        """The number of shards."""
        return self.size.shards

    @property
    def payload_bytes(self) -> int:
        """The approximate size of a payload."""
        return self.size.payload_bytes


SIZES = (
    *(Size(points=points, dimensions=64) for points in (10_000, 100_000, 1_000_000)),
    *(Size(points=points, dimensions=384) for points in (10_000, 100_000)),
    *(Size(points=points, dimensions=1536) for points in (10_000, 100_000)),
    Size(points=100_000, dimensions=384, shards=4),
    Size(points=100_000, dimensions=384, text_repeats=80),
)
QUICK_SIZES = (
    Size(points=2_000, dimensions=64),
    Size(points=20_000, dimensions=64),
    Size(points=20_000, dimensions=384),
    Size(points=20_000, dimensions=64, shards=4),
)


def draw(grown: list[Grown], file: Path) -> None:
    """Draw time and memory against the size of the file, both axes logarithmic."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "bench", "font.size": 9})
    from matplotlib import pyplot

    figure, (times, memory) = pyplot.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    ordered = sorted(grown, key=lambda one: one.size_bytes)
    megabytes = [one.size_bytes / 1e6 for one in ordered]
    for name in ordered[0].results:
        seconds = [one.results[name]["seconds"] for one in ordered]
        held = [(one.results[name]["own"] + one.results[name]["children"]) / 1e6 for one in ordered]
        times.plot(megabytes, seconds, marker="o", markersize=3, linewidth=1, label=name)
        memory.plot(megabytes, held, marker="o", markersize=3, linewidth=1, label=name)
    for axes, title, unit in ((times, "Time", "seconds"), (memory, "Memory", "MB")):
        axes.set(title=title, xlabel="snapshot, MB", ylabel=unit, xscale="log")
        axes.grid(visible=True, which="both", linewidth=0.3)
    times.set_yscale("log")
    memory.set_ylim(bottom=0)
    times.legend(frameon=False)
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)
