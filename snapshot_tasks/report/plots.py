"""The geometry of the plots. Pure; the template draws them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from snapshot_tasks.operations.report import Sample
from snapshot_tasks.system.units import duration, size

# The width that a phone can show without shrinking the text.
WIDTH, HEIGHT = 340, 180
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 28
STEPS = 4
_DURATIONS = ((1.0, 1e-3, "ms"), (120.0, 1.0, "s"), (7200.0, 60.0, "min"), (math.inf, 3600.0, "h"))
_SIZES = ((1e3, 1.0, "B"), (1e6, 1e3, "kB"), (1e9, 1e6, "MB"), (1e12, 1e9, "GB"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """One mark of an axis: its position and its label."""

    at: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A drawn plot. `line`, `dots` and `crosses` are SVG paths; crosses mark failed measurements.

    `description` says in words what the plot shows, for people who cannot see it.
    """

    title: str
    unit: str
    description: str
    line: str
    dots: str
    crosses: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


def plot_durations(title: str, samples: Sequence[Sample]) -> Plot | None:
    """Return the plot of measured seconds; None for fewer than two, which show no trend."""
    return _plot(title, samples, _DURATIONS, duration)


def plot_sizes(title: str, samples: Sequence[Sample]) -> Plot | None:
    """Return the plot of sizes in bytes; None for fewer than two."""
    return _plot(title, samples, _SIZES, size)


def nice_step(highest: float) -> float:
    """Return the step of 1, 2 or 5 times a power of ten that needs at most `STEPS` steps."""
    rough = highest / STEPS
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= rough * (1 - 1e-9))


def _plot(
    title: str,
    samples: Sequence[Sample],
    units: Sequence[tuple[float, float, str]],
    spoken: Callable[[float], str],
) -> Plot | None:
    measured = [s.value for s in samples if s.value is not None]
    if len(measured) < 2:
        return None
    _, factor, unit = next((u for u in units if max(measured) < u[0]), units[-1])
    step = nice_step(max(*measured, factor / 1000) / factor)
    steps = max(1, math.ceil(max(measured) / factor / step - 1e-9))
    across, up = _across([s.at for s in samples]), _up(steps * step * factor)
    spots = [(across(s.at), up(s.value)) for s in samples if s.value is not None]
    return Plot(
        title=title,
        unit=unit,
        description=_description(samples, measured, spoken),
        line="M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in spots),
        dots="".join(f"M{x:.1f} {y:.1f}h0" for x, y in spots),
        crosses="".join(
            f"M{across(s.at) - 3:.1f} {HEIGHT - BOTTOM - 9}l6 6m0-6l-6 6"
            for s in samples
            if s.value is None
        ),
        x_ticks=_x_ticks(samples[0].at, samples[-1].at),
        y_ticks=tuple(
            Tick(at=up(number * step * factor), label=f"{number * step:,.10g}")
            for number in range(steps + 1)
        ),
    )


def _across(times: Sequence[datetime]) -> Callable[[datetime], float]:
    first, span = times[0], (times[-1] - times[0]) / timedelta(seconds=1)
    room = WIDTH - LEFT - RIGHT

    def across(at: datetime) -> float:
        return LEFT + room * ((at - first) / timedelta(seconds=1) / span if span else 0.5)

    return across


def _up(highest: float) -> Callable[[float], float]:
    return lambda value: HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / highest


def _x_ticks(first: datetime, last: datetime) -> tuple[Tick, ...]:
    """Return ticks for the first, the middle and the last moment."""
    form = "%H:%M" if last - first < timedelta(days=2) else "%-d %b"
    if last - first >= timedelta(days=300):
        form = "%b %Y"
    across = _across((first, last))
    if first == last:
        return (Tick(at=across(first), label=f"{first.astimezone(UTC):%-d %b %Y}"),)
    middle = first + (last - first) / 2
    moments = (first, middle, last)
    return tuple(Tick(at=across(at), label=f"{at.astimezone(UTC):{form}}") for at in moments)


def _description(
    samples: Sequence[Sample], measured: Sequence[float], spoken: Callable[[float], str]
) -> str:
    first, last = (f"{s.at.astimezone(UTC):%-d %B %Y}" for s in (samples[0], samples[-1]))
    failures = len(samples) - len(measured)
    return (
        f"{len(measured)} measurements from {first} to {last}: latest {spoken(measured[-1])}, "
        f"minimum {spoken(min(measured))}, maximum {spoken(max(measured))}"
        + (f"; {failures} failed, marked with a cross." if failures else ".")
    )
