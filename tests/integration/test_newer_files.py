"""Snapshots of 1.18.3 and 1.19.0: structure, contents and filters are what those servers said.

No binary of these versions can be installed here, so their files stand for them (tests/data).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import qdrant_edge as edge

from snapshot_tasks.domain import fingerprint as canon
from snapshot_tasks.domain.fingerprint import BUCKETS
from snapshot_tasks.sealing.archive import check_archive
from snapshot_tasks.sealing.reader import locate_points, read_contents
from snapshot_tasks.sealing.unpack import unpack
from snapshot_tasks.system.progress import Silent
from tests.support.fixtures import DEFERRED, WHOLE, Fixture

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
