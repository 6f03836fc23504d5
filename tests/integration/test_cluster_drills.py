"""A cluster's snapshot is proven on one node and on several, of both versions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import NEWER, OLDER, Inv
from tests.support.cluster import AUTO, KEYED, World, binary, of_cluster, placement
from tests.support.nodes import nodes
from tests.support.world import processes_below, scratch_left


@pytest.mark.parametrize(
    ("collection", "count"), [(AUTO, 1), (AUTO, 3), (KEYED, 1), (KEYED, 2)], ids=str
)
@pytest.mark.parametrize("world", [NEWER], indirect=True)
def test_a_drill_proves_every_replica(
    world: World, inv: Inv, taken: Callable[..., Path], scratch: Path, collection: str, count: int
) -> None:
    """On one node or several, before and after a restart of all of them; nothing is left."""
    path = taken(collection)
    ran = inv("snapshot.test-restore", "--snapshot", path.name, "--nodes", str(count), "--json")
    assert ran.code == 0, ran.stderr + ran.stdout
    [drill] = ran.document["result"]["drills"]
    assert drill["verdict"] == "PROVEN"
    found = {f["check"]: f for f in drill["findings"]}
    replicas = (6 if collection == AUTO else 3) * min(2, count)
    for check in ("replicas", "after restart: replicas"):
        assert found[check]["status"] == "OK"
        assert found[check]["message"].startswith(f"{replicas} replicas")
    # Fewer replicas than on the source are the drill's choice, and no reason for a warning.
    assert all(f["status"] == "OK" for f in drill["findings"])
    assert scratch_left(scratch) == []
    assert processes_below(scratch) == []


@pytest.mark.parametrize("world", [OLDER], indirect=True)
def test_the_older_version_comes_back_on_two_nodes(
    world: World, inv: Inv, taken: Callable[..., Path], tmp_path: Path
) -> None:
    """Keys before the payload indexes, which it demands; taken as streams."""
    path = taken(KEYED, "--stream")
    ran = inv("snapshot.test-restore", "--snapshot", path.name, "--nodes", "2")
    assert ran.code == 0, ran.stderr + ran.stdout
    with nodes(binary(tmp_path, world.version), tmp_path / "other", 2) as other:
        there = of_cluster(inv, other)
        ran = there("snapshot.restore", "--snapshot", path.name)
        assert ran.code == 0, ran.stderr + ran.stdout
        assert placement(other, KEYED) == {1: ("a", 2), 4: (7, 2), 5: (7, 2)}
