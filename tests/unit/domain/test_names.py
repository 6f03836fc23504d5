"""A snapshot's name shows its collection and time, and no two names are equal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapshot_tasks.domain.names import (
    beside_names,
    check_collection,
    latest_name,
    parse_name,
    snapshot_names,
)
from snapshot_tasks.system.errors import SettingsError

AT = datetime(2025, 1, 1, 12, 0, 0, tzinfo=UTC)
COLLECTIONS = st.text("aZ09_-. [é漢", min_size=1, max_size=12).filter(
    lambda name: not name.startswith(".")
)
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC))


def test_a_name_has_the_time_in_utc() -> None:
    """The name is in UTC for every time zone."""
    at = datetime(2025, 1, 1, 19, 0, 0, tzinfo=timezone(timedelta(hours=7)))
    assert next(snapshot_names("books", at)) == "books_20250101_120000.snapshot"


def test_names_of_one_second_are_distinct() -> None:
    """Several runs in one second get distinct names with the same meaning."""
    names = list(islice(snapshot_names("books", AT), 12))
    assert len(set(names)) == 12
    assert names[1] == "books_20250101_120000-2.snapshot"
    assert {parse_name(name) for name in names} == {("books", AT)}


@settings(max_examples=15, deadline=None)
@given(collection=COLLECTIONS, at=TIMES, which=st.integers(0, 20))
def test_a_name_tells_what_it_was_made_of(collection: str, at: datetime, which: int) -> None:
    """The names of every collection can be parsed again."""
    name = next(islice(snapshot_names(collection, at), which, None))
    assert parse_name(name) == (collection, at.replace(microsecond=0))


@pytest.mark.parametrize(
    ("name", "collection", "at"),
    [
        ("books_20250101_120000.snapshot", "books", AT),
        ("books_20250101_120000-3.snapshot", "books", AT),
        ("a_20240101_000000_20250101_120000.snapshot", "a_20240101_000000", AT),
        ("informasi-umum-itb_20250101_120000.snapshot", "informasi-umum-itb", AT),
        ("books-3977963369478531-2025-01-01-12-00-00.snapshot", "books", AT),
        ("a-b-1-2-3977963369478531-2025-01-01-12-00-00.snapshot", "a-b-1-2", AT),
        ("books.snapshot", None, None),
        ("books_20251301_120000.snapshot", None, None),
        ("_20250101_120000.snapshot", None, None),
        ("books_latest.snapshot", None, None),
        ("books-1-2025-02-30-12-00-00.snapshot", None, None),
    ],
)
def test_names_are_read(name: str, collection: str | None, at: datetime | None) -> None:
    """Collection and time are parsed from our names and Qdrant's, and from no others."""
    assert parse_name(name) == (collection, at)


def test_the_latest_pointer_is_no_snapshots_name() -> None:
    """Neither a collection nor a time is parsed from the name of the latest link."""
    assert latest_name("books") == "books_latest.snapshot"
    assert parse_name(latest_name("books")) == (None, None)


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/b", "/abs", "nul\0", ".hidden"])
def test_a_collection_that_is_no_file_name_is_refused(name: str) -> None:
    """A collection's name can neither lead out of the folder nor be hidden in it."""
    with pytest.raises(SettingsError) as caught:
        check_collection(name)
    assert caught.value.exit_code == 14


@settings(max_examples=15, deadline=None)
@given(collection=COLLECTIONS)
def test_other_collections_are_fine(collection: str) -> None:
    """Spaces, dots, brackets and any letters are fine."""
    check_collection(collection)


def test_a_collection_beside_has_the_time_of_its_points() -> None:
    """So the name of what an alias means tells from when it is."""
    names = list(islice(beside_names("docs", AT), 3))
    assert names == [
        "docs-20250101-120000",
        "docs-20250101-120000-2",
        "docs-20250101-120000-3",
    ]
