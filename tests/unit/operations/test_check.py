"""Promises are judged from the snapshot folder alone, and one error lists all broken ones."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.findings import Status
from snapshot_tasks.operations.check import CATALOGUE, TASKS, Promised, judge
from snapshot_tasks.system.errors import BudgetMissed, SettingsError, StorageError
from tests.support.manifests import TAKEN_AT, add_drill, catalogued

HOUR = timedelta(hours=1)
NOW = TAKEN_AT + 2 * HOUR
ALL = Promised(collections=None, max_age=26 * HOUR, max_proof_age=8 * 24 * HOUR)
BOOKS = Promised(collections=["books", "books"], max_age=HOUR, max_proof_age=HOUR)


def test_what_holds_is_no_error(catalog: Catalog) -> None:
    """A recent and proven snapshot to which the latest link points."""
    add_drill(catalogued(catalog), TAKEN_AT + HOUR)
    judgement = judge(ALL, catalog, now=NOW)
    [books] = judgement.judged
    assert books.title == "books"
    assert {f.status for f in books.findings} == {Status.OK}
    assert judgement.error is None


def test_every_broken_promise_is_named(catalog: Catalog) -> None:
    """A collection that is named twice is judged once; the exit code is that of a missed budget."""
    catalogued(catalog)
    judgement = judge(BOOKS, catalog, now=NOW)
    assert len(judgement.judged) == 1
    assert isinstance(judgement.error, BudgetMissed)
    assert judgement.error.message.startswith("2 broken promises: books: newest snapshot: ")
    assert "books: proof: no snapshot has been proven yet" in judgement.error.message


def test_an_empty_catalogue_keeps_no_promise(catalog: Catalog) -> None:
    """If all collections are checked, having none at all is not a success."""
    catalog.make_folder()
    judgement = judge(ALL, catalog, now=NOW)
    assert [each.title for each in judgement.judged] == [CATALOGUE]
    assert judgement.error is not None


def test_a_dangling_link_is_a_broken_promise(catalog: Catalog) -> None:
    """The newest snapshot is missing, and no task uses an older one in its place."""
    catalogued(catalog, taken_at=TAKEN_AT - HOUR)
    catalogued(catalog).path.unlink()
    [books] = judge(ALL, catalog, now=NOW).judged
    assert [f.check for f in books.findings if f.status is Status.FAIL] == ["proof", "latest link"]


def test_off_site_copies_are_promised_where_a_place_is_set(catalog: Catalog) -> None:
    """Nothing was pushed yet: this is about the tasks, not about a collection."""
    catalogued(catalog)
    promised = Promised(collections=None, max_age=26 * HOUR, max_proof_age=8 * HOUR, off_site=True)
    [_, tasks] = judge(promised, catalog, now=NOW).judged
    assert (tasks.title, [f.check for f in tasks.findings]) == (TASKS, ["off-site"])


def test_a_folder_that_is_missing_is_no_empty_one(tmp_path: Path) -> None:
    """Its disk may not be mounted."""
    with pytest.raises(StorageError, match="does not exist"):
        judge(ALL, Catalog(tmp_path / "gone"), now=NOW)


def test_a_name_that_no_collection_has_is_refused(catalog: Catalog) -> None:
    """It would become part of a path."""
    catalog.make_folder()
    wrong = Promised(collections=["../x"], max_age=HOUR, max_proof_age=HOUR)
    with pytest.raises(SettingsError):
        judge(wrong, catalog, now=NOW)
