"""The catalogue lists every snapshot, finds the newest, and publishes complete ones or none."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.catalog.load import load_manifest
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.system.errors import Damaged, NotFound, Refused, SettingsError, StorageError
from tests.support.archives import snapshot_bytes
from tests.support.manifests import TAKEN_AT, add_proof, catalogued

LATEST = "books_latest.snapshot"
FIRST = "books_20250101_120000.snapshot"


def names(folder: Path) -> list[str]:
    """Return the names of all files in a folder, including hidden ones."""
    return sorted(path.name for path in folder.iterdir())


def manifest_of(snapshot: Snapshot) -> Path:
    """Return the path of a snapshot's manifest."""
    return snapshot.path.with_name(snapshot.name + ".json")


def rewrite(snapshot: Snapshot, **changes: object) -> None:
    """Change keys of a manifest on disk."""
    path = manifest_of(snapshot)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes), encoding="utf-8")


def fail_on(monkeypatch: pytest.MonkeyPatch, name: str, call: int) -> None:
    """Let one call of an operating system function fail as on a full disk."""
    real: Callable[..., None] = getattr(os, name)
    count = 0

    def fake(*arguments: object) -> None:
        nonlocal count
        count += 1
        if count == call:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(*arguments)

    monkeypatch.setattr(os, name, fake)


def test_an_added_snapshot_is_whole(catalog: Catalog) -> None:
    """File, manifest and relative link appear, and nothing else."""
    snapshot = catalogued(catalog)
    assert names(catalog.folder) == [FIRST, f"{FIRST}.json", LATEST]
    assert snapshot.path.read_bytes() == snapshot_bytes()
    assert os.readlink(catalog.folder / LATEST) == FIRST
    assert snapshot.manifest == load_manifest(manifest_of(snapshot))
    assert (snapshot.collection, snapshot.created_at) == ("books", TAKEN_AT)
    assert catalog.newest("books") == snapshot
    assert catalog.latest_target("books") == snapshot.path.resolve()


def test_names_in_one_second_are_distinct(catalog: Catalog) -> None:
    """Snapshots taken in one second are all kept, and the last one is the newest."""
    taken = [catalogued(catalog) for _ in range(12)]
    assert len({snapshot.name for snapshot in taken}) == 12
    assert [s.name for s in catalog.entries()] == [s.name for s in reversed(taken)]
    assert catalog.newest("books") == taken[-1]


def test_a_name_with_only_a_manifest_is_taken(catalog: Catalog) -> None:
    """Neither the manifest of a lost snapshot nor a dangling link is overwritten."""
    (catalog.folder / f"{FIRST}.json").touch()
    (catalog.folder / "books_20250101_120000-2.snapshot").symlink_to("nowhere")
    assert catalog.free_name("books", TAKEN_AT) == "books_20250101_120000-3.snapshot"


def test_the_newest_is_so_by_time(catalog: Catalog) -> None:
    """Neither the names nor the order of writing matter, only when they were taken."""
    newer = catalogued(catalog, taken_at=TAKEN_AT + timedelta(days=1))
    older = catalogued(catalog)
    os.utime(older.path, (2e9, 2e9))
    assert catalog.newest("books").name == newer.name
    assert [s.name for s in catalog.entries("books")] == [newer.name, older.name]


def test_collections_are_told_apart(catalog: Catalog) -> None:
    """Collections are told apart, even if their names begin alike."""
    books = catalogued(catalog)
    catalogued(catalog, collection="books_latest")
    assert [s.name for s in catalog.entries("books")] == [books.name]
    assert catalog.collections() == ["books", "books_latest"]
    assert catalog.newest("books").name == books.name


def test_nothing_there_is_not_found(catalog: Catalog) -> None:
    """An empty, missing or foreign folder has no snapshots, and the error says what to do."""
    assert Catalog(catalog.folder / "missing").entries() == []
    for empty in (catalog, Catalog(catalog.folder / "missing")):
        with pytest.raises(NotFound) as caught:
            empty.newest("books")
        assert caught.value.exit_code == 10
        assert "inv snapshot.create" in caught.value.hint


def test_a_dangling_link_is_not_found(catalog: Catalog) -> None:
    """If the newest is missing, an older one is not used in its place."""
    catalogued(catalog)
    newest = catalogued(catalog, taken_at=TAKEN_AT + timedelta(days=1))
    newest.path.unlink()
    for look in (catalog.newest, catalog.latest_target):
        with pytest.raises(NotFound, match="does not exist") as caught:
            look("books")
        assert newest.name in caught.value.message
    with pytest.raises(NotFound, match="does not exist"):
        catalog.find("books_latest")
    (catalog.folder / LATEST).unlink()
    assert catalog.newest("books").name == FIRST


def test_files_without_a_manifest_are_listed(catalog: Catalog) -> None:
    """Files of other tools are listed too; facts that come only from a manifest are unknown."""
    at = datetime(2025, 1, 3, tzinfo=UTC)
    (catalog.folder / "films-123-2025-01-02-00-00-00.snapshot").write_bytes(b"x")
    (catalog.folder / "odd.snapshot").write_bytes(b"xyz")
    os.utime(catalog.folder / "odd.snapshot", (at.timestamp(), at.timestamp()))
    odd, films = catalog.entries()
    assert (odd.collection, odd.created_at, odd.size_bytes) == (None, at, 3)
    assert (odd.manifest, odd.sha256, odd.proven_at, odd.is_safety) == (None, None, None, False)
    assert (films.collection, films.created_at) == ("films", datetime(2025, 1, 2, tzinfo=UTC))
    assert catalog.collections() == ["films"]
    odd.check_manifest()


def test_only_snapshot_files_are_listed(catalog: Catalog) -> None:
    """Links, folders, manifests, proofs, staging files and the lock are not snapshots."""
    snapshot = catalogued(catalog)
    add_proof(snapshot, kind="drill")
    (catalog.folder / "folder.snapshot").mkdir()
    (catalog.folder / ".staging-abc").touch()
    (catalog.folder / "more.snapshot").symlink_to(snapshot.name)
    with catalog.lock("test"):
        assert [s.name for s in catalog.entries()] == [FIRST]


def test_a_newer_manifest_is_refused_when_used(catalog: Catalog) -> None:
    """A snapshot of a newer program is listed, but cannot be used."""
    rewrite(catalogued(catalog), schema=3)
    (entry,) = catalog.entries()
    assert entry.collection == "books"
    with pytest.raises(Refused) as caught:
        entry.check_manifest()
    assert caught.value.exit_code == 24


def test_a_damaged_manifest_is_told_when_used(catalog: Catalog) -> None:
    """A damaged manifest hides neither its own snapshot nor the others."""
    manifest_of(catalogued(catalog)).write_text("{", encoding="utf-8")
    catalogued(catalog, collection="films")
    assert [s.collection for s in catalog.entries()] == ["films", "books"]
    with pytest.raises(Damaged) as caught:
        catalog.newest("books").check_manifest()
    assert caught.value.exit_code == 20


def test_the_manifests_word_counts(catalog: Catalog) -> None:
    """A renamed file still belongs to the collection and time in its manifest."""
    snapshot = catalogued(catalog)
    snapshot.path.rename(catalog.folder / "renamed.snapshot")
    manifest_of(snapshot).rename(catalog.folder / "renamed.snapshot.json")
    (entry,) = catalog.entries("books")
    assert (entry.name, entry.created_at) == ("renamed.snapshot", TAKEN_AT)


def test_a_safety_snapshot_is_never_the_default(catalog: Catalog) -> None:
    """A safety snapshot is listed and can be chosen by name, but is never the default."""
    wanted = catalogued(catalog)
    safety = catalogued(catalog, taken_at=TAKEN_AT + timedelta(days=1), safety=True)
    catalogued(catalog, collection="films", safety=True)
    assert safety.is_safety
    assert catalog.newest("books").name == wanted.name
    assert os.readlink(catalog.folder / LATEST) == wanted.name
    assert safety.name in [s.name for s in catalog.entries("books")]
    assert catalog.find(safety.name).is_safety
    assert catalog.collections() == ["books"]
    with pytest.raises(NotFound):
        catalog.newest("films")


def test_the_link_is_swapped(catalog: Catalog) -> None:
    """The link points to the last one added, stays relative, and still works after a move."""
    catalogued(catalog)
    newer = catalogued(catalog, taken_at=TAKEN_AT + timedelta(days=1))
    moved = catalog.folder.rename(catalog.folder.with_name("moved"))
    assert os.readlink(moved / LATEST) == newer.name
    assert Catalog(moved).latest_target("books") == (moved / newer.name).resolve()


def test_a_collection_without_a_link_has_no_target(catalog: Catalog) -> None:
    """A missing link is not an error: files of other tools never had one."""
    assert catalog.latest_target("books") is None


@pytest.mark.parametrize("call", [1, 2])
def test_a_failing_rename_leaves_nothing(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    """If manifest or file cannot be renamed, neither exists, and the old ones stay."""
    before = catalogued(catalog)
    there = names(catalog.folder)
    fail_on(monkeypatch, "replace", call)
    with pytest.raises(StorageError) as caught:
        catalogued(catalog, taken_at=TAKEN_AT + timedelta(days=1))
    assert caught.value.exit_code == 15
    assert names(catalog.folder) == there
    assert catalog.newest("books") == before


def test_a_failing_swap_keeps_the_old_link(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If only the link cannot be updated, both snapshots are complete and nothing is half done."""
    catalogued(catalog)
    fail_on(monkeypatch, "replace", 3)
    with pytest.raises(StorageError):
        catalogued(catalog, taken_at=TAKEN_AT + timedelta(days=1))
    assert os.readlink(catalog.folder / LATEST) == FIRST
    assert all(entry.manifest for entry in catalog.entries())
    assert not [name for name in names(catalog.folder) if name.startswith(".")]


@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_failing_sync_leaves_nothing(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    """Anything that cannot be synced before the file has its name is not left behind."""
    fail_on(monkeypatch, "fsync", call)
    with pytest.raises(StorageError):
        catalogued(catalog)
    assert names(catalog.folder) == []


def test_an_interrupted_staging_leaves_nothing(catalog: Catalog) -> None:
    """Ctrl-C while a file is being written leaves no trace."""

    def interrupted() -> None:
        with catalog.staging() as staging:
            staging.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(catalog.folder) == []


def test_the_next_run_removes_what_a_killed_one_left(catalog: Catalog) -> None:
    """Leftovers of a killed run are removed when the next run stages a file."""
    (catalog.folder / ".staging-killed").write_bytes(b"half")
    with catalog.staging() as staging:
        assert names(catalog.folder) == [staging.name]


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_folder_that_cannot_be_written_is_told(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A read-only folder is a storage error with a hint, and it is not changed."""
    real = os.open

    def refuse(path: str, flags: int, mode: int = 0o777, **rest: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(number, os.strerror(number))
        return real(path, flags, mode, **rest)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StorageError) as caught:
        catalogued(catalog)
    assert caught.value.exit_code == 15
    assert "write permission" in caught.value.hint
    assert names(catalog.folder) == []


def test_a_folder_below_a_file_is_told(tmp_path: Path) -> None:
    """A path that cannot be a folder is a storage error for every operation."""
    (tmp_path / "file").touch()
    catalog = Catalog(tmp_path / "file" / "snapshots")
    for attempt in (catalog.make_folder, catalog.entries, lambda: catalogued(catalog)):
        with pytest.raises(StorageError):
            attempt()
    with pytest.raises(StorageError), catalog.lock("test"):
        pass


def test_the_folder_is_made(tmp_path: Path) -> None:
    """A missing folder is created with its parents; doing so twice is not an error."""
    catalog = Catalog(tmp_path / "a" / "b")
    catalog.make_folder()
    catalog.make_folder()
    assert catalogued(catalog).path.is_file()


@pytest.mark.parametrize("form", ["name", "stem", "path", "latest"])
def test_a_snapshot_is_found(catalog: Catalog, form: str) -> None:
    """A name with or without its suffix, a path, and the latest link refer to the same file."""
    snapshot = catalogued(catalog)
    reference = {
        "name": snapshot.name,
        "stem": snapshot.name.removesuffix(".snapshot"),
        "path": str(snapshot.path),
        "latest": "books_latest",
    }[form]
    assert catalog.find(reference).name == snapshot.name
    assert catalog.find(reference).manifest == snapshot.manifest


def test_a_file_elsewhere_is_found_by_its_path(catalog: Catalog, tmp_path: Path) -> None:
    """A copy outside of the catalogue can be used, with or without its manifest."""
    copy = tmp_path / "copy.snapshot"
    copy.write_bytes(b"x")
    assert catalog.find(str(copy)).manifest is None


@pytest.mark.parametrize("reference", ["nothing", "nothing.snapshot", ".", "x" * 300])
def test_what_is_not_there_is_not_found(catalog: Catalog, reference: str) -> None:
    """A reference that does not exist, even one too long for a file name, is not found."""
    with pytest.raises(NotFound):
        catalog.find(reference)


@pytest.mark.parametrize("collection", ["../up", "a/b", ""])
def test_a_collection_cannot_lead_out_of_the_folder(catalog: Catalog, collection: str) -> None:
    """Neither reading nor naming follows a collection name to another folder."""
    with pytest.raises(SettingsError):
        catalog.newest(collection)
    with pytest.raises(SettingsError):
        catalog.free_name(collection, TAKEN_AT)


def test_a_collection_with_a_long_name_has_no_snapshot(catalog: Catalog) -> None:
    """A name that is too long for this disk cannot be in the catalogue."""
    with pytest.raises(NotFound):
        catalog.newest("x" * 250)


def test_an_alias_leads_to_its_collection(catalog: Catalog) -> None:
    """The catalogue knows the aliases of its snapshots; for other names it says what to do."""
    catalogued(catalog)
    with pytest.raises(NotFound, match="no snapshot of library") as caught:
        catalog.newest("library")
    assert "`--collection books`" in caught.value.hint
    with pytest.raises(NotFound, match="no snapshot of nope") as caught:
        catalog.newest("nope")
    assert "snapshot.create" in caught.value.hint
