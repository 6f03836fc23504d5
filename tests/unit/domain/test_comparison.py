"""Descriptions differ where a person would say so, and versions match by Qdrant's rule."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from snapshot_tasks.domain.comparison import added_only, differences

KEYS = st.sampled_from("abc")
SCALARS = st.sampled_from([None, True, False, 0, 1, 2.5, "x", ""]) | st.lists(
    st.sampled_from(["x", "y"]), max_size=2
)
VALUES = st.recursive(SCALARS, lambda inner: st.dictionaries(KEYS, inner, max_size=3))
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=3)


def plain(value: Any) -> Any:
    """Return a form in which only equal values are equal, without keys that are null."""
    if isinstance(value, dict):
        return {"object": {k: plain(v) for k, v in value.items() if v is not None}}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return (isinstance(value, bool), value)


@settings(max_examples=20, deadline=None)
@given(first=OBJECTS, second=OBJECTS)
@example(first={"a": 1}, second={"a": True})
@example(first={"a": {}}, second={})
@example(first={"a": {"b": None}}, second={"a": {}})
def test_no_difference_means_equal(first: dict[str, Any], second: dict[str, Any]) -> None:
    """There is no difference exactly when both are equal up to keys that are null."""
    assert (not list(differences(first, second))) == (plain(first) == plain(second))


@settings(max_examples=20, deadline=None)
@given(value=OBJECTS, nulls=st.sets(KEYS))
def test_null_is_absent(value: dict[str, Any], nulls: set[str]) -> None:
    """Keys that are null make no difference on either side."""
    more = value | {key: None for key in nulls if key not in value}
    assert not list(differences(value, more))
    assert not list(differences(more, value))


@settings(max_examples=20, deadline=None)
@given(expected=OBJECTS, actual=OBJECTS)
def test_both_directions_see_the_same_places(
    expected: dict[str, Any], actual: dict[str, Any]
) -> None:
    """Swapping the sides never hides a difference."""
    there = [line.split(":")[0] for line in differences(expected, actual)]
    back = [line.split(":")[0] for line in differences(actual, expected)]
    assert there == back


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ({"a": [{"b": None}]}, {"a": [{}]}),
        ({"a": [{"b": 1, "c": None}]}, {"a": [{"b": 1}]}),
    ],
)
def test_null_is_absent_in_lists_too(expected: Any, actual: Any) -> None:
    """Objects in lists are objects as well."""
    assert not list(differences(expected, actual))


def test_true_is_not_one_in_lists_either() -> None:
    """A flag that became a number is a difference at any depth."""
    assert list(differences({"a": [True]}, {"a": [1]}))


def test_a_difference_says_where_and_what() -> None:
    """A line names the path, what was expected, and what was found."""
    expected = {"params": {"vectors": {"size": 4}}, "lost": 1, "kept": "x"}
    actual = {"params": {"vectors": {"size": 8}}, "new": [1], "kept": "x"}
    assert list(differences(expected, actual)) == [
        "lost: expected 1, found nothing",
        "new: expected nothing, found [1]",
        "params.vectors.size: expected 4, found 8",
    ]


@settings(max_examples=20, deadline=None)
@given(expected=OBJECTS, more=OBJECTS)
def test_added_keys_are_only_added(expected: dict[str, Any], more: dict[str, Any]) -> None:
    """Anything that was only added, at any depth, counts as added."""
    actual = {**more, **expected}
    deeper = {k: {"z": 1, **v} if isinstance(v, dict) else v for k, v in actual.items()}
    assert added_only(expected, actual)
    assert added_only(expected, deeper)


@settings(max_examples=20, deadline=None)
@given(expected=OBJECTS, actual=OBJECTS)
def test_equal_is_added_only(expected: dict[str, Any], actual: dict[str, Any]) -> None:
    """No difference is distinguished from a difference in an expected value."""
    if not list(differences(expected, actual)):
        assert added_only(expected, actual)
    elif all("expected nothing" not in line for line in differences(expected, actual)):
        assert not added_only(expected, actual)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [({"a": 1}, {}), ({"a": 1}, {"a": 2}), ({"a": 1}, {"a": True}), ({"a": {"b": 1}}, {"a": 1})],
)
def test_what_is_lost_or_changed_is_not_added(expected: Any, actual: Any) -> None:
    """A missing key or a different value is more than an addition."""
    assert not added_only(expected, actual)
