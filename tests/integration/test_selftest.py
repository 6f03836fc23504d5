"""The checks catch every known fault of a real snapshot, and the self-test can fail."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.checks.restored import RESTORED_CHECKS
from snapshot_tasks.cli.show.faults import as_markdown
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.engines.native import NativeEngine
from snapshot_tasks.operations.create.one import create
from snapshot_tasks.operations.create.request import CreateRequest
from snapshot_tasks.operations.prove.selftest import (
    BYTES,
    CONTENTS,
    DRILL,
    SelfTestReport,
    SelfTestRequest,
    selftest,
)
from snapshot_tasks.selftest.copies import Fault
from snapshot_tasks.selftest.faults import FAULTS
from snapshot_tasks.settings import load_settings
from snapshot_tasks.system.errors import Refused
from snapshot_tasks.system.progress import Silent
from tests.conftest import NEWER, Live, now
from tests.support.amount import only_full
from tests.support.collections import plain_points
from tests.support.world import scratch_left

# The members' fault that Qdrant never notices.
HARMLESS = "SHARD/segments/SEGMENT/id_tracker.deleted: second half dropped"
CHECKS = (BYTES, CONTENTS, DRILL)
# The rich collection is too small for its graphs to be used.
GRAPH_ONLY = [
    "point flagged as deleted",
    "second half of the HNSW links zeroed",
    "all points flagged as deleted in a payload index",
]
# It is no cluster's.
OF_SHARDS = [
    "two shard files swapped",
    "two shard keys swapped",
    "shard missing",
    "stream of a shard cut at half",
    "stream of a shard ended early",
    "stale replica",
    "empty replica that is Active",
]


@pytest.fixture(scope="module")
def rich(qdrant: Live, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """A sealed snapshot of a collection with two shards and every feature."""
    qdrant.loader.rich("rich")
    qdrant.loader.alias("rich-live", "rich")
    return taken(qdrant, tmp_path_factory.mktemp("snapshots"))


def taken(live: Live, folder: Path, *, seal: bool = True, collection: str = "rich") -> Snapshot:
    """Take a snapshot of a collection."""
    request = CreateRequest(collection=collection, seal=seal)
    with live.server() as server:
        return create(request, server, Catalog(folder), Silent(), clock=now).snapshot


def run_selftest(
    snapshot: Snapshot,
    faults: tuple[Fault, ...] = FAULTS,
    checks: tuple[str, ...] = CHECKS,
    *,
    all_members: bool = False,
    only: str = "",
) -> SelfTestReport:
    """Run the self-test on a native engine."""
    request = SelfTestRequest(
        snapshot=snapshot,
        version=NEWER,
        operation_timeout_seconds=60,
        faults=faults,
        checks=checks,
        all_members=all_members,
        only=only,
    )
    engine = NativeEngine(load_settings(snapshot.path.parent, {"QDRANT_VERSION": NEWER}))
    return selftest(request, engine, Silent(), clock=now)


def named(*names: str) -> tuple[Fault, ...]:
    """Return these faults."""
    found = tuple(fault for fault in FAULTS if fault.name in names)
    assert len(found) == len(names)
    return found


def state_of(folder: Path) -> dict[str, str]:
    """Return every file of a folder with its hash."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


@pytest.mark.timeout(900)
def test_every_fault_is_caught(
    rich: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No fault is skipped or missed, the original is unchanged, nothing is left."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = state_of(rich.path.parent)
    report = run_selftest(rich)
    assert report.error is None
    assert [row.fault for row in report.rows if row.left_out] == [*GRAPH_ONLY, *OF_SHARDS]
    assert [row.fault for row in report.rows if row.uncaught] == []
    assert state_of(rich.path.parent) == before
    assert scratch_left(tmp_path) == []
    for row in report.rows:
        assert f"| {row.fault} |" in as_markdown(report)


def test_faults_of_a_graph_are_caught(graph: Snapshot) -> None:
    """Those that need a collection whose searches use HNSW are caught by its drill."""
    report = run_selftest(graph, named(*GRAPH_ONLY))
    assert [row.left_out for row in report.rows] == [""] * len(GRAPH_ONLY)
    caught = [row.resigned.caught_by for row in report.rows if row.resigned]
    assert caught == ["contents", "drill: search", "drill: payload index group"]


def test_damaged_searches_are_caught(rich: Snapshot) -> None:
    """They are beside the manifest, which identifies them; without them, no drill passes."""
    searches = [fault for fault in FAULTS if fault.name.startswith("recorded searches")]
    report = run_selftest(rich, tuple(searches))
    caught = [row.as_it_is.caught_by for row in report.rows if row.as_it_is]
    assert caught == ["drill: contents", "searches", "searches"]


def test_each_level_of_checks_is_needed(rich: Snapshot) -> None:
    """Some faults are caught only by the archive check, the contents or the drill."""
    faults = named(
        "cut by one byte", "one bit of a vector flipped", "other HNSW setting in config.json"
    )
    caught = [row.resigned.caught_by for row in run_selftest(rich, faults).rows if row.resigned]
    assert caught == ["archive", "contents", "drill: config"]


def test_a_fault_that_nothing_catches_fails(rich: Snapshot) -> None:
    """Without the contents and the drill, a re-signed flipped bit is missed: exit code 21."""
    report = run_selftest(rich, named("one bit of a vector flipped"), checks=(BYTES,))
    (row,) = report.rows
    assert row.as_it_is is not None
    assert row.as_it_is.caught_by == "sha256"
    assert row.uncaught
    assert report.error is not None
    assert report.error.exit_code == 21
    assert "one bit of a vector flipped" in report.error.message
    assert "NOT CAUGHT" in as_markdown(report)


@pytest.fixture(scope="module")
def graph(qdrant: Live, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """A snapshot of a collection whose searches use HNSW."""
    qdrant.loader.graph("graph")
    return taken(qdrant, tmp_path_factory.mktemp("graph"), collection="graph")


@only_full
@pytest.mark.timeout(3600)
def test_damage_to_every_member_is_caught_or_harmless(graph: Snapshot) -> None:
    """The same for every kind of file in a snapshot: hundreds of faults, each with a drill."""
    report = run_selftest(graph, (), all_members=True)
    assert len(report.rows) > 200
    assert [row.fault for row in report.rows if row.uncaught] == []


@pytest.mark.parametrize("only", ["group-map/deleted", "vector_index/links", "id_tracker.versions"])
@pytest.mark.timeout(600)
def test_damage_to_any_member_is_caught_or_harmless(graph: Snapshot, only: str) -> None:
    """A check is red, or points, filters, facets and searches are restored as without damage."""
    report = run_selftest(graph, (), all_members=True, only=only)
    assert len(report.rows) >= 2
    assert [row.fault for row in report.rows if row.uncaught] == []
    assert any(row.resigned and row.resigned.caught_by for row in report.rows)
    assert all(row.as_it_is is None for row in report.rows)


def test_a_member_that_matters_must_be_caught(
    graph: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the check of payload indexes, a dead index differs from an undamaged restore."""
    monkeypatch.setattr(
        "snapshot_tasks.checks.restored.RESTORED_CHECKS",
        tuple(each for each in RESTORED_CHECKS if "index" not in each[0].__name__),
    )
    report = run_selftest(graph, (), all_members=True, only="group-map/deleted.bin: whole rand")
    (row,) = report.rows
    assert row.uncaught
    assert report.error is not None
    assert "NOT CAUGHT: filters" in as_markdown(report)


def test_a_harmless_fault_says_so(graph: Snapshot) -> None:
    """What Qdrant does not need, or makes anew, is restored identically."""
    report = run_selftest(graph, (), all_members=True, only=HARMLESS)
    (row,) = report.rows
    assert row.is_harmless
    assert report.error is None
    assert "harmless: restored identically" in as_markdown(report)
    assert "1 were harmless" in as_markdown(report)


@pytest.mark.parametrize("is_index_first", [True, False])
def test_an_index_that_the_log_brings_back_is_not_missed(
    qdrant: Live, name: str, tmp_path: Path, *, is_index_first: bool
) -> None:
    """Lost before its points, it finds none of them; made after them, the log makes it anew."""
    config = {"vectors": {"size": 4, "distance": "Dot"}}
    qdrant.loader.request("PUT", f"/collections/{name}", config)
    if is_index_first:
        qdrant.loader.index(name, "group", "keyword")
    qdrant.loader.fill(name, plain_points(10, 4))
    if not is_index_first:
        qdrant.loader.index(name, "group", "keyword")
    snapshot = taken(qdrant, tmp_path, collection=name)
    report = run_selftest(snapshot, named("payload index lost from the file"))
    (row,) = report.rows
    assert row.resigned is not None
    assert (report.error, row.is_harmless) == (None, not is_index_first)
    assert row.resigned.caught_by == ("drill: payload index group" if is_index_first else "")


def test_a_snapshot_that_does_not_pass_undamaged_is_refused(rich: Snapshot, tmp_path: Path) -> None:
    """A check that fails for an intact snapshot would seem to catch everything."""
    for path in rich.path.parent.glob(f"{rich.name}*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with (tmp_path / rich.name).open("ab") as file:
        file.write(b"x")
    with pytest.raises(Refused, match="size, sha256, archive"):
        run_selftest(Catalog(tmp_path).find(rich.name), ())


def test_an_unsealed_snapshot_is_refused(qdrant: Live, rich: Snapshot, tmp_path: Path) -> None:
    """Without a seal, the contents cannot be checked."""
    assert rich.collection == "rich"
    with pytest.raises(Refused, match="not sealed"):
        run_selftest(taken(qdrant, tmp_path, seal=False))
