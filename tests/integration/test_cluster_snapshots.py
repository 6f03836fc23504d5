"""A whole cluster's collection: taken on three nodes, brought back on as many, on fewer, on one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from snapshot_tasks.qdrant.p2p import answers_without_key
from tests.conftest import Inv, Live
from tests.support.cluster import (
    AUTO,
    AUTO_POINTS,
    KEYED,
    KEYS,
    World,
    at,
    binary,
    fill,
    nothing_left,
    of_cluster,
    placement,
    points,
)
from tests.support.inv import Ran
from tests.support.nodes import Node, nodes
from tests.support.world import assert_error

# What is left of custom sharding where a key was deleted again.
KEY_BY_ID = {1: "a", 4: 7, 5: 7}


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
    assert sum(shard["points_count"] for shard in manifest["shards"]) == AUTO_POINTS
    assert len({shard["digest"] for shard in manifest["shards"]}) == 6
    assert {shard["node"] for shard in manifest["shards"]} == {node.url for node in world.found}
    nothing_left(world.found)
    assert inv("snapshot.verify", "--snapshot", path.name, "--level", "content").code == 0
    assert "6, of 3 nodes" in inv("snapshot.show", "--snapshot", path.name).stdout


def test_the_doctor_warns_of_p2p_ports_that_anybody_reaches(world: World, inv: Inv) -> None:
    """Qdrant asks for no key there; a port that cannot be reached, or another one, is no reason."""
    found = of_cluster(inv, world.found)("doctor", "--json").document["result"]["findings"]
    told = [(f["status"], f["message"].split()[:3]) for f in found if f["check"] == "p2p port"]
    assert told == [
        ("WARN", [f"127.0.0.1:{node.ports[2]}", "of", node.url]) for node in world.found
    ]
    http, grpc, p2p = world.found[0].ports
    answers = {port: answers_without_key("127.0.0.1", port) for port in (http, grpc, p2p)}
    assert answers == {http: False, grpc: False, p2p: True}
    assert not answers_without_key("no-such-node.invalid", p2p)


def test_the_keys_of_custom_sharding_are_recorded(world: World, taken: Callable[..., Path]) -> None:
    """With their types, their shards, and how many replicas each has."""
    path = taken(KEYED)
    manifest = json.loads(path.with_name(path.name + ".json").read_text())
    assert manifest["keys"] == [
        {"key": "a", "shards_count": 1, "replication_factor": 2},
        {"key": 7, "shards_count": 2, "replication_factor": 2},
    ]
    assert [(s["id"], s["key"]) for s in manifest["shards"]] == [(1, "a"), (4, 7), (5, 7)]


def test_a_collection_without_shard_keys_is_refused(world: World, inv: Inv) -> None:
    """It has no shard, so nothing can be taken; that is no damage."""
    with closing(world.found[0].loader) as loader:
        loader.request("PUT", "/collections/keyless", {"sharding_method": "custom"})
    try:
        ran = of_cluster(inv, world.found)("snapshot.create", "--collection", "keyless")
        assert_error(ran, 24, "no shard key", "Create a shard key")
    finally:
        with closing(world.found[0].loader) as loader:
            loader.request("DELETE", "/collections/keyless")


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
        assert placement(other, KEYED) == {n: (key, replicas) for n, key in KEY_BY_ID.items()}
        nothing_left(other)
        _still_writable(other)
        # Every replica got the later writes, too: each is compared with the shard's new seal.
        proven(there("snapshot.create", "--collection", AUTO, "--strict"))
        proven(there("snapshot.verify", "--collection", AUTO, "--level", "source"))


def _still_writable(found: list[Node]) -> None:
    """An update goes to the shard that has the point; otherwise there would be two of it."""
    for number, node in enumerate(found):
        with closing(node.loader) as loader:
            loader.fill(AUTO, points(300, start=300 * number))
            loader.request("POST", f"/collections/{AUTO}/points/delete", {"points": [100 + number]})
    for node in found:
        answer = httpx.post(f"{node.url}/collections/{AUTO}/points/count", json={"exact": True})
        expected = AUTO_POINTS - len(found) + 3
        assert answer.json()["result"]["count"] == expected


def test_a_plain_server_takes_it_too(inv: Inv, taken: Callable[..., Path], qdrant: Live) -> None:
    """Where there are no shard keys; what came back is a collection as any other."""
    path = taken(AUTO)
    proven(at(inv, qdrant.url)("snapshot.restore", "--snapshot", path.name, "--as", "plain"))
    keyed = taken(KEYED)
    ran = at(inv, qdrant.url)("snapshot.restore", "--snapshot", keyed.name)
    assert_error(ran, 24, "shard keys", "cluster mode")


def test_a_snapshot_of_one_server_comes_back_in_a_cluster(
    world: World, inv: Inv, qdrant: Live
) -> None:
    """Its file is taken apart: each of its shards goes to every node that holds it there."""
    qdrant.loader.plain("single", points=200, shards=2)
    ran = at(inv, qdrant.url)("snapshot.create", "--collection", "single")
    proven(ran)
    there = of_cluster(inv, world.found)
    proven(there("snapshot.restore", "--collection", "single"))
    proven(there("snapshot.verify", "--collection", "single", "--level", "source"))
    assert placement(world.found, "single") == {0: (None, 1), 1: (None, 1)}
    with closing(world.found[0].loader) as loader:
        loader.request("DELETE", "/collections/single")


def test_the_keys_of_one_node_come_back_on_three(world: World, inv: Inv, tmp_path: Path) -> None:
    """One node in cluster mode grows to three: same ids and keys, then writable to each key."""
    with nodes(binary(tmp_path, world.version), tmp_path / "one", 1) as [node]:
        fill(node)
        proven(at(inv, node.url)("snapshot.create", "--collection", KEYED))
    there = of_cluster(inv, world.found)
    proven(there("snapshot.restore", "--collection", KEYED, "--as", "grown"))
    assert {i: key for i, (key, _) in placement(world.found, "grown").items()} == KEY_BY_ID
    with closing(world.found[0].loader) as loader:
        for number, key in enumerate(KEYS):
            batch = {"points": list(points(150, start=1000 * number)), "shard_key": key}
            loader.request("PUT", "/collections/grown/points", batch)
    for node in world.found:
        answer = httpx.post(f"{node.url}/collections/grown/points/count", json={"exact": True})
        assert answer.json()["result"]["count"] == 150 * len(KEYS)
    with closing(world.found[0].loader) as loader:
        loader.request("DELETE", "/collections/grown")


def test_a_node_that_is_not_named_is_told(world: World, inv: Inv) -> None:
    """Its shards would be missing."""
    ran = of_cluster(inv, world.found[:2])("snapshot.create", "--collection", AUTO)
    assert_error(ran, 24, "has 3 nodes, but the URLs of 2 are known", "QDRANT_CLUSTER_URLS")
    ran = at(inv, world.found[0].url)("snapshot.create", "--collection", AUTO)
    assert_error(ran, 24, "has 3 nodes", "QDRANT_CLUSTER_URLS")


def test_a_file_without_its_manifest_is_imported(
    inv: Inv, taken: Callable[..., Path], tmp_path: Path
) -> None:
    """It says itself which shard each one is; what is in each is read and sealed."""
    path = taken(KEYED)
    manifest = json.loads(path.with_name(path.name + ".json").read_text())
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    for old in (inv.root / "qdrant_snapshots").iterdir():
        old.unlink()
    proven(inv("snapshot.import", str(copy)))
    again = json.loads(path.with_name(path.name + ".json").read_text())
    for key in ("kind", "shards", "keys", "qdrant_version", "config"):
        assert again[key] == manifest[key]
    proven(inv("snapshot.verify", "--snapshot", path.name, "--level", "content"))


@pytest.mark.parametrize(("collection", "shards"), [(AUTO, 6), (KEYED, 3)])
def test_another_replication_is_as_asked_for(
    world: World, inv: Inv, taken: Callable[..., Path], collection: str, shards: int
) -> None:
    """More or fewer replicas than were recorded, but no more than there are nodes."""
    path, there = taken(collection), of_cluster(inv, world.found)
    for factor in (1, 3):
        words = ("--snapshot", path.name, "--as", "other", "--replication", str(factor))
        proven(there("snapshot.restore", *words))
        found = placement(world.found, "other")
        assert [count for _, count in found.values()] == [factor] * shards
        with closing(world.found[0].loader) as loader:
            loader.request("DELETE", "/collections/other")
    ran = there("snapshot.restore", "--snapshot", path.name, "--as", "other", "--replication", "4")
    assert_error(ran, 24, "only 3 nodes", "--replication 3")
