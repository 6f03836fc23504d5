"""Files of other tools, made by the plain API of real servers, become catalogued and sealed."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from snapshot_tasks.catalog import adopt
from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.names import latest_name, manifest_path
from snapshot_tasks.domain.proof import Verdict
from snapshot_tasks.domain.seal import SERVER
from snapshot_tasks.operations.create import found, imported
from tests.conftest import Inv, Live
from tests.integration.conftest import Samples
from tests.support.amount import FULL
from tests.support.disks import need_disks, small_disk
from tests.support.world import assert_error, edit_manifest, tree

Download = Callable[[str], Path]
NATIVE = {"QDRANT_DRILL_ENGINE": "native"}


def downloaded(live: Live, path: str, into: Path) -> Path:
    """Take a snapshot with the plain API, and download it as a browser does."""
    name = str(live.loader.request("POST", path)["name"])
    answer = httpx.get(f"{live.url}{path}/{name}", timeout=60)
    answer.raise_for_status()
    into.mkdir(exist_ok=True)
    file = into / name
    file.write_bytes(answer.content)
    live.loader.request("DELETE", f"{path}/{name}")
    return file


@pytest.fixture
def download(qdrant: Live, tmp_path: Path) -> Download:
    """Download a new snapshot of a collection, as Qdrant's dashboard does."""
    return lambda name: downloaded(qdrant, f"/collections/{name}/snapshots", tmp_path / "downloads")


@pytest.fixture
def catalog_of(inv: Inv) -> Catalog:
    """The snapshot folder of this test's own project."""
    return Catalog(inv.root / "qdrant_snapshots")


def test_a_download_is_catalogued_sealed_and_restores(
    qdrant: Live, name: str, outside: Inv, download: Download, catalog_of: Catalog
) -> None:
    """Each task works with it; a drill says RESTORES, for nobody sealed it when it was taken."""
    qdrant.loader.rich(name)
    file = download(name)
    before = file.read_bytes()
    ran = outside("snapshot.import", str(file), "--label=old tool", "--json")
    assert ran.code == 0, ran.stderr
    [entry] = ran.document["result"]["snapshots"]
    assert (entry["collection"], entry["label"], entry["imported"]) == (name, "old tool", True)
    assert entry["qdrant_version"] is None
    assert file.read_bytes() == before
    snapshot = catalog_of.newest(name)
    assert catalog_of.latest_target(name) == snapshot.path
    drilled = outside("snapshot.test-restore", f"--collection={name}", **NATIVE)
    assert drilled.code == 0, drilled.stdout + drilled.stderr
    assert "RESTORES" in drilled.stdout
    assert "PROVEN" not in drilled.stdout
    assert "aliases" not in drilled.stdout
    assert catalog_of.newest(name).verdict is Verdict.RESTORES
    for level in ("bytes", "content", "source"):
        assert outside("snapshot.verify", f"--collection={name}", f"--level={level}").code == 0
    assert "at import" in outside("snapshot.list").stdout
    shown = outside("snapshot.show", f"--snapshot={snapshot.name}")
    assert file.name in shown.stdout
    assert outside("report", f"--output={outside.root / 'page.html'}").code == 0
    restored = outside("snapshot.restore", f"--collection={name}", f"--as={name}-2")
    assert restored.code == 0, restored.stderr


@pytest.fixture
def foreign(samples: Samples, tmp_path: Path) -> Path:
    """A file as another tool leaves it: Qdrant's own name, and nothing beside it."""
    folder = tmp_path / "elsewhere"
    file = samples.put("plain", folder, manifest=False)
    return file.rename(folder / "sample-plain-4444-2025-03-01-10-20-30.snapshot")


def test_gzip_on_the_way_is_unpacked_and_said(
    outside: Inv, foreign: Path, catalog_of: Catalog
) -> None:
    """The catalogued bytes are those before the compression; its name is read without .gz."""
    packed = foreign.with_name(f"{foreign.name}.gz")
    packed.write_bytes(gzip.compress(foreign.read_bytes(), 1))
    ran = outside("snapshot.import", str(packed))
    assert ran.code == 0, ran.stderr
    assert "gzip" in ran.stderr
    snapshot = catalog_of.newest("sample-plain")
    assert snapshot.path.read_bytes() == foreign.read_bytes()
    assert snapshot.name == "sample-plain_20250301_102030.snapshot"
    again = outside("snapshot.import", str(packed), str(foreign))
    assert again.code == 0, again.stderr
    assert again.stdout.count(f"already, as {snapshot.name}") == 2
    assert len(catalog_of.entries()) == 1


def test_what_is_cut_is_damaged_and_nothing_is_kept(
    outside: Inv, foreign: Path, catalog_of: Catalog
) -> None:
    """A cut file, and a cut one in gzip, are 20; the good one beside them is imported."""
    data = foreign.read_bytes()
    cut = foreign.with_name("docs-1-2025-03-01-10-20-30.snapshot")
    cut.write_bytes(data[: len(data) // 2])
    packed = foreign.with_name("docs-1-2025-03-02-10-20-30.snapshot.gz")
    packed.write_bytes(gzip.compress(data, 1)[:-1000])
    late = foreign.with_name("docs-1-2025-03-03-10-20-30.snapshot.gz")
    late.write_bytes(gzip.compress(data[: len(data) // 2], 1))
    for bad in (cut, packed, late):
        ran = outside("snapshot.import", str(bad))
        assert_error(ran, 20, bad.name)
        assert ".staging" not in ran.stderr
        assert catalog_of.entries() == []
    ran = outside("snapshot.import", str(cut), str(foreign))
    assert ran.code == 20
    assert [s.collection for s in catalog_of.entries()] == ["sample-plain"]
    assert not list(catalog_of.folder.glob(".staging*"))


def test_other_kinds_of_snapshots_are_recognised(
    qdrant: Live, name: str, outside: Inv, tmp_path: Path, catalog_of: Catalog
) -> None:
    """A shard's and the whole storage's: 24 with what to do, also where they were dropped."""
    qdrant.loader.plain(name, points=20)
    into = tmp_path / "downloads"
    shard = downloaded(qdrant, f"/collections/{name}/shards/0/snapshots", into)
    whole = downloaded(qdrant, "/snapshots", into)
    assert_error(outside("snapshot.import", str(shard), "-c", name), 24, "one shard")
    ran = outside("snapshot.import", str(whole), "-c", name)
    assert_error(ran, 24, "whole storage")
    assert "tar -xf" in ran.stderr
    assert catalog_of.entries() == []
    # The advice works: each file in it is a snapshot of a collection.
    shutil.unpack_archive(whole, into / "unpacked", "tar")
    [inner] = (into / "unpacked").glob(f"{name}-*.snapshot")
    assert outside("snapshot.import", str(inner)).code == 0
    assert catalog_of.newest(name).is_imported


def test_a_name_that_says_nothing_needs_a_collection(
    outside: Inv, foreign: Path, catalog_of: Catalog
) -> None:
    """Its time is then that of the file's last change, which is said."""
    file = foreign.rename(foreign.with_name("backup (1).snapshot"))
    os.utime(file, (1_700_000_000, 1_700_000_000))
    assert_error(outside("snapshot.import", str(file)), 14, "--collection")
    assert_error(outside("snapshot.import"), 14, "FILE")
    assert_error(outside("snapshot.import", "nowhere.snapshot"), 10, "nowhere.snapshot")
    dry = outside("--dry", "snapshot.import", str(file), "-c", "docs")
    assert "2023-11-14" in dry.stdout
    assert tree(catalog_of.folder) == []
    ran = outside("snapshot.import", str(file), "-c", "docs")
    assert ran.code == 0, ran.stderr
    assert "last changed 2023-11-14" in ran.stderr
    assert catalog_of.newest("docs").name == "docs_20231114_221320.snapshot"


def test_an_older_file_leaves_the_latest_link(
    samples: Samples, outside: Inv, foreign: Path, catalog_of: Catalog
) -> None:
    """The link stays on the newest snapshot, and the promise about it is kept."""
    newest = samples.put("plain", catalog_of.folder)
    foreign.write_bytes(samples.put("rich", foreign.parent, manifest=False).read_bytes())
    assert outside("snapshot.import", str(foreign), str(newest)).code == 0
    assert catalog_of.latest_target("sample-plain") == newest
    assert len(catalog_of.entries("sample-plain")) == 2


def test_a_file_dropped_into_the_folder_gets_its_manifest_there(
    samples: Samples, outside: Inv, catalog_of: Catalog
) -> None:
    """Until then, check names it and the link's promise is kept; it is never copied twice."""
    newest = samples.put("plain", catalog_of.folder)
    dropped = samples.put("rich", catalog_of.folder, manifest=False)
    dropped = dropped.rename(dropped.with_name("sample-plain-7-2099-01-01-00-00-00.snapshot"))
    checked = outside("snapshot.check", "-c", "sample-plain", "--json").document["result"]
    [link] = [f for f in checked["promises"] if f["check"] == "latest link"]
    assert link["status"] == "WARN", link
    assert "snapshot.import" in link["remedy"]
    assert catalog_of.latest_target("sample-plain") == newest
    ran = outside("snapshot.import", str(dropped))
    assert ran.code == 0, ran.stderr
    assert manifest_path(dropped).is_file()
    assert len(catalog_of.entries("sample-plain")) == 2
    assert catalog_of.latest_target("sample-plain") == dropped


def test_a_file_in_place_of_the_latest_link_is_never_overwritten(
    samples: Samples, qdrant: Live, outside: Inv, catalog_of: Catalog
) -> None:
    """Its bytes stay in the folder under a name of their own when the link is made again."""
    file = samples.put("rich", catalog_of.folder, manifest=False)
    data = file.read_bytes()
    file.rename(catalog_of.folder / latest_name("sample-plain"))
    ran = outside("snapshot.create", "-c", "sample-plain")
    assert ran.code == 0, ran.stderr
    created = catalog_of.newest("sample-plain")
    assert catalog_of.latest_target("sample-plain") == created.path
    [kept] = [s for s in catalog_of.entries() if s.name != created.name]
    assert kept.path.read_bytes() == data


@pytest.mark.parametrize("moment", ["found._require_spare", "imported.read_file", "adopt.publish"])
def test_interrupted_at_any_moment_nothing_is_left(
    outside: Inv,
    foreign: Path,
    catalog_of: Catalog,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    """While it is copied, read or published: 130, and the folder is as empty as before."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    modules = {"found": found, "imported": imported, "adopt": adopt}
    module, _, name = moment.partition(".")
    monkeypatch.setattr(modules[module], name, interrupt)
    assert_error(outside("snapshot.import", str(foreign)), 130)
    assert tree(catalog_of.folder) == []
    monkeypatch.undo()
    assert outside("snapshot.import", str(foreign)).code == 0


def test_without_room_it_is_15_before_anything(outside: Inv, foreign: Path, tmp_path: Path) -> None:
    """A real small disk, and a gzip file whose size nobody knows before it is unpacked."""
    need_disks()
    packed = foreign.with_name(f"{foreign.name}.gz")
    packed.write_bytes(gzip.compress(foreign.read_bytes() + bytes(200 << 20), 1))
    for file, size in ((foreign, "60m"), (packed, "80m")):
        with small_disk(tmp_path / size, size=size) as disk:
            ran = outside("snapshot.import", str(file), QDRANT_SNAPSHOT_DIR=str(disk))
            assert_error(ran, 15, str(disk))
            assert [p for p in tree(disk) if "lost+found" not in str(p)] == []


def test_it_goes_off_site_and_comes_back_imported(
    outside: Inv, foreign: Path, tmp_path: Path, catalog_of: Catalog
) -> None:
    """Push, prune and pull treat it as any snapshot; the selftest finds each damage of it.

    Only its manifest differs from that of other snapshots, so quickly only that is damaged.
    """
    place = tmp_path / "place"
    place.mkdir()
    assert outside("snapshot.import", str(foreign)).code == 0
    [entry] = catalog_of.entries()
    assert outside("snapshot.push", "-c", "sample-plain", f"--to={place}").code == 0
    pruned = outside("snapshot.prune", "-c", "sample-plain", "--keep-last=1", "--dry-run")
    assert pruned.code == 0, pruned.stderr
    shutil.rmtree(catalog_of.folder)
    pulled = outside("snapshot.pull", "-c", "sample-plain", f"--from={place}")
    assert pulled.code == 0, pulled.stderr
    back = catalog_of.newest("sample-plain")
    assert (back.manifest, back.is_imported) == (entry.manifest, True)
    assert outside("snapshot.verify", "-c", "sample-plain", "--level=content").code == 0
    only = "" if FULL else "manifest"
    tested = outside("snapshot.selftest", "-c", "sample-plain", f"--only={only}", **NATIVE)
    assert tested.code == 0, tested.stdout + tested.stderr


def test_a_file_with_queued_updates_is_sealed_on_a_fresh_server(
    qdrant: Live, name: str, outside: Inv, download: Download, catalog_of: Catalog
) -> None:
    """A delete that finds nothing stays in the log: only a server knows what that restores."""
    qdrant.loader.plain(name, points=100)
    qdrant.loader.request("POST", f"/collections/{name}/points/delete", {"points": [999_999]})
    file = download(name)
    ran = outside("snapshot.import", str(file), **NATIVE)
    assert ran.code == 0, ran.stderr
    manifest = catalog_of.newest(name).manifest
    assert manifest is not None
    assert manifest.seal is not None
    assert (manifest.seal.sealed_by, manifest.points_count) == (SERVER, 100)
    verified = outside("snapshot.verify", "-c", name, "--level=content", **NATIVE)
    assert verified.code == 0, verified.stderr


def test_a_file_of_an_older_version_is_imported(
    older_qdrant: Live, name: str, inv: Inv, tmp_path: Path, catalog_of: Catalog
) -> None:
    """What 1.16.3 made restores in the version of the settings."""
    older_qdrant.loader.rich(name)
    file = downloaded(older_qdrant, f"/collections/{name}/snapshots", tmp_path / "downloads")
    ran = inv("snapshot.import", str(file), QDRANT_ENGINE="native")
    assert ran.code == 0, ran.stderr
    drilled = inv("snapshot.test-restore", "-c", name, QDRANT_ENGINE="native")
    assert drilled.code == 0, drilled.stdout + drilled.stderr
    assert "RESTORES" in drilled.stdout


def test_a_good_copy_of_what_is_damaged_here_is_not_called_catalogued(
    outside: Inv, foreign: Path, catalog_of: Catalog
) -> None:
    """The damaged one is named, with what repairs it, and that remedy works."""
    assert outside("snapshot.import", str(foreign)).code == 0
    [entry] = catalog_of.entries()
    with entry.path.open("r+b") as stream:
        stream.seek(5000)
        stream.write(b"damage")
    assert_error(outside("snapshot.import", str(foreign)), 20, str(entry.path))
    shutil.copy(foreign, entry.path)
    assert "already" in outside("snapshot.import", str(foreign)).stdout


def test_without_its_mark_an_imported_snapshot_is_not_believed(
    outside: Inv, foreign: Path, catalog_of: Catalog
) -> None:
    """The seal covers it: an edited manifest cannot turn RESTORES into PROVEN."""
    assert outside("snapshot.import", str(foreign)).code == 0
    [entry] = catalog_of.entries()
    edit_manifest(entry.path, lambda m: m.update(imported=False), bind=False)
    assert_error(
        outside("snapshot.verify", "-c", "sample-plain"), 20, "differ from what was sealed"
    )


def test_a_drill_in_place_refuses_to_rely_on_it(
    stack: Inv, foreign: Path, catalog_of: Catalog
) -> None:
    """Nothing live is deleted for a file of which nobody knows the version."""
    assert stack("snapshot.import", str(foreign), QDRANT_ENGINE="native").code == 0
    assert stack("stack.up", QDRANT_ENGINE="native").code == 0
    flags = ("-c", "sample-plain", "--in-place", "--yes")
    ran = stack("snapshot.test-restore", *flags, QDRANT_ENGINE="native")
    assert_error(ran, 24, "imported file")
    assert "sample-plain" in stack("stack.status", QDRANT_ENGINE="native").stdout
