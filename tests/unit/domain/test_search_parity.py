"""Results of searches are compared by their numbers; a score that is no number decides nothing."""

from __future__ import annotations

import json
import math

import pytest

from snapshot_tasks.domain.search_parity import (
    Agreement,
    Hit,
    Probe,
    compare_answers,
    merge_hits,
)

TOLERANCE = 1e-5
NAN, INF = math.nan, math.inf


def agree(expected: list[Hit], actual: list[Hit], *, is_odd: bool = False) -> str:
    """Compare two results."""
    return compare_answers(expected, actual, TOLERANCE, is_odd=is_odd).value


@pytest.mark.parametrize(
    ("expected", "actual", "verdict"),
    [
        ([(1, 0.9), (2, 0.8)], [(1, 0.9), (2, 0.8)], "same"),
        ([(1, 0.9), (2, 0.9)], [(2, 0.9), (1, 0.9)], "same"),
        ([(1, 0.9), (2, 0.8)], [(1, 0.9), (3, 0.7)], "different"),
        ([(1, 0.9), (2, 0.8)], [(1, 0.9)], "different"),
        ([(1, 0.9)], [(1, 0.9), (2, 0.8)], "different"),
        ([(1, 0.9), (2, 0.8)], [(3, 0.9), (2, 0.8)], "different"),
        ([], [], "same"),
        ([(1, 0.9)], [], "different"),
    ],
)
def test_numbers_decide(expected: list[Hit], actual: list[Hit], verdict: str) -> None:
    """Equal scores may swap places; any other difference is one."""
    assert agree(expected, actual) == verdict


@pytest.mark.parametrize(
    ("expected", "actual", "verdict"),
    [
        ([(1, 0.9), (2, 0.8)], [(9, None), (1, 0.9)], "same"),
        ([(1, 0.0)], [(1, 0.0), (9, None), (8, None)], "same"),
        ([(9, None), (1, 0.9)], [(9, None), (1, 0.9)], "same"),
        ([(9, None)], [(9, None)], "unclear"),
        ([(1, 0.9)], [(9, None)], "unclear"),
        ([(1, 0.9), (2, 0.8)], [(9, None), (3, 0.7)], "unclear"),
    ],
)
def test_scores_that_are_no_numbers(expected: list[Hit], actual: list[Hit], verdict: str) -> None:
    """What both list in common is compared; if that differs, or is nothing, nothing is known."""
    assert agree(expected, actual) == verdict
    assert agree(actual, expected) == verdict


def test_a_vector_with_nan_makes_differences_unclear() -> None:
    """NaN may push others out of a result that has only numbers."""
    assert agree([(1, 0.0), (2, 1.0)], [(2, 1.0), (3, 2.0)], is_odd=True) == "unclear"
    assert agree([(1, 0.0), (2, 1.0)], [(1, 0.0), (2, 1.0)], is_odd=True) == "same"
    assert agree([], [(1, 0.0)], is_odd=True) == Agreement.UNCLEAR.value


def test_shards_are_merged_with_any_score() -> None:
    """Distances ascend and other scores descend, whatever lies between; infinity becomes None."""
    assert merge_hits([[(1, INF), (2, 0.5)], [(3, 0.7)]]) == ((1, None), (3, 0.7), (2, 0.5))
    assert merge_hits([[(1, 0.5), (2, INF)], [(3, 0.7)]]) == ((1, 0.5), (3, 0.7), (2, None))
    assert merge_hits([[(1, NAN), (2, 0.9), (4, 0.5)], [(3, 0.7)]])[:2] == ((1, None), (2, 0.9))
    assert merge_hits([[(1, NAN)], []]) == ((1, None),)


@pytest.mark.parametrize("written", ["null", "Infinity", "-Infinity", "NaN", "1e999"])
def test_no_number_is_null(written: str) -> None:
    """A manifest that an earlier version wrote has other words; they all mean the same."""
    text = f'{{"vector": "", "id": 1, "exact": [[2, {written}], [3, 0.5]], "recall": 1.0}}'
    probe = Probe.from_json(json.loads(text))
    assert probe.exact == ((2, None), (3, 0.5))
    assert json.dumps(probe.as_json()["exact"], allow_nan=False) == "[[2, null], [3, 0.5]]"
