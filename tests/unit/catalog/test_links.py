"""A snapshot whose file was moved away and left a link is followed or told, never passed over."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.checks.file import verify
from snapshot_tasks.checks.promises import check_file, check_name
from snapshot_tasks.domain.findings import Status, failed
from snapshot_tasks.domain.names import paths_beside
from snapshot_tasks.domain.retention import Policy
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.operations.prune import plan_prune
from snapshot_tasks.system.errors import NotFound, Refused
from snapshot_tasks.system.progress import Silent
from tests.support.manifests import TAKEN_AT, catalogued

DAY = timedelta(days=1)


@pytest.fixture
def older(catalog: Catalog) -> Snapshot:
    """A snapshot that must not be used in place of a newer one."""
    return catalogued(catalog)


@pytest.fixture
def newest(catalog: Catalog, older: Snapshot) -> Snapshot:
    """The newest snapshot."""
    return catalogued(catalog, taken_at=TAKEN_AT + DAY)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A folder on a larger disk."""
    folder = tmp_path / "larger"
    folder.mkdir()
    return folder


def moved(snapshot: Snapshot, disk: Path) -> Path:
    """Move the file, and leave a link in its place; the other files stay."""
    target = disk / snapshot.name
    shutil.move(snapshot.path, target)
    snapshot.path.symlink_to(target)
    return target


def test_a_moved_file_is_followed(catalog: Catalog, newest: Snapshot, disk: Path) -> None:
    """It is still the newest, with its manifest, its size and its bytes."""
    moved(newest, disk)
    for found in (catalog.newest("books"), catalog.find(newest.name), catalog.find("books_latest")):
        assert (found.path, found.manifest) == (newest.path, newest.manifest)
        assert found.has_its_size
        assert not failed(verify(found, Silent()).findings)
    assert len(catalog.entries("books")) == 2


def unmounted(target: Path) -> None:
    """Remove the folder of the other disk."""
    shutil.rmtree(target.parent)


def removed(target: Path) -> None:
    """Remove only the file."""
    target.unlink()


def a_folder(target: Path) -> None:
    """Have a folder in its place."""
    target.unlink()
    target.mkdir()


@pytest.mark.parametrize("how", [unmounted, removed, a_folder])
def test_a_link_to_nothing_is_told(
    catalog: Catalog, newest: Snapshot, disk: Path, how: Callable[[Path], None]
) -> None:
    """The newest is missing: 10, and it is listed, checked and kept as such."""
    how(moved(newest, disk))
    (catalog.folder / "books_latest.snapshot").unlink()
    with pytest.raises(NotFound, match=newest.name) as caught:
        catalog.newest("books")
    assert "does not exist" in caught.value.message
    first, _ = catalog.entries("books")
    assert (first.name, first.is_lost) == (newest.name, True)
    assert check_file(first).status is Status.FAIL
    with pytest.raises(NotFound):
        verify(first, Silent())
    plan = plan_prune(catalog, "books", Policy(keep_last=1), now=TAKEN_AT + 9 * DAY)
    assert plan.dropped == ()


def test_a_link_to_itself_is_told(catalog: Catalog, newest: Snapshot) -> None:
    """It leads nowhere."""
    newest.path.unlink()
    newest.path.symlink_to(newest.name)
    assert catalog.entries("books")[0].is_lost


def test_a_link_without_its_manifest_is_refused(
    catalog: Catalog, newest: Snapshot, disk: Path
) -> None:
    """If the other files were moved too, restoring it as a file of another tool would be wrong."""
    target = moved(newest, disk)
    for path in paths_beside(newest.path):
        if path.exists():
            shutil.move(path, target.parent)
    first = catalog.entries("books")[0]
    assert first.name == newest.name
    with pytest.raises(Refused, match="not beside it"):
        first.check_manifest()


def test_pruning_leaves_links_to_people(catalog: Catalog, newest: Snapshot, disk: Path) -> None:
    """Deleting only the link would hide the file for ever."""
    target = moved(newest, disk)
    for days in range(2, 5):
        catalogued(catalog, taken_at=TAKEN_AT + days * DAY)
    plan = plan_prune(catalog, "books", Policy(keep_last=1), now=TAKEN_AT + 9 * DAY)
    kept = {d.candidate.name: d.reasons for d in plan.decisions if d.keep}
    assert any(str(target) in reason for reason in kept[newest.name])


def test_another_name_in_the_folder_is_no_snapshot(catalog: Catalog, newest: Snapshot) -> None:
    """A link to a file of the same folder, which is listed itself, is not listed."""
    (catalog.folder / "other.snapshot").symlink_to(newest.name)
    assert catalog.entries()[0].name == newest.name
    assert len(catalog.entries()) == 2


def copied(snapshot: Snapshot, name: str) -> Path:
    """Copy a whole set under another name."""
    for path in (snapshot.path, *paths_beside(snapshot.path)):
        if path.exists():
            stem = snapshot.name.removesuffix(".snapshot")
            new = path.name.replace(stem, name.removesuffix(".snapshot"))
            shutil.copy2(path, path.with_name(new))
    return snapshot.path.with_name(name)


def test_a_copied_set_is_told(catalog: Catalog, older: Snapshot, newest: Snapshot) -> None:
    """An older set under a newer name is not the newest, and every look at it says what it is."""
    copy = catalog.find(str(copied(older, "books_20260101_000000.snapshot")))
    assert catalog.newest("books").name == newest.name
    assert copy.recorded_name == older.name
    (name,) = [f for f in verify(copy, Silent()).findings if f.check == "name"]
    assert name.status is Status.WARN
    assert older.name in name.message
    assert [copy.name in f.message for f in check_name(catalog.entries("books"))] == [True]
    assert [f for f in verify(older, Silent()).findings if f.check == "name"] == []


def test_copies_use_one_slot(catalog: Catalog) -> None:
    """Four snapshots and a copy of one: `keep-last 3` keeps three, and the copy with its one."""
    taken = [catalogued(catalog, taken_at=TAKEN_AT + n * DAY, sha256=f"{n}" * 64) for n in range(4)]
    copied(taken[3], "books_20260101_000000.snapshot")
    copied(taken[0], "books_20260101_000001.snapshot")
    plan = plan_prune(catalog, "books", Policy(keep_last=3), now=TAKEN_AT + 9 * DAY)
    kept = {d.candidate.name for d in plan.decisions if d.keep}
    assert {s.name for s in taken[1:]} <= kept
    assert "books_20260101_000000.snapshot" in kept
    assert taken[0].name not in kept
    assert "books_20260101_000001.snapshot" not in kept


def test_a_readable_name_of_a_lost_one_is_free(catalog: Catalog, newest: Snapshot) -> None:
    """Removing the dangling link, as the error says, makes the older one usable again."""
    newest.path.unlink()
    newest.path.symlink_to("/nowhere/at/all")
    (catalog.folder / "books_latest.snapshot").unlink()
    newest.path.unlink()
    assert catalog.newest("books").name != newest.name
