"""Restores into real servers: both ways in, refusals, replacing, versions, interruptions."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.endpoint import Endpoint, Mount
from snapshot_tasks.domain.findings import Status
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.operations.create.one import Created, safety_saver
from snapshot_tasks.operations.create.request import CreateDefaults
from snapshot_tasks.operations.restore.into_empty import RestoreResult
from snapshot_tasks.operations.restore.one import restore
from snapshot_tasks.operations.restore.plan import RestoreRequest
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.errors import (
    ContentsDiffer,
    Damaged,
    RestoreIncomplete,
    StorageError,
    TaskError,
    Unreachable,
)
from snapshot_tasks.system.progress import Silent
from tests.conftest import NEWER, Inv, Live, native_qdrant, now
from tests.integration.conftest import Samples, Take, take_from
from tests.support import proxy as faults
from tests.support.proxy import Act, Exchange, Hold, faulty
from tests.support.world import (
    assert_error,
    edit_manifest,
    ended,
    flip_byte,
    home_of,
    tree,
)

UPLOAD = r"/collections/[^/]+/snapshots/upload"
RECOVER = r"/collections/[^/]+/snapshots/recover"
OTHER_DEFAULTS = {
    "QDRANT__STORAGE__HNSW_INDEX__M": "33",
    "QDRANT__STORAGE__HNSW_INDEX__EF_CONSTRUCT": "77",
    "QDRANT__STORAGE__OPTIMIZERS__DEFAULT_SEGMENT_NUMBER": "3",
    "QDRANT__STORAGE__OPTIMIZERS__INDEXING_THRESHOLD_KB": "999",
    "QDRANT__STORAGE__WAL__WAL_CAPACITY_MB": "8",
    "QDRANT__STORAGE__ON_DISK_PAYLOAD": "false",
}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A second server, with other defaults in its configuration."""
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            for setting, value in OTHER_DEFAULTS.items():
                patch.setenv(setting, value)
            folder = tmp_path_factory.mktemp("target")
            live = stack.enter_context(native_qdrant(NEWER, folder))
        yield live


@pytest.fixture(autouse=True)
def _clean_target(target: Live) -> Iterator[None]:
    """Remove what a test left on the target, so that its failure does not affect other tests."""
    yield
    for collection in target.loader.names():
        target.loader.delete(collection)
    for path in (home_of(target) / "snapshots").rglob("*.snapshot*"):
        path.unlink()


@pytest.fixture
def visible(target: Live, name: str) -> Catalog:
    """A catalogue in a folder that the target can read."""
    folder = target.fresh.endpoint.mounts[0].host_dir / name
    folder.mkdir()
    return Catalog(folder)


@pytest.fixture
def external(inv: Inv, target: Live) -> Inv:
    """`inv` that talks to the target and does not manage it."""
    inv.environment.update(QDRANT_ENGINE="external", QDRANT_URL=target.url)
    return inv


def dump(live: Live, collection: str) -> dict[str, Any]:
    """Return everything about a collection, read without the code under test."""
    info = live.loader.request("GET", f"/collections/{collection}")
    body = {"limit": 1000, "with_payload": True, "with_vector": True}
    points = live.loader.request("POST", f"/collections/{collection}/points/scroll", body)["points"]
    return {
        "config": info["config"],
        "schema": info["payload_schema"],
        "points": sorted(points, key=lambda point: str(point["id"])),
    }


def uploads(live: Live) -> list[str]:
    """Return the files in the server's snapshots folder."""
    folder = home_of(live) / "snapshots"
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def bring(live: Live, snapshot: Snapshot, **request: Any) -> RestoreResult:
    """Restore in-process."""
    with live.server() as server:
        return restore(RestoreRequest(snapshot=snapshot, **request), server, Silent())


def statuses(result: RestoreResult) -> dict[str, Status]:
    """Return check and status of each finding."""
    return {finding.check: finding.status for finding in result.findings}


@pytest.mark.parametrize("way", ["file", "upload"])
@pytest.mark.parametrize("kind", ["plain", "rich"])
def test_it_comes_back_identical_on_a_server_with_other_defaults(
    qdrant: Live,
    target: Live,
    name: str,
    catalog: Catalog,
    visible: Catalog,
    way: str,
    kind: str,
) -> None:
    """Every point, setting, index and alias exists, whichever way it went in."""
    target.loader.plain(f"{name}-default", points=1)
    qdrant.loader.plain(f"{name}-default", points=1)
    assert dump(target, f"{name}-default")["config"] != dump(qdrant, f"{name}-default")["config"]
    if kind == "plain":
        qdrant.loader.plain(name, points=300)
    else:
        qdrant.loader.rich(name)
    qdrant.loader.alias(f"{name}-one", name)
    qdrant.loader.alias(f"{name}-two", name)
    snapshot = take_from(qdrant, name, visible if way == "file" else catalog)
    result = bring(target, snapshot)
    assert result.error is None
    assert result.way == way
    assert set(statuses(result).values()) == {Status.OK}
    assert dump(target, name) == dump(qdrant, name)
    owned = {a for a, owner in target.loader.aliases().items() if owner == name}
    assert owned == {f"{name}-one", f"{name}-two"}
    assert uploads(target) == []


def test_a_folder_the_server_does_not_see_is_uploaded(
    qdrant: Live, target: Live, name: str, take: Take
) -> None:
    """A mount that is configured but missing falls back to an upload."""
    qdrant.loader.plain(name, points=50)
    snapshot = take(qdrant, name)
    wrong = Mount(host_dir=snapshot.path.parent, server_dir="/nowhere/at/all")
    with Server(Endpoint(url=target.url, mounts=(wrong,)), operation_timeout_seconds=30) as server:
        result = restore(RestoreRequest(snapshot=snapshot), server, Silent())
    assert (result.way, result.error) == ("upload", None)
    assert target.loader.count(name) == 50


def test_through_inv_by_upload_and_by_the_configured_folder(
    samples: Samples, target: Live, external: Inv
) -> None:
    """QDRANT_URL alone uploads and leaves no upload behind; otherwise, its own folder is used."""
    folder = external.root / "qdrant_snapshots"
    samples.put("plain", folder)
    ran = external("snapshot.restore", "--collection", "sample-plain", "--json")
    assert ran.code == 0, ran.stderr
    assert ran.document["result"]["way"] == "upload"
    assert ran.document["result"]["points_count"] == 300
    assert uploads(target) == []
    target.loader.delete("sample-plain")
    ran = external(
        "snapshot.restore",
        "--collection=sample-plain",
        "--json",
        QDRANT_SERVER_SNAPSHOT_DIR=str(folder),
    )
    assert ran.code == 0, ran.stderr
    assert ran.document["result"]["way"] == "file"
    assert target.loader.aliases()["plain-alias"] == "sample-plain"


@pytest.mark.parametrize("fault", [faults.reset, faults.fail])
def test_a_failed_upload_leaves_nothing_on_the_server(
    qdrant: Live, target: Live, name: str, take: Take, fault: Act
) -> None:
    """Neither a collection nor the uploaded file stays when the upload fails."""
    qdrant.loader.plain(name, points=50)
    snapshot = take(qdrant, name)
    with faulty(target.url) as proxy:
        proxy.on("POST", UPLOAD, fault)
        with (
            Server(Endpoint(url=proxy.url), operation_timeout_seconds=30) as server,
            pytest.raises((Unreachable, RestoreIncomplete)),
        ):
            restore(RestoreRequest(snapshot=snapshot), server, Silent())
    assert name not in target.loader.names()
    assert uploads(target) == []


def test_an_upload_that_the_server_refuses_leaves_nothing(
    qdrant: Live, target: Live, name: str, take: Take
) -> None:
    """Bytes that do not match the checksum are refused by Qdrant itself, and nothing stays."""
    qdrant.loader.plain(name, points=50)
    snapshot = take(qdrant, name)
    with pytest.raises(Damaged):
        bring(target, snapshot, verified_sha256="0" * 64)
    assert name not in target.loader.names()
    assert uploads(target) == []


def test_an_existing_collection_is_refused_and_untouched(
    samples: Samples, qdrant: Live, outside: Inv
) -> None:
    """An existing collection is never overwritten without being asked: 24."""
    samples.put("plain", outside.root / "qdrant_snapshots")
    before = dump(qdrant, "sample-plain")
    ran = outside("snapshot.restore", "--collection", "sample-plain")
    assert_error(ran, 24, "sample-plain already exists", "--replace --yes")
    assert dump(qdrant, "sample-plain") == before


def test_an_alias_as_target_is_refused(samples: Samples, qdrant: Live, outside: Inv) -> None:
    """Restoring to an alias would overwrite its collection: 24, and the error names it."""
    samples.put("plain", outside.root / "qdrant_snapshots")
    ran = outside("snapshot.restore", "--collection", "sample-plain", "--as", "rich-alias")
    assert_error(ran, 24, "alias", "sample-rich")
    assert qdrant.loader.count("sample-rich") == 298


def test_replacing_an_alias_replaces_what_it_stands_for(
    samples: Samples, target: Live, external: Inv, name: str
) -> None:
    """Plan and question name its collection, and the collection keeps the alias."""
    samples.put("plain", external.root / "qdrant_snapshots")
    target.loader.plain(name, points=20)
    target.loader.alias("current", name)
    flags = ("snapshot.restore", "--collection=sample-plain", "--as=current", "--replace")
    assert_error(external(*flags), 24, "20 points", name, "current")
    planned = external(*flags, "--dry-run").stdout
    assert f"use {name}, the collection of the alias current" in planned
    assert target.loader.count(name) == 20
    ran = external(*flags, "--yes")
    assert ran.code == 0, ran.stderr
    assert target.loader.count(name) == 300
    assert target.loader.aliases() == {"current": name}


def test_if_missing_skips_what_is_there(samples: Samples, qdrant: Live, outside: Inv) -> None:
    """`--if-missing` leaves a collection, or an alias of that name, unchanged, and exits with 0."""
    samples.put("plain", outside.root / "qdrant_snapshots")
    qdrant.loader.request("PUT", "/collections/sample-plain/points", {
        "points": [{"id": 9999, "vector": [0.5] * 64}]})  # fmt: skip
    words = ("snapshot.restore", "--collection=sample-plain", "--if-missing", "--json")
    here = outside(*words)
    assert here.code == 0, here.stderr
    assert [r["skipped"] for r in here.document["result"]["restored"]] == [True]
    alias = outside(*words, "--as", "rich-alias")
    assert alias.code == 0, alias.stderr
    assert alias.document["result"]["skipped"] is True
    assert qdrant.loader.count("sample-plain") == 301
    qdrant.loader.request("POST", "/collections/sample-plain/points/delete", {"points": [9999]})


def test_as_restores_beside(samples: Samples, qdrant: Live, outside: Inv, name: str) -> None:
    """`--as` creates a second collection and does not touch the first or its aliases."""
    samples.put("rich", outside.root / "qdrant_snapshots")
    ran = outside("snapshot.restore", "--collection=sample-rich", "--as", name, "--json")
    assert ran.code == 0, ran.stderr
    assert dump(qdrant, name) == dump(qdrant, "sample-rich")
    assert qdrant.loader.aliases()["rich-alias"] == "sample-rich"
    qdrant.loader.delete(name)


def test_a_file_without_manifest_is_restored(samples: Samples, target: Live, external: Inv) -> None:
    """A file from elsewhere is restored, with warnings about facts that nobody recorded."""
    samples.put("rich", external.root / "qdrant_snapshots", manifest=False)
    ran = external("snapshot.restore", "--collection", "sample-rich", "--json")
    assert ran.code == 0, ran.stderr
    found = {f["check"]: f["status"] for f in ran.document["result"]["findings"]}
    assert (found["count"], found["version"]) == ("WARN", "WARN")
    assert target.loader.count("sample-rich") == 298


def test_replace_takes_a_safety_snapshot_first(
    samples: Samples, target: Live, external: Inv
) -> None:
    """`--replace --yes` replaces the contents, keeps later aliases, and saves the old contents."""
    folder = external.root / "qdrant_snapshots"
    samples.put("plain", folder)
    target.loader.plain("sample-plain", points=20)
    target.loader.alias("later-alias", "sample-plain")
    refused = external("snapshot.restore", "--collection=sample-plain", "--replace")
    assert_error(refused, 24, "20 points", "--yes")
    assert target.loader.count("sample-plain") == 20
    ran = external("snapshot.restore", "--collection=sample-plain", "--replace", "--yes", "--json")
    assert ran.code == 0, ran.stderr
    assert target.loader.count("sample-plain") == 300
    owned = {a for a, owner in target.loader.aliases().items() if owner == "sample-plain"}
    assert owned == {"plain-alias", "later-alias"}
    safety = ran.document["result"]["safety_snapshot"]
    [warned] = ran.document["result"]["safety_findings"]
    assert warned["message"] == "20 points; the previous snapshot had 300"
    assert external("snapshot.verify", "--snapshot", safety).code == 0
    shown = external("snapshot.show", "--snapshot", safety, "--json").document["result"]
    assert shown["points_count"] == 20
    # It is kept, but a restore uses an ordinary snapshot by default.
    again = external("snapshot.restore", "--collection=sample-plain", "--as", "again", "--json")
    assert again.document["result"]["points_count"] == 300
    back = external("snapshot.restore", "--snapshot", safety, "--replace", "--yes", "--json")
    assert back.code == 0, back.stderr
    assert target.loader.count("sample-plain") == 20


def prepare_replace(
    qdrant: Live, target: Live, name: str, catalog: Catalog
) -> tuple[Snapshot, dict[str, Any]]:
    """Put an older collection on the target, and take a snapshot of another one to replace it."""
    qdrant.loader.plain(name, points=300)
    qdrant.loader.alias(f"{name}-new", name)
    target.loader.plain(name, points=40)
    target.loader.alias(f"{name}-old", name)
    return take_from(qdrant, name, catalog), dump(target, name)


def assert_put_back(target: Live, name: str, before: dict[str, Any]) -> None:
    """Assert that the collection and its aliases are the old ones."""
    assert dump(target, name) == before
    owned = {a for a, owner in target.loader.aliases().items() if owner == name}
    assert owned == {f"{name}-old"}


@pytest.mark.parametrize("fault", [faults.fail, faults.reset])
@pytest.mark.parametrize("before_it", [0, 1])
def test_a_replace_whose_restore_fails_puts_the_old_back(
    qdrant: Live, target: Live, name: str, catalog: Catalog, fault: Act, before_it: int
) -> None:
    """Whether the trial restore or a later step fails: the old collection and its alias exist."""
    snapshot, before = prepare_replace(qdrant, target, name, catalog)
    with faulty(target.url) as proxy:
        if before_it:
            proxy.on("POST", UPLOAD, lambda e: e.answer(e.forward()), times=before_it)
        proxy.on("POST", UPLOAD, fault, times=1)
        with Server(Endpoint(url=proxy.url), operation_timeout_seconds=30) as server:
            save = safety_saver(CreateDefaults(), server, catalog, Silent(), clock=now)
            request = RestoreRequest(snapshot=snapshot, save_existing=save, journal=catalog.journal)
            with pytest.raises((RestoreIncomplete, Unreachable)):
                restore(request, server, Silent())
    assert_put_back(target, name, before)
    assert target.loader.names() == [name]
    assert len([s for s in catalog.entries(name) if s.is_safety]) == before_it
    assert not [f for f in tree(catalog.folder) if f.startswith(".")]
    assert uploads(target) == []


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"points_count": 301}, RestoreIncomplete),
        ({"fingerprint": {"digest": "0" * 64, "points_count": 300}}, ContentsDiffer),
    ],
)
def test_a_replace_whose_contents_are_wrong_touches_nothing(
    qdrant: Live,
    target: Live,
    name: str,
    catalog: Catalog,
    change: dict[str, Any],
    error: type[TaskError],
) -> None:
    """The file is tested next to the collection, count and every point, before it replaces it."""
    snapshot, before = prepare_replace(qdrant, target, name, catalog)
    edit_manifest(snapshot.path, lambda m: m.update(change))
    snapshot.path.with_name(snapshot.name + ".fingerprint.json").unlink()
    with pytest.raises(error):
        bring(target, catalog.find(snapshot.name), save_existing=never)
    assert_put_back(target, name, before)
    assert target.loader.names() == [name]


def never(collection: str) -> Created:
    """Fail: it is too early for a safety snapshot."""
    raise AssertionError(collection)


def test_a_disk_too_small_for_it_is_told_beforehand(
    samples: Samples, target: Live, catalog: Catalog
) -> None:
    """1.8 times the file, plus the file itself if it is uploaded; otherwise nothing is started."""
    file = samples.put("plain", catalog.folder)
    size = file.stat().st_size
    snapshot = catalog.find(file.name)
    with pytest.raises(StorageError, match=f"{int(size * 2.8):,} bytes"):
        bring(target, snapshot, free_bytes=lambda: int(size * 2.7))
    assert target.loader.names() == []
    assert bring(target, snapshot, free_bytes=lambda: int(size * 2.9)).error is None


@pytest.mark.parametrize("after", ["nothing", "trial", "deletion", "restore"])
def test_the_next_run_ends_a_killed_replace(
    qdrant: Live, target: Live, name: str, external: Inv, after: str
) -> None:
    """Kill -9 at each step: the old one exists, or the new one is complete; nothing else stays."""
    catalog = Catalog(external.root / "qdrant_snapshots")
    snapshot, before = prepare_replace(qdrant, target, name, catalog)
    new = dump(qdrant, name)["points"]
    hold = Hold()
    with faulty(target.url) as proxy:
        match after:
            case "nothing":
                proxy.on("POST", UPLOAD, hold.before, times=1)
            case "trial":
                proxy.on("POST", UPLOAD, hold.after, times=1)
            case _:
                proxy.on("POST", UPLOAD, lambda e: e.answer(e.forward()), times=1)
                proxy.on("POST", UPLOAD, hold.before if after == "deletion" else hold.after)
        flags = ("snapshot.restore", "--collection", name, "--replace", "--yes")
        process = external.start(*flags, QDRANT_URL=proxy.url)
        hold.wait()
        process.kill()
        process.communicate()
        if after == "deletion":
            assert target.loader.names() == []
        # What a dead client sent in part never reaches a server.
        proxy.rules.clear()
        hold.cancel()
        done = external("snapshot.create", "--collection", name, QDRANT_URL=proxy.url)
    assert done.code == 0, done.stderr
    assert target.loader.names() == [name]
    assert dump(target, name)["points"] == (new if after == "restore" else before["points"])
    assert not [f for f in tree(catalog.folder) if f.startswith(".")]
    assert uploads(target) == []
    assert snapshot.path.is_file()


@pytest.mark.parametrize("written", [False, True])
def test_the_next_run_looks_at_a_killed_restore(
    qdrant: Live, target: Live, name: str, external: Inv, written: bool
) -> None:
    """A complete one gets its aliases; one that was written to is reported, and not touched."""
    qdrant.loader.plain(name, points=50)
    qdrant.loader.alias(f"{name}-alias", name)
    take_from(qdrant, name, Catalog(external.root / "qdrant_snapshots"))
    hold = Hold()
    with faulty(target.url) as proxy:
        proxy.on("POST", UPLOAD, hold.after)
        process = external.start("snapshot.restore", "--collection", name, QDRANT_URL=proxy.url)
        hold.wait()
        process.kill()
        process.communicate()
        hold.release.set()
        if written:
            target.loader.request("POST", f"/collections/{name}/points/delete", {"points": [1, 2]})
        flags = ("snapshot.restore", "--collection", name, "--if-missing")
        done = external(*flags, QDRANT_URL=proxy.url)
    assert done.code == 0, done.stderr
    assert ("does not match the snapshot" in done.stderr) == written
    assert target.loader.count(name) == (48 if written else 50)
    assert target.loader.aliases() == ({} if written else {f"{name}-alias": name})
    assert uploads(target) == []
    assert not [f for f in tree(external.root / "qdrant_snapshots") if f.startswith(".")]


def test_a_replace_by_a_damaged_file_touches_nothing(
    samples: Samples, qdrant: Live, outside: Inv
) -> None:
    """The file is read before anything is deleted: 20, and no safety snapshot was needed."""
    folder = outside.root / "qdrant_snapshots"
    flip_byte(samples.put("plain", folder))
    before, files = dump(qdrant, "sample-plain"), tree(folder)
    ran = outside("snapshot.restore", "--collection=sample-plain", "--replace", "--yes")
    assert_error(ran, 20, "damaged")
    assert dump(qdrant, "sample-plain") == before
    assert tree(folder) == files


def test_a_damaged_file_is_never_sent(samples: Samples, target: Live, external: Inv) -> None:
    """20, and nothing was sent to the server."""
    flip_byte(samples.put("plain", external.root / "qdrant_snapshots"))
    with faulty(target.url) as proxy:
        ran = external("snapshot.restore", "--collection=sample-plain", QDRANT_URL=proxy.url)
        assert {method for method, _ in proxy.seen} == {"GET"}
    assert_error(ran, 20, "sha256")
    assert "sample-plain" not in target.loader.names()


def test_a_damaged_file_that_the_server_sees_is_named(
    samples: Samples, target: Live, visible: Catalog
) -> None:
    """If Qdrant reads the file itself, only Qdrant hashes it, and refuses a damaged one."""
    path = samples.put("plain", visible.folder)
    flip_byte(path)
    with faulty(target.url) as proxy:
        seen = replace(target.fresh.endpoint, url=proxy.url)
        with (
            Server(seen, operation_timeout_seconds=30) as server,
            pytest.raises(Damaged, match="sha256 is"),
        ):
            restore(RestoreRequest(snapshot=visible.find(path.name)), server, Silent())
    changing = [(method, address) for method, address in proxy.seen if method != "GET"]
    assert [method for method, _ in changing] == ["PUT"]
    assert re.search(RECOVER, changing[0][1])
    assert target.loader.names() == []


def test_a_damaged_file_that_the_server_does_not_see_is_not_sent(
    samples: Samples, target: Live, tmp_path: Path
) -> None:
    """A mount that exists only in the settings: Qdrant is asked once, and nothing else happens."""
    path = samples.put("plain", tmp_path)
    flip_byte(path)
    wrong = Mount(host_dir=tmp_path, server_dir="/nowhere")
    with faulty(target.url) as proxy:
        seen = replace(target.fresh.endpoint, url=proxy.url, mounts=(wrong,))
        with (
            Server(seen, operation_timeout_seconds=30) as server,
            pytest.raises(Damaged, match="sha256 is"),
        ):
            restore(RestoreRequest(snapshot=Catalog(tmp_path).find(path.name)), server, Silent())
    assert [method for method, _ in proxy.seen if method != "GET"] == ["PUT"]
    assert target.loader.names() == []


@pytest.mark.parametrize(
    ("key", "error", "kept"),
    [
        ("points_count", RestoreIncomplete, False),
        ("vectors", ContentsDiffer, False),
        ("hnsw_config", ContentsDiffer, True),
        ("payload_schema", ContentsDiffer, True),
    ],
)
def test_only_what_came_back_without_its_points_is_removed(
    qdrant: Live,
    target: Live,
    name: str,
    catalog: Catalog,
    key: str,
    error: type[TaskError],
    kept: bool,
) -> None:
    """Other points, or other vectors: it does not stay. A setting or an index: it is kept, 21."""
    qdrant.loader.plain(name, points=50)
    snapshot = take_from(qdrant, name, catalog)

    def tamper(manifest: dict[str, Any]) -> None:
        if key == "points_count":
            manifest["points_count"] += 1
        elif key == "vectors":
            manifest["config"]["params"]["vectors"]["distance"] = "Dot"
        elif key == "hnsw_config":
            manifest["config"]["hnsw_config"]["m"] = 99
        else:
            manifest["payload_schema"]["group"]["data_type"] = "integer"

    edit_manifest(snapshot.path, tamper)
    result = bring(target, catalog.find(snapshot.name), journal=catalog.journal)
    assert isinstance(result.error, error)
    assert ("was kept" in result.error.hint, result.is_kept) == (kept, kept)
    assert (name in target.loader.names()) is kept
    assert not catalog.journal.pending(target.url)


def test_an_older_snapshot_goes_into_the_next_minor_version(
    older_qdrant: Live, target: Live, name: str, take: Take
) -> None:
    """1.16.3 restores into 1.17.0 with all points; newer settings are at most a warning."""
    older_qdrant.loader.rich(name)
    older_qdrant.loader.alias(f"{name}-alias", name)
    result = bring(target, take(older_qdrant, name))
    assert result.error is None
    assert Status.FAIL not in statuses(result).values()
    assert dump(target, name)["points"] == dump(older_qdrant, name)["points"]
    assert target.loader.aliases()[f"{name}-alias"] == name


def test_a_newer_snapshot_is_refused_by_an_older_server(
    samples: Samples, older_qdrant: Live, external: Inv
) -> None:
    """1.17.0 into 1.16.3 would lose settings silently: 24, with --dry-run too."""
    samples.put("plain", external.root / "qdrant_snapshots")
    for flags in ((), ("--dry-run",), ("--as", "other")):
        ran = external(
            "snapshot.restore", "--collection=sample-plain", *flags, QDRANT_URL=older_qdrant.url
        )
        assert_error(ran, 24, "1.17.0", "1.16.3")
    words = ("snapshot.restore", "--all", "--if-missing")
    planned = external(*words, "--dry-run", QDRANT_URL=older_qdrant.url)
    assert "would not restore sample-plain: The snapshot was taken with Qdrant" in planned.stdout
    assert external(*words, QDRANT_URL=older_qdrant.url).code == 24
    assert "sample-plain" not in older_qdrant.loader.names()


def test_a_snapshot_of_two_minors_ago_is_refused(
    samples: Samples, target: Live, external: Inv
) -> None:
    """Skipping a minor version is refused: 24."""
    file = samples.put("plain", external.root / "qdrant_snapshots")
    edit_manifest(file, lambda m: m.update(qdrant_version="1.15.5"))
    ran = external("snapshot.restore", "--collection=sample-plain")
    assert_error(ran, 24, "1.15.5")
    assert "sample-plain" not in target.loader.names()


@pytest.mark.parametrize("command", [("--dry",), ("--dry-run",)])
def test_a_dry_run_prints_the_plan_and_changes_nothing(
    samples: Samples, qdrant: Live, outside: Inv, command: tuple[str]
) -> None:
    """Neither the server nor the folder is changed, not even by a replace.

    Without a permission to replace, it ends as the restore would, with the plan of a replacement.
    """
    folder = outside.root / "qdrant_snapshots"
    samples.put("plain", folder)
    before, names, files = dump(qdrant, "sample-plain"), qdrant.loader.names(), tree(folder)
    for flags in (("--as", "dry"), ("--replace", "--yes"), ("--replace",)):
        words = ["snapshot.restore", "--collection=sample-plain", *flags]
        ran = outside(*(["--dry", *words] if command == ("--dry",) else [*words, "--dry-run"]))
        assert ran.code == 0, ran.stderr
        assert "would restore" in ran.stdout
    words = ["snapshot.restore", "--collection=sample-plain"]
    ran = outside(*(["--dry", *words] if command == ("--dry",) else [*words, "--dry-run"]))
    assert_error(ran, 24, "already exists")
    assert "would be refused\n" in ran.stdout
    assert "would with --replace: take a safety snapshot of sample-plain\n" in ran.stdout
    assert (dump(qdrant, "sample-plain"), qdrant.loader.names()) == (before, names)
    assert tree(folder) == files


def test_an_alias_that_another_collection_has_is_refused(
    samples: Samples, target: Live, external: Inv, name: str
) -> None:
    """A recorded alias that now belongs to another collection is not stolen: 24."""
    samples.put("plain", external.root / "qdrant_snapshots")
    target.loader.plain(name, points=5)
    target.loader.alias("plain-alias", name)
    ran = external("snapshot.restore", "--collection=sample-plain")
    assert_error(ran, 24, "plain-alias", name)
    assert target.loader.aliases()["plain-alias"] == name
    assert "sample-plain" not in target.loader.names()


def test_all_needs_if_missing_and_restores_only_what_is_missing(
    samples: Samples, target: Live, external: Inv
) -> None:
    """`--all --if-missing` restores each missing collection; a second run does nothing."""
    folder = external.root / "qdrant_snapshots"
    samples.put("plain", folder)
    samples.put("rich", folder)
    assert_error(external("snapshot.restore", "--all"), 24, "--if-missing")
    first = external("snapshot.restore", "--all", "--if-missing", "--json")
    assert first.code == 0, first.stderr
    assert [r["skipped"] for r in first.document["result"]["restored"]] == [False, False]
    second = external("snapshot.restore", "--all", "--if-missing", "--json")
    assert [r["skipped"] for r in second.document["result"]["restored"]] == [True, True]


@pytest.fixture
def rivals(qdrant: Live, outside: Inv, name: str) -> tuple[str, ...]:
    """Four snapshots whose aliases and collections had each other's names at different times.

    The collections a and d had the aliases c and b; later b and c were collections. The alias
    live went from a to d.
    """
    a, b, c, d, live = (f"{name}-{letter}" for letter in ("a", "b", "c", "d", "live"))
    for collection, aliases in ((a, (c, live)), (d, (b, live)), (b, ()), (c, ())):
        for alias in aliases:
            drop_alias(qdrant, alias)
        qdrant.loader.plain(collection, points=10)
        for alias in aliases:
            qdrant.loader.alias(alias, collection)
        made = outside("snapshot.create", "--collection", collection)
        assert made.code == 0, made.stderr
        if collection == d:
            drop_alias(qdrant, b)
            drop_alias(qdrant, c)
    return a, b, c, d, live


def drop_alias(qdrant: Live, alias: str) -> None:
    """Delete an alias, if there is one."""
    if alias in qdrant.loader.aliases():
        actions = [{"delete_alias": {"alias_name": alias}}]
        qdrant.loader.request("POST", "/collections/aliases", {"actions": actions})


def test_all_collections_come_back_whatever_their_aliases_are(
    rivals: tuple[str, ...], target: Live, outside: Inv
) -> None:
    """A collection beats an alias, and the newest claim of an alias wins; both are foreseen."""
    a, b, c, d, live = rivals
    words = ("snapshot.restore", "--all", "--if-missing", "--json")
    planned = outside(*words, "--dry-run", QDRANT_URL=target.url)
    assert planned.code == 0, planned.stderr
    would = planned.document["result"]["would"]
    assert f"leave out the alias {c} of {a}: a collection has this name" in would
    assert f"leave out the alias {b} of {d}: a collection has this name" in would
    assert f"leave out the alias {live} of {a}: a newer snapshot, of {d}, has it" in would
    assert f"create the alias {live} of {d}" in would
    assert target.loader.names() == []
    ran = outside(*words, QDRANT_URL=target.url)
    assert ran.code == 0, ran.stderr
    assert set(target.loader.names()) == {a, b, c, d}
    assert target.loader.aliases() == {live: d}
    warned = {
        r["collection"]: [f["message"] for f in r["findings"] if f["status"] == "WARN"]
        for r in ran.document["result"]["restored"]
    }
    assert [c in m for m in warned[a]] == [True, False], warned
    assert [b in m for m in warned[d]] == [True], warned
    again = outside(*words, QDRANT_URL=target.url)
    assert {r["skipped_because"] for r in again.document["result"]["restored"]} == {
        "already exists"
    }


def test_what_the_server_has_stays_when_all_are_restored(
    rivals: tuple[str, ...], target: Live, outside: Inv
) -> None:
    """An alias there is neither stolen nor overwritten by a collection; both are said."""
    a, b, c, d, live = rivals
    target.loader.plain("mine", points=3)
    target.loader.alias(live, "mine")
    target.loader.alias(b, "mine")
    words = ("snapshot.restore", "--all", "--if-missing", "--json")
    would = outside(*words, "--dry-run", QDRANT_URL=target.url).document["result"]["would"]
    assert f"leave out the alias {live} of {d}: it belongs to the collection mine" in would
    assert f"leave out the alias {b} of {d}: it belongs to the collection mine" in would
    assert f"not restore {b}: it is an alias of the collection mine" in would
    ran = outside(*words, QDRANT_URL=target.url)
    assert ran.code == 0, ran.stderr
    assert set(target.loader.names()) == {"mine", a, c, d}
    assert target.loader.aliases() == {live: "mine", b: "mine"}
    because = {r["collection"]: r["skipped_because"] for r in ran.document["result"]["restored"]}
    assert because == {a: None, b: "is an alias of the collection mine", c: None, d: None}


INTERRUPTIONS = {
    "uploading": ("POST", UPLOAD, "before"),
    "uploaded": ("POST", UPLOAD, "after"),
    "waiting for green": ("GET", "/collections/sample-plain", "before"),
    "making aliases": ("POST", "/collections/aliases", "before"),
    "comparing": ("POST", "/collections/sample-plain/points/count", "before"),
}


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        *((moment, signal.SIGINT) for moment in INTERRUPTIONS),
        ("uploading", signal.SIGTERM),
        ("comparing", signal.SIGTERM),
    ],
)
def test_an_interrupted_restore_leaves_no_half_made_collection(
    samples: Samples, target: Live, external: Inv, moment: str, number: signal.Signals
) -> None:
    """Whenever it is interrupted: 130, no collection, no upload."""
    samples.put("plain", external.root / "qdrant_snapshots")
    method, path, how = INTERRUPTIONS[moment]
    ran = interrupt_at(target, external, (), method, path, how, number)
    assert_error(ran, 130)
    assert "sample-plain" not in target.loader.names()
    assert uploads(target) == []


@pytest.mark.parametrize(
    ("method", "path", "how"),
    [
        ("DELETE", "/collections/sample-plain", "before"),
        ("DELETE", "/collections/sample-plain", "after"),
        ("POST", UPLOAD, "before"),
        ("POST", "/collections/aliases", "before"),
    ],
)
def test_an_interrupted_replace_puts_the_old_back(
    samples: Samples, target: Live, external: Inv, method: str, path: str, how: str
) -> None:
    """Whenever a replace is interrupted: 130, and the old collection is there."""
    samples.put("plain", external.root / "qdrant_snapshots")
    target.loader.plain("sample-plain", points=40)
    before = dump(target, "sample-plain")
    flags = ("--replace", "--yes")
    ran = interrupt_at(target, external, flags, method, path, how, signal.SIGINT)
    assert_error(ran, 130)
    assert "sample-plain" in target.loader.names()
    assert dump(target, "sample-plain") == before
    assert uploads(target) == []


def interrupt_at(
    target: Live,
    external: Inv,
    flags: tuple[str, ...],
    method: str,
    path: str,
    how: str,
    number: signal.Signals,
) -> Any:
    """Interrupt `snapshot.restore` during one exchange, and let that exchange continue late."""
    hold, over = Hold(), Hold()

    def act(exchange: Exchange) -> None:
        try:
            getattr(hold, how)(exchange)
        finally:
            over.reached.set()

    with faulty(target.url) as proxy:
        proxy.on(method, path, act, times=1)
        process = external.start(
            "snapshot.restore", "--collection=sample-plain", *flags, QDRANT_URL=proxy.url
        )
        hold.wait()
        process.send_signal(number)
        hold.release.set()
        ran = ended(process)
        over.wait()
    return ran
