"""What an index holds of a value, and what the filters on it must find."""

from __future__ import annotations

from typing import Any

import pytest

from snapshot_tasks.domain.index_counts import VALUES, FieldCounter, IndexCount
from snapshot_tasks.domain.index_values import HELD, held_of, is_empty
from snapshot_tasks.domain.payload_path import Unsure, parse_path, values_at


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("a", ("a",)),
        ("a.b", ("a", "b")),
        ("a[].b", ("a", "[]", "b")),
        ("a[][]", ("a", "[]", "[]")),
        ('"a.b".c', ("a.b", "c")),
        ("größe-1", ("größe-1",)),
    ],
)
def test_paths_are_read(path: str, steps: tuple[str, ...]) -> None:
    """The forms that Qdrant documents."""
    assert parse_path(path) == steps


@pytest.mark.parametrize("path", ["", "a[0]", "a..b", ".a", 'a"b"', "a.", "[]"])
def test_other_paths_are_not_guessed(path: str) -> None:
    """What Qdrant does with them is not known, so nothing is asked."""
    with pytest.raises(Unsure):
        parse_path(path)


def test_values_are_found_through_arrays_only_where_the_path_says_so() -> None:
    """A key of an array is not guessed either."""
    payload = {"a": [{"b": 1}, {"b": [2, 3]}, 7, {}], "c": {"d": None}}
    assert values_at(payload, ("a", "[]", "b")) == [1, [2, 3]]
    assert values_at(payload, ("c", "d")) == [None]
    assert values_at(payload, ("c", "[]")) == []
    assert values_at(None, ("a",)) == []
    with pytest.raises(Unsure):
        values_at(payload, ("a", "b"))


@pytest.mark.parametrize(
    ("kind", "found", "held"),
    [
        ("keyword", ["x", ["y", 1, ["z"]], None], {"x", "y"}),
        ("integer", [1, [2, True, "3", 1.5]], {1, 2}),
        ("float", [1, [2.5, False, "3"]], {1.0, 2.5}),
        ("bool", [True, 1, "true"], {True}),
        ("datetime", ["1970-01-01T00:00:01Z", "1970-01-01", "no date"], {1_000_000, 0}),
        ("datetime", ["1970-01-01 07:00:00.25+07:00"], {250_000}),
        (
            "uuid",
            ["{6F9619FF-8B86-D011-B42D-00CF4FC964FF}", "6f9619ff8b86d011b42d00cf4fc964ff", "x"],
            {"6f9619ff-8b86-d011-b42d-00cf4fc964ff"},
        ),
        ("geo", [{"lon": 1, "lat": 2.5}, {"lon": "1", "lat": 2}, [1, 2]], {(1.0, 2.5)}),
        ("text", ["Selamat pagi", 7, "!"], {"Selamat"}),
    ],
)
def test_an_index_holds_what_fits_its_type(kind: str, found: list[Any], held: set[Any]) -> None:
    """Arrays are indexed element by element, one level deep; other types are passed over."""
    assert held_of(found, HELD[kind]) == held


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("integer", 1.0),
        ("integer", 1 << 63),
        ("datetime", "2025-01-01T10:00"),
        ("datetime", "2025-13-01"),
        ("datetime", "2025-01-01T00:00:00.1234567Z"),
        ("uuid", "6f9619ff-8b86d011-b42d-00cf4fc964ff"),
        ("geo", {"lon": 180, "lat": 0}),
    ],
)
def test_what_versions_treat_differently_is_not_guessed(kind: str, value: Any) -> None:
    """A wrong guess would be a false alarm."""
    with pytest.raises(Unsure):
        held_of([value], HELD[kind])


@pytest.mark.parametrize(
    ("found", "empty"),
    [([], True), ([None], True), ([[]], True), ([[None]], False), ([0], False), ([""], False)],
)
def test_emptiness_is_qdrants(found: list[Any], empty: bool) -> None:
    """Missing, null and an empty array."""
    assert is_empty(found) is empty


def counted(field: str, kind: str, payloads: list[Any], **params: Any) -> list[IndexCount]:
    """Count the payloads of some points."""
    counter = FieldCounter(field, {"data_type": kind, "params": params})
    for payload in payloads:
        counter.take(payload)
    return list(counter.counts())


def test_a_few_values_are_counted_exactly_however_many_there_are() -> None:
    """A value that is among those with the smallest hashes at the end was never dropped."""
    payloads = [{"n": n % 500} for n in range(2000)]
    matches = [c for c in counted("n", "integer", payloads) if "match" in c.condition]
    assert [c.file for c in matches] == [4] * VALUES
    assert counted("n", "integer", payloads)[0].file == 2000


def test_ranges_are_only_asked_where_they_tell_something() -> None:
    """Equal counts at several bounds are asked at the first and the last of them."""
    ranges = [
        (c.condition["range"]["gte"], c.file)
        for c in counted("n", "integer", [{"n": [-5, 3]}, {"n": 20}, {"n": "x"}])
        if "range" in c.condition
    ]
    assert ranges == [(-(2**53) + 1, 2), (1, 2), (10, 1), (1000, 0), (10**12, 0)]


def test_moments_are_matched_to_the_microsecond() -> None:
    """An index whose times have all become the same one still answers to many ranges."""
    asked = counted("t", "datetime", [{"t": "2025-01-01T12:00:00.5Z"}])
    exact = [c.condition["range"] for c in asked if "lte" in c.condition.get("range", {})]
    moment = "2025-01-01T12:00:00.500000+00:00"
    assert exact == [{"gte": moment, "lte": moment}]


@pytest.mark.parametrize(("off", "left"), [("lookup", "range"), ("range", "match")])
def test_an_index_is_not_asked_what_it_cannot_answer(off: str, left: str) -> None:
    """Qdrant would answer from the payloads, by other rules."""
    asked = counted("n", "integer", [{"n": 1}], **{off: False})
    assert {key for c in asked for key in c.condition} == {
        "is_empty",
        "is_null",
        "key",
        "values_count",
        left,
    }


def test_numbers_that_json_may_round_are_not_matched_exactly() -> None:
    """Ranges with fixed bounds still cover them."""
    asked = counted("n", "float", [{"n": 0.1 + 0.2}, {"n": 2.5}, {"n": 0}])
    exact = [c.condition["range"] for c in asked if "lte" in c.condition.get("range", {})]
    assert exact == [{"gte": 2.5, "lte": 2.5}]


def test_an_unsure_field_is_only_compared_with_the_source() -> None:
    """And so are words: how they are found is the tokenizer's business."""
    for asked in (
        counted("n", "integer", [{"n": 1.0}, {"n": 2}]),
        counted("t", "text", [{"t": "selamat pagi"}]),
        counted("s", "some future index", [{"s": "x"}]),
    ):
        assert {c.file for c in asked if "is_empty" not in c.condition} == {None}
        assert len(asked) > 1
        assert all(c.condition for c in asked)
    assert counted("a[0]", "keyword", [{"a": ["x"]}]) == []


def test_a_size_only_matters_if_it_is_nothing() -> None:
    """Qdrant's own count of what an index holds is vague."""
    size = IndexCount(field="f", condition={}, file=10)
    some = IndexCount(field="f", condition={"is_empty": {"key": "f"}}, file=10)
    assert [size.differs(10, n) for n in (0, 9, 10, 11)] == [True, False, False, False]
    assert not size.differs(0, 0)
    assert [some.differs(10, n) for n in (9, 10, 11)] == [True, False, True]
    assert not some.differs(None, 3)
    assert IndexCount.from_json(some.as_json()) == some
