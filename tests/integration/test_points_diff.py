"""`points.diff` on real servers of both versions: every kind of vector, and several shards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from snapshot_tasks.catalog.folder import Catalog
from tests.conftest import Inv, Live
from tests.integration.conftest import Take
from tests.support.collections import rich_points
from tests.support.world import assert_error

POINTS = 60


@pytest.fixture
def changed(qdrant: Live, name: str, take: Take, catalog: Catalog) -> str:
    """A snapshot of a collection of which some points were then added, removed and changed."""
    qdrant.loader.rich(name, points=POINTS)
    taken = take(qdrant, name)
    path, points = f"/collections/{name}/points", list(rich_points(POINTS + 1))
    qdrant.loader.request("POST", f"{path}/delete?wait=true", {"points": [10, 11]})
    qdrant.loader.request(
        "POST", f"{path}/payload?wait=true", {"payload": {"kind": "c"}, "points": [14]}
    )
    sparse = {"id": 16, "vector": {"words": {"indices": [1], "values": [0.5]}}}
    qdrant.loader.request("PUT", f"{path}/vectors?wait=true", {"points": [sparse]})
    new = {**points[13], "id": 1000}
    late = {**points[17], "vector": {**points[17]["vector"], "late": [[1.0, 0.0, 0.0, 0.0]]}}
    qdrant.loader.request("PUT", f"{path}?wait=true", {"points": [new, late]})
    return str(taken.path)


def result(inv: Inv, *flags: str) -> dict[str, Any]:
    """Return the result of a comparison."""
    ran = inv("points.diff", *flags, "--json")
    assert ran.code == 0, ran.stderr
    document: dict[str, Any] = ran.document["result"]
    return document


def test_what_changed_since_a_snapshot(outside: Inv, changed: str, tmp_path: Path) -> None:
    """Added, removed and changed, in which component, with the ids, and by a field's values."""
    ids = tmp_path / "ids.jsonl"
    found = result(outside, "--snapshot", changed, "--by", "kind", "--ids", str(ids))
    assert (found["added"], found["removed"], found["changed"]) == (1, 2, 3)
    assert found["changed_components"] == {"payload": 1, "vector late": 1, "vector words": 1}
    assert found["by"] == {
        "a": {"added": 0, "removed": 1, "changed": 2},
        "b": {"added": 1, "removed": 1, "changed": 1},
    }
    lines = [json.loads(line) for line in ids.read_text().splitlines()]
    assert {(line["id"], line["what"]) for line in lines} == {
        (10, "removed"), (11, "removed"), (1000, "added"),
        (14, "changed"), (16, "changed"), (17, "changed"),
    }  # fmt: skip


def test_both_versions_of_one_point(outside: Inv, changed: str) -> None:
    """Only what differs; a point that is nowhere is 10, and an id that is none 14."""
    found = result(outside, "--snapshot", changed, "--id", "14")
    assert found["differs"] == ["payload kind"]
    assert (found["before"]["payload"]["kind"], found["after"]["payload"]["kind"]) == ("a", "c")
    assert result(outside, "--snapshot", changed, "--id", "10")["after"] is None
    assert result(outside, "--snapshot", changed, "--id", "13")["differs"] == []
    ran = outside("points.diff", "--snapshot", changed, "--id", "16")
    assert "vector words" in ran.stdout
    assert_error(outside("points.diff", "--snapshot", changed, "--id", "77777"), 10)
    assert_error(outside("points.diff", "--snapshot", changed, "--id", "x"), 14)


def test_two_snapshots(
    outside: Inv, changed: str, qdrant: Live, name: str, take: Take, catalog: Catalog
) -> None:
    """The later with itself, and the earlier with the later, sealed or not."""
    later = str(take(qdrant, name).path)
    assert "no point differs" in outside("points.diff", "--snapshot", later).stdout
    found = result(outside, "--snapshot", changed, "--with", later)
    assert (found["added"], found["removed"], found["changed"]) == (1, 2, 3)
    for path in catalog.folder.glob(f"{Path(changed).name}.*json"):
        path.unlink()
    found = result(outside, "--snapshot", changed, "--with", later)
    assert (found["added"], found["removed"], found["changed"]) == (1, 2, 3)
