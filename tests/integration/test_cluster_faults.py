"""Faults of a cluster while it is saved or restored: nothing is lost or left behind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx

from tests.conftest import Inv
from tests.support.cluster import (
    AUTO,
    VECTORS,
    World,
    killing,
    nothing_left,
    of_cluster,
    points,
)
from tests.support.disks import need_disks, small_disk
from tests.support.nodes import until
from tests.support.proxy import Answer, Hold, Proxy
from tests.support.world import assert_error, ended, tree

COPIES = r"/collections/[^/]+/shards/\d+/snapshots"
NEW = "beside"
DONE = Answer(200, {"Content-Type": "application/json"}, b'{"result": true, "status": "ok"}')


def test_a_node_that_dies_during_a_create(
    world: World, inv: Inv, fronts: list[Proxy], fronted: Inv
) -> None:
    """13; the doctor names it; once it is back, the next run deletes its copy."""
    last = world.found[2]
    fronts[2].on("GET", COPIES + "/[^/]+", killing(last), times=1)
    try:
        assert_error(fronted("snapshot.create"), 13, fronts[2].url)
        assert [n for n in tree(inv.root / "qdrant_snapshots") if not n.startswith(".")] == []
        ran = fronted("doctor", "--json")
        lines = [f for f in ran.document["result"]["findings"] if f["check"] == "node"]
        assert [line["status"] for line in lines] == ["OK", "OK", "FAIL"]
        assert lines[2]["message"] == f"{fronts[2].url} does not answer"
    finally:
        last.start()
    until(lambda: set(last.state_of(AUTO)) == {"Active"})
    ran = fronted("snapshot.create", "--no-seal")
    assert ran.code == 0, ran.stderr
    nothing_left(world.found)


def test_the_next_run_removes_a_half_made_collection(
    world: World, fronts: list[Proxy], fronted: Inv, taken: Callable[..., Path]
) -> None:
    """Killed with -9 when some replicas had their points: the rest would never get any."""
    taken(AUTO)
    hold = Hold()
    fronts[2].on("POST", COPIES + "/upload", lambda e: e.answer(e.forward()), times=1)
    fronts[2].on("POST", COPIES + "/upload", hold.before, times=1)
    process = fronted.start("snapshot.restore", "--as", NEW)
    try:
        hold.wait()
        process.kill()
        ended(process)
    finally:
        hold.cancel()
    ran = fronted("snapshot.restore", "--as", NEW)
    assert ran.code == 0, ran.stderr
    nothing_left(world.found)
    with closing(world.found[0].loader) as loader:
        loader.request("DELETE", f"/collections/{NEW}")


def test_a_replica_that_was_never_filled_fails_the_restore(
    world: World, fronts: list[Proxy], fronted: Inv, taken: Callable[..., Path]
) -> None:
    """A node answers 200 and restores nothing: counts come from another, so only a look shows it.

    The aliases are made last, so nobody was led to it, and nothing of it is left.
    """
    taken(AUTO)
    fronts[2].on("POST", COPIES + "/upload", lambda e: e.answer(DONE), times=1)
    ran = fronted("snapshot.restore", "--as", NEW)
    assert_error(ran, 22, "has 0 points, not", fronts[2].url)
    names = [c["name"] for c in world.found[0].get("/collections")["collections"]]
    assert NEW not in names
    nothing_left(world.found)


def test_no_room_to_compare_makes_nothing(
    world: World, inv: Inv, taken: Callable[..., Path], tmp_path: Path
) -> None:
    """It is known before: else every node would restore its shards, and lose them again."""
    need_disks()
    taken(AUTO)
    with small_disk(tmp_path / "small", size="2m") as disk:
        ran = of_cluster(inv, world.found, TMPDIR=str(disk))("snapshot.restore", "--as", NEW)
    assert_error(ran, 15, "Comparing the replicas of one node", "TMPDIR")
    names = [c["name"] for c in world.found[0].get("/collections")["collections"]]
    assert NEW not in names


def test_an_empty_active_replica_is_told(world: World, inv: Inv) -> None:
    """Counts come from any replica, so only the nodes' own words and a look at each show it.

    A snapshot is taken of the other replica.
    """
    with closing(world.found[0].loader) as loader:
        for name, count in (("whole", 60), ("void", 0)):
            body = {"vectors": VECTORS, "shard_number": 1, "replication_factor": 2}
            loader.request("PUT", f"/collections/{name}", body)
            if count:
                loader.fill(name, points(count))
    [[empty, _], [first, second]] = (
        [n for n in world.found if n.get(f"/collections/{name}/cluster")["local_shards"]]
        for name in ("void", "whole")
    )
    # Of two equal replicas, that of the lower peer id is taken; the entry point answers counts.
    victim, good = sorted((first, second), key=lambda n: int(n.get("/cluster")["peer_id"]))
    there = of_cluster(inv, [good, *(n for n in world.found if n is not good)])
    assert there("snapshot.create", "--collection", "whole", "--strict").code == 0
    shard = httpx.get(f"{empty.url}/collections/void/shards/0/snapshot", timeout=60).content
    url = f"{victim.url}/collections/whole/shards/0/snapshots/upload?priority=no_sync&wait=true"
    httpx.post(url, files={"snapshot": shard}, timeout=60).raise_for_status()
    ran = there("snapshot.verify", "--collection", "whole", "--level", "source")
    assert_error(ran, 21, "replica")
    ran = there("snapshot.create", "--collection", "whole", "--strict")
    assert ran.code == 21, ran.stderr + ran.stdout
    assert "the replicas of shard 0 have different numbers of points" in ran.stderr + ran.stdout
    # Nobody writes, so it would end with 21 if it were not the 60 points that are counted.
    assert there("snapshot.create", "--collection", "whole").code == 0
    ran = there("doctor", QDRANT_COLLECTION_NAME="whole")
    assert "different numbers of points" in ran.stdout
    with closing(world.found[0].loader) as loader:
        for name in ("whole", "void"):
            loader.request("DELETE", f"/collections/{name}")
