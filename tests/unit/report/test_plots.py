"""The plots show the measurements: exact positions, readable axes, and a text for the blind."""

from __future__ import annotations

from datetime import timedelta

import pytest

from snapshot_tasks.operations.report import Sample
from snapshot_tasks.report.plots import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    STEPS,
    TOP,
    WIDTH,
    Plot,
    nice_step,
    plot_durations,
    plot_sizes,
)
from tests.support.manifests import TAKEN_AT

DAY = timedelta(days=1)


def samples(*values: float | None, apart: timedelta = DAY) -> list[Sample]:
    """Return measurements, a day apart."""
    return [Sample(at=TAKEN_AT + i * apart, value=value) for i, value in enumerate(values)]


def drawn(*values: float | None, apart: timedelta = DAY) -> Plot:
    """Return the plot of these durations."""
    plot = plot_durations("Restore time", samples(*values, apart=apart))
    assert plot is not None
    return plot


@pytest.mark.parametrize(
    ("highest", "step"), [(4, 1), (4.1, 2), (8, 2), (9, 5), (20, 5), (21, 10), (0.3, 0.1), (1, 0.5)]
)
def test_steps_are_round(highest: float, step: float) -> None:
    """1, 2 or 5 times a power of ten, and never more steps than there is space for."""
    assert nice_step(highest) == pytest.approx(step)
    assert highest / nice_step(highest) <= STEPS + 1e-9


def test_every_measurement_is_where_it_belongs() -> None:
    """Zero is on the axis, the top tick at the top, times run from left to right."""
    plot = drawn(0.0, 0.2, 0.4)
    floor, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    middle = (LEFT + right) / 2
    half = (TOP + floor) / 2
    assert plot.line == f"M{LEFT}.0 {floor}.0L{middle:.1f} {half:.1f}L{right}.0 {TOP}.0"
    assert plot.dots.count("h0") == 3
    assert plot.crosses == ""


def test_the_axes_have_round_numbers_in_one_unit() -> None:
    """The unit is the one that a person would use for the largest value."""
    assert [tick.label for tick in drawn(0.1, 0.26).y_ticks] == ["0", "100", "200", "300"]
    assert drawn(0.1, 0.26).unit == "ms"
    assert drawn(1, 90).unit == "s"
    assert drawn(1, 900).unit == "min"
    assert drawn(1, 90000).unit == "h"
    plot = plot_sizes("Size", samples(1_592_832, 77_888_000))
    assert plot is not None
    assert plot.unit == "MB"
    assert [tick.label for tick in plot.y_ticks] == ["0", "20", "40", "60", "80"]


@pytest.mark.parametrize(
    ("apart", "labels"),
    [
        (timedelta(hours=3), ["12:00", "13:30", "15:00"]),
        (timedelta(days=10), ["1 Jan", "6 Jan", "11 Jan"]),
        (timedelta(days=400), ["Jan 2025", "Jul 2025", "Feb 2026"]),
        (timedelta(0), ["1 Jan 2025"]),
    ],
)
def test_times_are_as_fine_as_they_need_be(apart: timedelta, labels: list[str]) -> None:
    """Hours within two days, days within a year, else months; a single moment is one tick."""
    assert [tick.label for tick in drawn(1, 2, apart=apart).x_ticks] == labels


def test_a_failure_is_a_cross_and_no_measurement() -> None:
    """The line does not fall to zero where a measurement failed."""
    plot = drawn(0.2, None, 0.4)
    assert plot.line.count("L") == 1
    assert plot.crosses.count("M") == 1
    assert plot.description == (
        "2 measurements from 1 January 2025 to 3 January 2025: latest 400 ms, "
        "minimum 200 ms, maximum 400 ms; 1 failed, marked with a cross."
    )


def test_one_measurement_is_no_development() -> None:
    """A line needs at least two measurements."""
    assert plot_durations("Restore time", samples()) is None
    assert plot_durations("Restore time", samples(1.0, None)) is None


@pytest.mark.parametrize("value", [0.0, 1e-9, 1e300, 5e-324])
def test_any_number_can_be_drawn(value: float) -> None:
    """Proofs come from a file that anyone may have written."""
    plot = drawn(value, value)
    assert "nan" not in plot.line
    assert 2 <= len(plot.y_ticks) <= STEPS + 2
    assert all(TOP - 1 <= tick.at <= HEIGHT - BOTTOM for tick in plot.y_ticks)
