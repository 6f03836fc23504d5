"""Snapshots of real servers: the file, its manifest, the server's copy, sources that change."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.checks.file import verify
from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.operations.create.many import create_each
from snapshot_tasks.operations.create.one import create
from snapshot_tasks.operations.create.request import CreateRequest
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.errors import Damaged, NotFound, ServerFailure, TaskError, Unreachable
from snapshot_tasks.system.progress import Silent
from tests.conftest import NEWER, Inv, Live, native_qdrant, now
from tests.support import proxy as faults
from tests.support.disks import fill, need_disks, small_disk
from tests.support.proxy import Act, Exchange, Hold, Proxy, faulty
from tests.support.world import assert_error, ended, home_of, read_manifest, tree

KEYS = {
    "schema", "collection", "snapshot", "created_at", "size_bytes", "sha256", "qdrant_version",
    "source_url", "label", "points_count", "source_points_before", "source_points_after",
    "source_moved", "fingerprint", "config", "payload_schema", "aliases", "probes",
}  # fmt: skip
SNAPSHOTS = r"/collections/[^/]+/snapshots"
DOWNLOAD = SNAPSHOTS + r"/[^/]+"
COUNT = r"/collections/[^/]+/points/count"


@pytest.fixture
def behind(qdrant: Live) -> Iterator[Proxy]:
    """The shared server behind a proxy that can break things."""
    with faulty(qdrant.url) as proxy:
        yield proxy


def connect(proxy: Proxy, *, seconds: float = 20) -> Server:
    """Connect through the proxy."""
    return Server(Endpoint(url=proxy.url), operation_timeout_seconds=seconds)


@pytest.mark.parametrize("kind", ["plain", "rich"])
@pytest.mark.parametrize("version", ["qdrant", "older_qdrant"])
def test_create_records_exactly_what_was_there(
    version: str, kind: str, name: str, catalog: Catalog, request: pytest.FixtureRequest
) -> None:
    """The file's bytes, the manifest's facts, the link and the server's folder are all right."""
    live: Live = request.getfixturevalue(version)
    if kind == "plain":
        live.loader.plain(name, points=300)
    else:
        live.loader.rich(name)
    live.loader.alias(f"{name}-alias", name)
    with live.server() as server:
        made = create(
            CreateRequest(collection=name, label="night"), server, catalog, Silent(), clock=now
        ).snapshot
    assert made.path.parent == catalog.folder
    manifest = read_manifest(made.path)
    assert manifest.keys() >= KEYS
    info = live.loader.request("GET", f"/collections/{name}")
    assert manifest["schema"] == 2
    assert manifest["collection"] == name
    assert manifest["snapshot"] == made.path.name
    assert manifest["label"] == "night"
    assert manifest["size_bytes"] == made.path.stat().st_size
    assert manifest["sha256"] == hashlib.sha256(made.path.read_bytes()).hexdigest()
    assert manifest["qdrant_version"] == live.version
    assert manifest["source_url"] == live.url
    assert manifest["config"] == info["config"]
    assert manifest["payload_schema"].keys() == info["payload_schema"].keys()
    assert manifest["aliases"] == [f"{name}-alias"]
    count = live.loader.count(name)
    counts = ("points_count", "source_points_before", "source_points_after")
    assert [manifest[key] for key in counts] == [count] * 3
    assert manifest["source_moved"] is False
    taken = datetime.fromisoformat(manifest["created_at"])
    assert taken.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - taken) < timedelta(minutes=1)
    assert made.path.name == f"{name}_{taken:%Y%m%d_%H%M%S}.snapshot"
    link = catalog.folder / f"{name}_latest.snapshot"
    assert os.readlink(link) == made.path.name
    beside = [f"{made.path.name}{end}" for end in (".json", ".fingerprint.json", ".probes.json")]
    assert tree(catalog.folder) == sorted([made.path.name, *beside, link.name])
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o444
    assert live.loader.server_snapshots(name) == []


def test_the_server_copy_is_kept_on_demand(qdrant: Live, name: str, outside: Inv) -> None:
    """`--keep-server-copy` leaves exactly one snapshot on the server, the same bytes."""
    qdrant.loader.plain(name, points=50)
    ran = outside("snapshot.create", "--collection", name, "--keep-server-copy", "--json")
    assert ran.code == 0, ran.stderr
    assert len(qdrant.loader.server_snapshots(name)) == 1
    [made] = ran.document["result"]["snapshots"]
    [listed] = qdrant.loader.request("GET", f"/collections/{name}/snapshots")
    assert listed["checksum"] == made["sha256"]


def test_two_in_one_second_get_distinct_names(qdrant: Live, name: str, catalog: Catalog) -> None:
    """With a stopped clock, nothing is overwritten; the link follows the newer one."""
    qdrant.loader.plain(name, points=20)
    moment = now()
    with qdrant.server() as server:
        made = [
            create(
                CreateRequest(collection=name), server, catalog, Silent(), clock=lambda: moment
            ).snapshot
            for _ in range(3)
        ]
    assert len({m.path.name for m in made}) == 3
    assert os.readlink(catalog.folder / f"{name}_latest.snapshot") == made[-1].path.name
    assert catalog.newest(name).name == made[-1].path.name


def test_all_goes_on_past_a_collection_whose_storage_is_broken(
    name: str, tmp_path: Path, inv: Inv
) -> None:
    """`--all` takes the good ones, names the broken one, and does not exit with 0."""
    with native_qdrant(NEWER, tmp_path) as live:
        for collection in ("a-sound", "b-broken", "c-sound"):
            live.loader.plain(collection, points=50)
        shutil.rmtree(home_of(live) / "storage" / "collections" / "b-broken" / "0" / "segments")
        ran = inv(
            "snapshot.create", "--all", "--json", QDRANT_URL=live.url, QDRANT_ENGINE="external"
        )
        assert ran.code != 0
        result = ran.document["result"]
        assert [s["collection"] for s in result["snapshots"]] == ["a-sound", "c-sound"]
        assert [f["name"] for f in result["failed"]] == ["b-broken"]
        assert "b-broken" in ran.document["error"]["message"]
        files = tree(inv.root / "qdrant_snapshots")
        assert not [f for f in files if "b-broken" in f or f.startswith(".staging")]
        assert live.loader.server_snapshots("a-sound") == []


def test_several_failures_are_all_named(
    qdrant: Live, behind: Proxy, name: str, catalog: Catalog
) -> None:
    """A collection that fails stops neither those before nor those after it."""
    for suffix in "abc":
        qdrant.loader.plain(f"{name}-{suffix}", points=20)
    behind.on("POST", f"/collections/{name}-b/snapshots", faults.fail)
    requests = [CreateRequest(collection=f"{name}-{suffix}") for suffix in "abcx"]
    with connect(behind) as server:
        taken = create_each(requests, server, catalog, Silent(), clock=now)
    assert [c.snapshot.collection for c in taken.results] == [f"{name}-a", f"{name}-c"]
    assert [(f.name, type(f.error)) for f in taken.failures] == [
        (f"{name}-b", ServerFailure),
        (f"{name}-x", NotFound),
    ]


@pytest.mark.parametrize("when", ["before the snapshot", "after the snapshot"])
def test_a_moving_source_is_told(
    qdrant: Live, behind: Proxy, name: str, catalog: Catalog, when: str
) -> None:
    """Writes between the two counts set source_moved, and both counts are recorded."""
    qdrant.loader.plain(name, points=300)

    def write(exchange: Exchange) -> None:
        points = ({"id": 5000 + n, "vector": [0.1] * 64, "payload": {}} for n in range(40))
        qdrant.loader.fill(name, points)
        exchange.answer(exchange.forward())

    if when == "before the snapshot":
        behind.on("POST", SNAPSHOTS, write, times=1)
    else:
        behind.on("GET", DOWNLOAD, write, times=1)
    with connect(behind) as server:
        made = create(CreateRequest(collection=name), server, catalog, Silent(), clock=now).snapshot
    manifest = read_manifest(made.path)
    assert manifest["source_moved"] is True
    assert manifest["source_points_before"] == 300
    assert manifest["source_points_after"] == 340


def test_an_alias_is_no_collection(qdrant: Live, name: str, outside: Inv) -> None:
    """An alias is refused, and its collection named; nothing is catalogued under a wrong name."""
    qdrant.loader.plain(name, points=20)
    qdrant.loader.alias(f"{name}-alias", name)
    ran = outside("snapshot.create", "--collection", f"{name}-alias")
    assert_error(ran, 10, "alias", f"--collection {name}`")
    assert tree(outside.root / "qdrant_snapshots") == []
    assert qdrant.loader.server_snapshots(name) == []


def test_a_lost_answer_is_reconciled_by_listing(
    qdrant: Live, behind: Proxy, name: str, catalog: Catalog
) -> None:
    """Qdrant created it and its response was lost: found by listing, requested once, none left."""
    qdrant.loader.plain(name, points=300)
    behind.on("POST", SNAPSHOTS, faults.lose_answer)
    with connect(behind) as server:
        made = create(CreateRequest(collection=name), server, catalog, Silent(), clock=now).snapshot
    assert behind.requests("POST", SNAPSHOTS) == 1
    assert read_manifest(made.path)["points_count"] == 300
    assert hashlib.sha256(made.path.read_bytes()).hexdigest() == made.sha256
    assert qdrant.loader.server_snapshots(name) == []


def test_an_answer_later_than_the_timeout_is_reconciled(
    qdrant: Live, behind: Proxy, name: str, catalog: Catalog
) -> None:
    """A late response is not a failure: the snapshot exists and is used."""
    qdrant.loader.plain(name, points=300)
    hold = Hold()
    behind.on("POST", SNAPSHOTS, hold.after)
    with connect(behind, seconds=1.5) as server:
        create(CreateRequest(collection=name), server, catalog, Silent(), clock=now)
    hold.release.set()
    assert behind.requests("POST", SNAPSHOTS) == 1
    assert qdrant.loader.server_snapshots(name) == []


def test_a_request_that_never_arrived_ends_in_time(
    qdrant: Live, behind: Proxy, name: str, catalog: Catalog
) -> None:
    """A request that was lost on the way is not repeated blindly, and waiting for it has an end."""
    qdrant.loader.plain(name, points=20)
    behind.on("POST", SNAPSHOTS, faults.reset)
    with connect(behind, seconds=1.5) as server, pytest.raises(Unreachable):
        create(CreateRequest(collection=name), server, catalog, Silent(), clock=now)
    assert behind.requests("POST", SNAPSHOTS) == 1
    assert tree(catalog.folder) == []


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.truncate, Unreachable),
        (faults.shorten, Damaged),
        (faults.flip, Damaged),
        (faults.fail, ServerFailure),
        (faults.lose_answer, Unreachable),
        (faults.reset, Unreachable),
    ],
)
def test_a_broken_download_leaves_nothing(
    qdrant: Live, behind: Proxy, name: str, catalog: Catalog, fault: Act, error: type[TaskError]
) -> None:
    """A download that broke leaves no file, no staging file and no server copy."""
    qdrant.loader.plain(name, points=300)
    behind.on("GET", DOWNLOAD, fault)
    with connect(behind) as server, pytest.raises(error):
        create(CreateRequest(collection=name), server, catalog, Silent(), clock=now)
    assert tree(catalog.folder) == []
    assert qdrant.loader.server_snapshots(name) == []


@pytest.mark.parametrize("losses", [1, 4])
def test_a_lost_download_goes_on(
    qdrant: Live, behind: Proxy, name: str, catalog: Catalog, losses: int
) -> None:
    """After each loss, only the rest is sent: the bytes match Qdrant's hash, created only once."""
    qdrant.loader.plain(name, points=300)
    behind.on("GET", DOWNLOAD, faults.truncate, times=losses)
    with connect(behind) as server:
        created = create(CreateRequest(collection=name), server, catalog, Silent(), clock=now)
    assert verify(created.snapshot, Silent()).error is None
    assert behind.requests("POST", SNAPSHOTS) == 1
    assert behind.requests("GET", DOWNLOAD) == losses + 1
    assert qdrant.loader.server_snapshots(name) == []


def test_a_download_never_goes_on_with_another_file(
    qdrant: Live, behind: Proxy, name: str, catalog: Catalog
) -> None:
    """If the server's copy has changed by then, none of its bytes are appended."""
    qdrant.loader.plain(name, points=300)
    behind.on("GET", DOWNLOAD, faults.truncate, times=1)
    behind.on("GET", DOWNLOAD, faults.other_file)
    with connect(behind) as server, pytest.raises(ServerFailure, match="412"):
        create(CreateRequest(collection=name), server, catalog, Silent(), clock=now)
    assert tree(catalog.folder) == []


def test_a_stalled_download_ends_in_time(
    qdrant: Live, behind: Proxy, name: str, catalog: Catalog
) -> None:
    """A download that stops without an end is abandoned, and leaves nothing."""
    qdrant.loader.plain(name, points=300)
    hold = Hold()
    behind.on("GET", DOWNLOAD, hold.halfway)
    impatient = Endpoint(url=behind.url, answer_seconds=1.0)
    stalled = Server(impatient, operation_timeout_seconds=20)
    with stalled as server, pytest.raises(Unreachable):
        create(CreateRequest(collection=name), server, catalog, Silent(), clock=now)
    hold.release.set()
    assert tree(catalog.folder) == []
    assert qdrant.loader.server_snapshots(name) == []


def test_a_500_to_the_request_leaves_nothing(
    qdrant: Live, behind: Proxy, name: str, outside: Inv
) -> None:
    """If the server fails to create a snapshot, the error has its message, and nothing is left."""
    qdrant.loader.plain(name, points=20)
    behind.on("POST", SNAPSHOTS, faults.fail)
    ran = outside("snapshot.create", "--collection", name, QDRANT_URL=behind.url)
    assert_error(ran, 1, "out of luck")
    assert tree(outside.root / "qdrant_snapshots") == []
    assert qdrant.loader.server_snapshots(name) == []


def test_an_answer_without_json_is_no_bug_of_ours(
    qdrant: Live, behind: Proxy, name: str, outside: Inv, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway's HTML instead of Qdrant's response is two lines, without a traceback."""
    monkeypatch.setattr("snapshot_tasks.qdrant.snapshots.INTERRUPTED_SECONDS", 1.0)
    qdrant.loader.plain(name, points=20)
    page = faults.Answer(200, {"Content-Type": "text/html"}, b"<html>hello</html>")
    behind.on("POST", SNAPSHOTS, lambda exchange: exchange.answer(page))
    ran = outside("snapshot.create", "--collection", name, QDRANT_URL=behind.url)
    assert_error(ran, 13)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A separate disk of one megabyte."""
    need_disks()
    with small_disk(tmp_path / "full", size="1m") as disk:
        yield disk


def test_a_disk_too_small_is_told_beforehand(
    qdrant: Live, name: str, outside: Inv, full_disk: Path
) -> None:
    """If the file cannot fit, nothing is downloaded, and the exit code is 15."""
    qdrant.loader.plain(name, points=2000)
    ran = outside("snapshot.create", "--collection", name, "--output-dir", str(full_disk))
    assert_error(ran, 15, "free in")
    assert tree(full_disk) == []
    assert qdrant.loader.server_snapshots(name) == []


@pytest.fixture
def roomy_disk(tmp_path: Path) -> Iterator[Path]:
    """A separate disk with space for a snapshot, whichever kind of file Qdrant writes it from."""
    need_disks()
    with small_disk(tmp_path / "roomy", size="32m") as disk:
        yield disk


def test_a_disk_that_fills_up_leaves_nothing(
    qdrant: Live, behind: Proxy, name: str, outside: Inv, roomy_disk: Path
) -> None:
    """A disk that fills up in the meantime is exit code 15, and nothing is left on it."""
    qdrant.loader.plain(name, points=300)
    hold = Hold()
    behind.on("GET", DOWNLOAD, hold.halfway)
    flags = ("--collection", name, "--output-dir", str(roomy_disk))
    process = outside.start("snapshot.create", *flags, QDRANT_URL=behind.url)
    hold.wait()
    filler = fill(roomy_disk)
    hold.release.set()
    assert_error(ended(process), 15, "No space left")
    filler.unlink()
    assert tree(roomy_disk) == []
    assert qdrant.loader.server_snapshots(name) == []


def test_leftovers_of_a_killed_run_are_swept(
    qdrant: Live, behind: Proxy, name: str, outside: Inv
) -> None:
    """Kill -9 leaves a hidden staging file and the server copy; the next run removes both."""
    qdrant.loader.plain(name, points=300)
    hold = Hold()
    behind.on("GET", DOWNLOAD, hold.halfway, times=1)
    process = outside.start("snapshot.create", "--collection", name, QDRANT_URL=behind.url)
    hold.wait()
    process.kill()
    process.communicate()
    hold.release.set()
    folder = outside.root / "qdrant_snapshots"
    assert {f.split("-")[0] for f in tree(folder)} == {".staging", ".pending"}
    assert len(qdrant.loader.server_snapshots(name)) == 1
    assert outside("snapshot.list", "--json").document["result"]["snapshots"] == []
    ran = outside("snapshot.create", "--collection", name, QDRANT_URL=behind.url)
    assert ran.code == 0, ran.stderr
    assert not [f for f in tree(folder) if f.startswith(".")]
    assert qdrant.loader.server_snapshots(name) == []


def test_lost_reads_are_repeated(qdrant: Live, name: str, catalog: Catalog) -> None:
    """A lost connection while only reading is retried, and the snapshot is taken."""
    qdrant.loader.plain(name, points=20)
    with faulty(qdrant.url) as proxy:
        proxy.on("GET", f"/collections/{name}", faults.reset, times=1)
        proxy.on("GET", "/aliases", faults.lose_answer, times=1)
        with connect(proxy) as server:
            made = create(
                CreateRequest(collection=name), server, catalog, Silent(), clock=now
            ).snapshot
    assert made.size_bytes > 0


def test_dry_takes_nothing(qdrant: Live, name: str, outside: Inv) -> None:
    """`inv --dry snapshot.create` changes neither folder nor server."""
    qdrant.loader.plain(name, points=20)
    ran = outside("--dry", "snapshot.create", "--collection", name, "--keep-server-copy")
    assert ran.code == 0
    assert "would take a snapshot" in ran.stdout
    assert tree(outside.root / "qdrant_snapshots") == []
    assert qdrant.loader.server_snapshots(name) == []
