"""Snapshots of 1.18.3 and 1.19.0: structure, contents and filters are what those servers said.

No binary of these versions can be installed here, so their files stand for them (tests/data).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import qdrant_edge as edge

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain import fingerprint as canon
from snapshot_tasks.domain.fingerprint import BUCKETS
from snapshot_tasks.domain.shards import ShardFacts, ShardSet
from snapshot_tasks.engines.base import Engine
from snapshot_tasks.operations.prove.selftest import BYTES, CONTENTS, SelfTestRequest, selftest
from snapshot_tasks.sealing.archive import check_archive
from snapshot_tasks.sealing.container import Description, Writer
from snapshot_tasks.sealing.reader import locate_points, read_contents
from snapshot_tasks.sealing.unpack import unpack
from snapshot_tasks.selftest.faults import FAULTS
from snapshot_tasks.system.progress import Silent
from tests.conftest import Inv, now
from tests.support.fixtures import DEFERRED, NODES, WHOLE, Fixture
from tests.support.world import assert_error

# What damages a shard of a cluster, and its points.
OF_SHARDS = (
    "shard missing",
    "stream of a shard cut at half",
    "stream of a shard ended early",
    "segment lost",
    "vector zeroed",
    "point flagged as deleted",
)
EACH = pytest.mark.parametrize("fixture", WHOLE, ids=str)


def condition(document: dict[str, Any]) -> Any:
    """Return one of the conditions in the fixtures as Qdrant Edge takes it."""
    if "is_empty" in document:
        return edge.IsEmptyCondition(document["is_empty"]["key"])
    if "range" in document:
        return edge.FieldCondition(document["key"], range=edge.RangeFloat(**document["range"]))
    if "text" in document["match"]:
        return edge.FieldCondition(document["key"], match=edge.MatchText(document["match"]["text"]))
    return edge.FieldCondition(document["key"], match=edge.MatchValue(document["match"]["value"]))


def asks_for_a_bool(document: dict[str, Any]) -> bool:
    """Return whether a filter cannot be asked here: Qdrant Edge takes `True` as the number 1."""
    return any(isinstance(c.get("match", {}).get("value"), bool) for c in document["must"])


def counted(folder: Path, document: dict[str, Any]) -> int:
    """Return how many points of an unpacked shard a filter finds."""
    shard = edge.EdgeShard.load(str(folder))
    try:
        wanted = edge.Filter(must=[condition(item) for item in document["must"]])
        return int(shard.count(edge.CountRequest(exact=True, filter=wanted)))
    finally:
        shard.close()


def test_no_fixture_is_left_out() -> None:
    """Two versions, and one with the flags of later ones."""
    assert {fixture.version for fixture in WHOLE} == {"1.18.3", "1.19.0", "1.19.0-all-flags"}
    assert len(WHOLE) == 15
    assert len(DEFERRED) == 2


@EACH
def test_the_structure_is_accepted(fixture: Fixture, tmp_path: Path) -> None:
    """The bytes are those that the server sent, and the archive check finds nothing."""
    path, facts = fixture.write(tmp_path), fixture.facts
    assert path.stat().st_size == facts["size_bytes"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == facts["sha256"]
    summary = check_archive(path)
    assert len(summary.shards) == facts["info"]["config"]["params"]["shard_number"]
    assert facts["info"]["config"]["params"].items() <= summary.config["params"].items()


@EACH
def test_the_file_has_the_points_that_the_server_returned(fixture: Fixture, tmp_path: Path) -> None:
    """Every id, payload and vector, bit for bit, by the fingerprint."""
    contents = read_contents(fixture.write(tmp_path), Silent())
    expected = fixture.fingerprint()
    assert contents.fingerprint.differences(expected) == ()
    assert contents.fingerprint.digest == expected.digest
    assert contents.fingerprint.points_count == fixture.facts["count"]
    assert contents.pending_count == 0


@EACH
def test_filters_find_what_the_server_found(fixture: Fixture, tmp_path: Path) -> None:
    """Each filter, over the payload indexes in the file."""
    (scratch := tmp_path / "shards").mkdir()
    shards = unpack(fixture.write(tmp_path), scratch)
    for asked in fixture.facts["filtered_counts"]:
        if asks_for_a_bool(asked["filter"]):
            continue
        found = sum(counted(shard.folder, asked["filter"]) for shard in shards)
        assert found == asked["count"], asked["filter"]


def write_container(fixture: Fixture, folder: Path, *, swapped: bool = False) -> Path:
    """Put one shard's two files into a cluster's file: stored as shard 0, streamed as shard 1.

    If they are `swapped`, its description speaks of them as they were.
    """
    facts, parts = fixture.facts, ("shard-stored", "shard-streamed")
    files = [fixture.write(folder, part=part).read_bytes() for part in parts]
    path = folder / "nodes_20250101_120000.snapshot"
    shards = tuple(
        ShardFacts(
            id=number, key=None, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest()
        )
        for number, data in enumerate(files)
    )
    assert [s.sha256 for s in shards] == [facts["files"][f"nodes.{p}"]["sha256"] for p in parts]
    with path.open("w+b") as file:
        writer = Writer(file)
        for number, data in enumerate(reversed(files) if swapped else files):
            writer.place(number, len(data)).write(data)
        writer.finish(
            Description(
                shard_set=ShardSet(shards=shards),
                config=facts["info"]["config"],
                payload_schema=facts["info"]["payload_schema"],
                qdrant_version=fixture.version,
            )
        )
    return path


def test_swapped_shards_are_not_imported(inv: Inv, tmp_path: Path) -> None:
    """Qdrant never checks of which shard a file is, so the file's own description is believed."""
    ran = inv("snapshot.import", str(write_container(NODES[0], tmp_path, swapped=True)))
    assert_error(ran, 20, "other bytes of shard 0, 1", "shards.json")
    assert list(Catalog(inv.root / "qdrant_snapshots").entries()) == []


@pytest.mark.parametrize("fixture", NODES, ids=str)
def test_shards_of_a_cluster_are_imported_sealed_and_verified(
    fixture: Fixture, inv: Inv, tmp_path: Path
) -> None:
    """What its node said of the shard is in both of its files, and a change of either is seen.

    Whether such nodes take these files back cannot be tested: none can be installed here. Real
    nodes of 1.16 and 1.17 take theirs in `test_cluster_snapshots.py`.
    """
    ran = inv("snapshot.import", str(write_container(fixture, tmp_path)))
    assert ran.code == 0, ran.stderr
    (taken,) = Catalog(inv.root / "qdrant_snapshots").entries()
    expected = fixture.fingerprint()
    assert expected.points_count == fixture.facts["count_of_shard"]
    both = dict.fromkeys((0, 1), (expected.points_count, expected.digest))
    assert {s.id: (s.points_count, s.digest) for s in taken.shards} == both
    assert taken.taken_with == fixture.version
    assert inv("snapshot.verify", "--level", "content").code == 0
    request = SelfTestRequest(
        snapshot=taken,
        version=fixture.version,
        operation_timeout_seconds=60,
        checks=(BYTES, CONTENTS),
        faults=tuple(fault for fault in FAULTS if fault.name in OF_SHARDS),
    )
    engine: Engine = None  # type: ignore[assignment]  # no server is asked for
    report = selftest(request, engine, Silent(), clock=now)
    assert [row.fault for row in report.rows if row.uncaught or row.left_out] == []


@pytest.mark.parametrize("fixture", DEFERRED, ids=str)
def test_the_file_also_has_the_points_that_the_server_hid(fixture: Fixture, tmp_path: Path) -> None:
    """Points that are not optimized yet: 20 were returned, all 300 are in the file."""
    path, facts = fixture.write(tmp_path), fixture.facts
    contents = read_contents(path, Silent())
    hidden = facts["info"]["update_queue"]["deferred_points"]
    assert contents.fingerprint.points_count == facts["count"] + hidden == 300
    found = locate_points(path, frozenset(range(BUCKETS)), Silent())
    shown = {
        identity: canon.point_leaf(identity, parts) for identity, parts in fixture.components()
    }
    assert len(shown) == facts["count"] == 20
    assert shown.items() <= found.items()
