"""Suspicious vectors are counted, whatever their kind."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from snapshot_tasks.sealing.reader_process import Sanity

NAN = float("nan")


@pytest.mark.parametrize(
    ("vector", "is_odd"),
    [
        ([1.0, 2.0], False),
        ([1.0, NAN], True),
        ([float("inf"), 1.0], True),
        ([[1.0], [2.0]], False),
        ([[1.0], [NAN]], True),
        (SimpleNamespace(indices=[1], values=[2.0]), False),
        (SimpleNamespace(indices=[1], values=[NAN]), True),
        ([3e38, 3e38], False),
    ],
)
def test_vectors_that_are_no_numbers(vector: Any, is_odd: bool) -> None:
    """Dense, multi and sparse vectors with NaN or infinity are counted by their name."""
    sanity = Sanity()
    sanity.take({}, {"v": vector})
    assert sanity.as_json()["nan_vectors"] == ({"v": 1} if is_odd else {})
