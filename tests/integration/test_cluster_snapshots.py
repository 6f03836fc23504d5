"""A whole cluster's collection: taken on three nodes, brought back on as many, on fewer, on one."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import NEWER, OLDER, Inv
from tests.integration.test_cluster import at, binary
from tests.support.inv import Ran
from tests.support.nodes import Node, nodes
from tests.support.world import assert_error, processes_below, scratch_left

AUTO, KEYED = "auto", "keyed"
VECTORS = {"size": 8, "distance": "Dot"}
KEYS: tuple[str | int, ...] = ("a", 7)


@dataclass(frozen=True)
class World:
    """Three nodes with two collections, and a folder with a snapshot of each."""

    version: str
    found: list[Node]
    folder: Path


def of_cluster(inv: Inv, found: list[Node], **more: str) -> Inv:
    """Return an `inv` that knows every node."""
    return at(inv, found[0].url, QDRANT_CLUSTER_URLS=",".join(n.url for n in found), **more)


def points(count: int, *, start: int = 0) -> Iterator[dict[str, Any]]:
    """Yield points that no other has the same score as."""
    numbers = random.Random(start)
    for number in range(start, start + count):
        vector = [numbers.gauss(0, 1) for _ in range(8)]
        yield {"id": number, "vector": vector, "payload": {"group": f"g{number % 5}", "n": number}}


def fill(node: Node) -> None:
    """Make six shards with two replicas each, and keys of which one is deleted again."""
    with closing(node.loader) as loader:
        body = {"vectors": VECTORS, "shard_number": 6, "replication_factor": 2}
        loader.request("PUT", f"/collections/{AUTO}", body)
        loader.index(AUTO, "group", "keyword")
        loader.fill(AUTO, points(900))
        loader.request("POST", f"/collections/{AUTO}/points/delete", {"points": [3, 5, 8]})
        body |= {"sharding_method": "custom", "shard_number": 1}
        loader.request("PUT", f"/collections/{KEYED}", body)
        shards = f"/collections/{KEYED}/shards"
        for key, count in (("a", 1), ("gone", 2), (7, 2)):
            loader.request("PUT", shards, {"shard_key": key, "shards_number": count})
        loader.request("POST", f"{shards}/delete", {"shard_key": "gone"})
        for number, key in enumerate(KEYS):
            batch = {"points": list(points(100, start=1000 * number)), "shard_key": key}
            loader.request("PUT", f"/collections/{KEYED}/points", batch)
        loader.index(KEYED, "n", "integer")


@pytest.fixture(scope="module", params=[OLDER, NEWER])
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """A cluster of three nodes of each version."""
    folder = tmp_path_factory.mktemp("cluster")
    with nodes(binary(folder, request.param), folder, 3) as found:
        fill(found[0])
        yield World(version=request.param, found=found, folder=folder)


@pytest.fixture
def taken(world: World, inv: Inv) -> Callable[[str], Path]:
    """Take a snapshot of a collection of the cluster, and return its file."""

    def take(collection: str, *flags: str) -> Path:
        ran = of_cluster(inv, world.found)(
            "snapshot.create", "--collection", collection, "--strict", *flags, "--json"
        )
        assert ran.code == 0, ran.stderr
        [made] = ran.document["result"]["snapshots"]
        return inv.root / "qdrant_snapshots" / str(made["snapshot"])

    return take


def placement(found: list[Node], collection: str) -> dict[int, tuple[str | int | None, int]]:
    """Return each shard's key and number of replicas; every replica must be active."""
    shards: dict[int, tuple[str | int | None, int]] = {}
    for node in found:
        for shard in node.get(f"/collections/{collection}/cluster")["local_shards"]:
            assert shard["state"] == "Active"
            _, count = shards.get(shard["shard_id"], (None, 0))
            shards[shard["shard_id"]] = (shard.get("shard_key"), count + 1)
    return shards


def nothing_left(found: list[Node]) -> None:
    """No node has a copy of a snapshot left on its disk."""
    for node in found:
        left = [p for p in (node.home / "snapshots").rglob("*") if p.is_file()]
        assert left == []


def proven(ran: Ran) -> None:
    """The restore found nothing wrong."""
    assert ran.code == 0, ran.stderr + ran.stdout


@pytest.mark.parametrize("way", [(), ("--stream",)], ids=["stored", "streamed"])
def test_a_cluster_is_one_file(
    world: World, inv: Inv, taken: Callable[..., Path], way: tuple[str, ...]
) -> None:
    """A plain tar of each shard's file; the manifest says which shard it is and what it has."""
    path = taken(AUTO, *way)
    manifest = json.loads(path.with_name(path.name + ".json").read_text())
    names = subprocess.run(["tar", "tf", path], capture_output=True, text=True, check=True).stdout
    assert names.split() == [*(f"shard-{n}.snapshot" for n in range(6)), "shards.json"]
    assert manifest["kind"] == "shards"
    assert [shard["id"] for shard in manifest["shards"]] == list(range(6))
    assert sum(shard["points_count"] for shard in manifest["shards"]) == 897
    assert len({shard["digest"] for shard in manifest["shards"]}) == 6
    assert {shard["node"] for shard in manifest["shards"]} == {node.url for node in world.found}
    nothing_left(world.found)
    assert inv("snapshot.verify", "--snapshot", path.name, "--level", "content").code == 0


def test_the_keys_of_custom_sharding_are_recorded(world: World, taken: Callable[..., Path]) -> None:
    """With their types, their shards, and how many replicas each has."""
    path = taken(KEYED)
    manifest = json.loads(path.with_name(path.name + ".json").read_text())
    assert manifest["keys"] == [
        {"key": "a", "shards_count": 1, "replication_factor": 2},
        {"key": 7, "shards_count": 2, "replication_factor": 2},
    ]
    assert [(s["id"], s["key"]) for s in manifest["shards"]] == [(1, "a"), (4, 7), (5, 7)]


@pytest.mark.parametrize("count", [3, 2, 1])
def test_it_comes_back_on_other_nodes(
    world: World, inv: Inv, taken: Callable[..., Path], tmp_path: Path, count: int
) -> None:
    """Each shard under its id and key, every replica whole; later writes reach all of them."""
    paths = {name: taken(name) for name in (AUTO, KEYED)}
    with nodes(binary(tmp_path, world.version), tmp_path / "other", count) as other:
        there = of_cluster(inv, other)
        for path in paths.values():
            proven(there("snapshot.restore", "--snapshot", path.name))
            proven(there("snapshot.verify", "--snapshot", path.name, "--level", "source"))
        replicas = min(2, count)
        assert placement(other, AUTO) == dict.fromkeys(range(6), (None, replicas))
        keys = {1: "a", 4: 7, 5: 7}
        assert placement(other, KEYED) == {n: (key, replicas) for n, key in keys.items()}
        nothing_left(other)
        _still_writable(other)


def _still_writable(found: list[Node]) -> None:
    """An update goes to the shard that has the point; otherwise there would be two of it."""
    for number, node in enumerate(found):
        with closing(node.loader) as loader:
            loader.fill(AUTO, points(300, start=300 * number))
            loader.request("POST", f"/collections/{AUTO}/points/delete", {"points": [100 + number]})
    for node in found:
        answer = httpx.post(f"{node.url}/collections/{AUTO}/points/count", json={"exact": True})
        expected = 897 - len(found) + 3
        assert answer.json()["result"]["count"] == expected


@pytest.mark.parametrize(
    ("collection", "count"), [(AUTO, 1), (AUTO, 3), (KEYED, 1), (KEYED, 2)], ids=str
)
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
    assert scratch_left(scratch) == []
    assert processes_below(scratch) == []


def test_a_plain_server_takes_it_too(
    world: World, inv: Inv, taken: Callable[..., Path], request: pytest.FixtureRequest
) -> None:
    """Where there are no shard keys; what came back is a collection as any other."""
    name = "qdrant" if world.version == NEWER else "older_qdrant"
    live = request.getfixturevalue(name)
    path = taken(AUTO)
    proven(at(inv, live.url)("snapshot.restore", "--snapshot", path.name, "--as", "plain"))
    keyed = taken(KEYED)
    ran = at(inv, live.url)("snapshot.restore", "--snapshot", keyed.name)
    assert_error(ran, 24, "shard keys", "cluster mode")


def test_a_snapshot_of_one_server_comes_back_in_a_cluster(
    world: World, inv: Inv, request: pytest.FixtureRequest
) -> None:
    """Its file is taken apart: each of its shards goes to every node that holds it there."""
    live = request.getfixturevalue("qdrant" if world.version == NEWER else "older_qdrant")
    live.loader.plain("single", points=200, shards=2)
    ran = at(inv, live.url)("snapshot.create", "--collection", "single")
    proven(ran)
    there = of_cluster(inv, world.found)
    proven(there("snapshot.restore", "--collection", "single"))
    proven(there("snapshot.verify", "--collection", "single", "--level", "source"))
    assert placement(world.found, "single") == {0: (None, 1), 1: (None, 1)}
    with closing(world.found[0].loader) as loader:
        loader.request("DELETE", "/collections/single")


def test_a_node_that_is_not_named_is_told(world: World, inv: Inv) -> None:
    """Its shards would be missing."""
    ran = of_cluster(inv, world.found[:2])("snapshot.create", "--collection", AUTO)
    assert_error(ran, 24, "has 3 nodes, but the URLs of 2 are known", "QDRANT_CLUSTER_URLS")
    ran = at(inv, world.found[0].url)("snapshot.create", "--collection", AUTO)
    assert_error(ran, 24, "has 3 nodes", "QDRANT_CLUSTER_URLS")
