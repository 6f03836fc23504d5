"""Which snapshots the flags of a task choose."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.operations.choose import all_of, newest_of_all, random_older, to_test
from snapshot_tasks.system.errors import NotFound
from tests.support.manifests import TAKEN_AT, catalogued

DAY = timedelta(days=1)


def test_the_newest_of_each_collection(catalog: Catalog) -> None:
    """One for each collection, although there are older ones."""
    catalogued(catalog, taken_at=TAKEN_AT - DAY)
    books = catalogued(catalog)
    films = catalogued(catalog, collection="films", aliases=())
    assert [s.name for s in newest_of_all(catalog).results] == [books.name, films.name]
    assert [s.name for s in newest_of_all(catalog, "films").results] == [films.name]


def test_none_to_test_is_an_error(catalog: Catalog) -> None:
    """A test of nothing proves nothing."""
    with pytest.raises(NotFound, match="no snapshot to test"):
        newest_of_all(catalog)


def test_at_random_means_an_older_one(catalog: Catalog) -> None:
    """The newest is only chosen if it is the only one."""
    older = catalogued(catalog, taken_at=TAKEN_AT - DAY)
    assert random_older(catalog, "books").name == older.name
    catalogued(catalog)
    assert random_older(catalog, "books").name == older.name


def test_what_to_test(catalog: Catalog) -> None:
    """Each flag chooses its own; without flags it is the newest of the default collection."""
    older = catalogued(catalog, taken_at=TAKEN_AT - DAY)
    books = catalogued(catalog)
    films = catalogued(catalog, collection="films", aliases=())

    def names(**flags: Any) -> list[str]:
        return [
            s.name for s in to_test(catalog, default_collection=lambda: "books", **flags).results
        ]

    assert names() == [books.name]
    assert names(collection="films") == [films.name]
    assert names(snapshot=older.name) == [older.name]
    assert names(at_random=True) == [older.name]
    assert names(every=True) == [books.name, films.name]
    assert names(created=[films]) == [films.name]


def test_a_missing_newest_one_is_a_failure_among_the_others(catalog: Catalog) -> None:
    """A collection whose newest snapshot is missing does not prevent the tests of the others."""
    books = catalogued(catalog)
    catalogued(catalog, collection="films", aliases=()).path.unlink()
    chosen = newest_of_all(catalog)
    assert [s.name for s in chosen.results] == [books.name]
    assert [failure.name for failure in chosen.failures] == ["films"]


def test_all_are_all_or_an_error_that_names_the_purpose(catalog: Catalog) -> None:
    """The error names a collection without a snapshot; for an empty catalogue, the purpose."""
    with pytest.raises(NotFound, match="no snapshot to push"):
        all_of(catalog, purpose="push")
    made = {catalogued(catalog).name, catalogued(catalog, collection="films", aliases=()).name}
    assert {s.name for s in all_of(catalog, purpose="push")} == made
    with pytest.raises(NotFound, match="no snapshot of music"):
        all_of(catalog, "music", purpose="verify")
