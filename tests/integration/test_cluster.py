"""Real nodes in cluster mode: what one of several says alone is not believed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from snapshot_tasks.sealing.archive import check_archive
from snapshot_tasks.system.errors import Refused
from tests.conftest import NEWER, OLDER, Inv, Live
from tests.integration.conftest import Samples
from tests.support.cluster import at, binary, of_cluster
from tests.support.fixtures import NODES, Fixture
from tests.support.nodes import Node, nodes, until
from tests.support.world import assert_error

NAME = "sample-plain"
KEYED = "keyed"
KEYS: tuple[str | int, ...] = ("gone", "en", 7)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    """Three nodes with a replica each; that of the third missed writes and is Dead."""
    folder = tmp_path_factory.mktemp("three")
    with nodes(binary(folder, NEWER), folder, 3) as found:
        with closing(found[0].loader) as loader:
            body = {"vectors": {"size": 4, "distance": "Cosine"}, "replication_factor": 3}
            loader.request("PUT", f"/collections/{NAME}", body | {"shard_number": 1})
            loader.fill(NAME, points(20))
            found[2].kill()
            loader.fill(NAME, points(40))
        found[2].start()
        until(lambda: found[2].state_of(NAME) == ["Dead"])
        yield found


@pytest.fixture(params=[OLDER, NEWER])
def one(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Node]:
    """A single node in cluster mode, of each version, with keys of which one was deleted."""
    folder = tmp_path / "one"
    folder.mkdir()
    with nodes(binary(folder, request.param), folder, 1) as [node]:
        with closing(node.loader) as loader:
            body = {
                "vectors": {"size": 4, "distance": "Cosine"},
                "sharding_method": "custom",
                "hnsw_config": {"m": 8},
            }
            loader.request("PUT", f"/collections/{KEYED}", body)
            shards = f"/collections/{KEYED}/shards"
            loader.request("PATCH", f"/collections/{KEYED}", {"params": {"read_fan_out_factor": 1}})
            for key, count in zip(KEYS, (18, 1, 1), strict=True):
                loader.request("PUT", shards, {"shard_key": key, "shards_number": count})
            loader.index(KEYED, "group", "keyword")
            for offset, key in enumerate(KEYS):
                batch = {"points": list(points(30, offset=offset)), "shard_key": key}
                loader.request("PUT", f"/collections/{KEYED}/points", batch)
            loader.request("POST", f"{shards}/delete", {"shard_key": KEYS[0]})
        yield node


def points(count: int, *, offset: int = 0) -> Iterator[dict[str, Any]]:
    """Yield points whose ids do not meet those of another offset."""
    for number in range(count):
        group = {"group": f"g{number % 3}"}
        yield {"id": number * 3 + offset, "vector": [1.0, number, offset, 2.0], "payload": group}


def counts(node: Node, collection: str) -> dict[str | int, int]:
    """Return the exact count of each shard key."""
    found = {}
    for key in KEYS[1:]:
        body = {"exact": True, "shard_key": key}
        answer = httpx.post(f"{node.url}/collections/{collection}/points/count", json=body)
        found[key] = answer.raise_for_status().json()["result"]["count"]
    return found


@pytest.mark.parametrize("number", [0, 2])
@pytest.mark.parametrize(
    "task",
    [
        ("snapshot.create", "--collection", NAME),
        ("snapshot.verify", "--collection", NAME, "--level", "source"),
        ("snapshot.test-restore", "--collection", NAME, "--create"),
        ("snapshot.restore", "--collection", NAME, "--as", "other"),
    ],
    ids=lambda task: "-".join(task[0::3]),
)
def test_one_of_three_nodes_is_refused(
    three: list[Node], inv: Inv, samples: Samples, task: tuple[str, ...], number: int
) -> None:
    """Whether its replica is active or dead: it is not the whole truth. Nothing is left there."""
    samples.put("plain", inv.root / "qdrant_snapshots")
    before = sorted(path.name for path in (inv.root / "qdrant_snapshots").iterdir())
    ran = at(inv, three[number].url)(*task)
    assert_error(ran, 24, "3 nodes, but the URLs of 1 are known", "QDRANT_CLUSTER_URLS")
    after = sorted(path.name for path in (inv.root / "qdrant_snapshots").iterdir())
    assert [name for name in after if not name.startswith(".")] == [
        name for name in before if not name.startswith(".")
    ]
    assert three[number].get(f"/collections/{NAME}/snapshots") == []
    assert [c["name"] for c in three[0].get("/collections")["collections"]] == [NAME]


def test_a_node_that_is_not_of_the_cluster_is_refused(one: Node, inv: Inv, qdrant: Live) -> None:
    """Also where the entry point has no peers: a cluster that is half up would get everything."""
    for entry, other in ((one.url, qdrant.url), (qdrant.url, one.url)):
        named = at(inv, entry, QDRANT_CLUSTER_URLS=f"{entry},{other}")
        ran = named("snapshot.create", "--collection", KEYED)
        assert_error(ran, 24, "is not a node of the cluster", "QDRANT_CLUSTER_URLS")


def test_doctor_says_that_it_is_one_of_three(three: list[Node], inv: Inv) -> None:
    """The line says so before anybody takes a snapshot."""
    ran = at(inv, three[0].url, QDRANT_COLLECTION_NAME=NAME)("doctor", "--json")
    assert ran.code == 24, ran.stdout
    [found] = [f for f in ran.document["result"]["findings"] if f["check"] == "cluster"]
    assert found["status"] == "FAIL"
    assert "has 3 nodes" in found["message"]


def test_a_shard_that_no_node_has_is_told(inv: Inv, tmp_path: Path) -> None:
    """The node with its only replica is lost: Qdrant cannot read the rest, and says 500 or less."""
    folder = tmp_path / "lost"
    folder.mkdir()
    with nodes(binary(folder, NEWER), folder, 3) as found:
        with closing(found[0].loader) as loader:
            body = {"vectors": {"size": 4, "distance": "Cosine"}, "shard_number": 3}
            loader.request("PUT", f"/collections/{NAME}", body)
            loader.fill(NAME, points(20))
            known = of_cluster(inv, found)
            assert known("snapshot.create", "--collection", NAME).code == 0
            peer = found[2].get("/cluster")["peer_id"]
            found[2].kill()
            ran = known("snapshot.create", "--collection", NAME)
            assert_error(ran, 13, found[2].url, "lost for good")
            left = of_cluster(inv, found[:2])
            ran = left("snapshot.create", "--collection", NAME)
            assert_error(ran, 24, f"(peer {peer})", "lost for good")
            url = f"{found[0].url}/cluster/peer/{peer}?force=true"
            httpx.delete(url, timeout=60).raise_for_status()
        until(lambda: len(found[1].get("/cluster")["peers"]) == 2)
        for task in (
            ("snapshot.create", "--collection", NAME),
            ("snapshot.restore", "--collection", NAME, "--replace", "--yes"),
            ("snapshot.verify", "--collection", NAME, "--level", "source"),
        ):
            assert_error(left(*task), 24, "No node has 1 of the 3 shards", "Delete the collection")


def test_the_file_of_a_dead_replica_is_refused(three: list[Node], inv: Inv, tmp_path: Path) -> None:
    """It restores without an error, with points that everybody else has replaced."""
    made = httpx.post(f"{three[2].url}/collections/{NAME}/snapshots", timeout=60).json()["result"]
    url = f"{three[2].url}/collections/{NAME}/snapshots/{made['name']}"
    file = inv.root / "qdrant_snapshots" / f"{NAME}_20250101_120000.snapshot"
    file.write_bytes(httpx.get(url, headers={"Accept-Encoding": "identity"}).content)
    httpx.delete(url, timeout=60).raise_for_status()
    with pytest.raises(Refused, match="shard 0 was Dead on this node"):
        check_archive(file)
    for task in ("verify", "test-restore"):
        assert_error(inv(f"snapshot.{task}", "--snapshot", file.name), 24, "Dead")


@pytest.mark.parametrize("fixture", NODES, ids=str)
def test_one_nodes_part_is_refused_and_not_called_damaged(
    fixture: Fixture, inv: Inv, qdrant: Live
) -> None:
    """The other shard is a folder without segments (a file of a real cluster of that version)."""
    file = fixture.write(inv.root / "qdrant_snapshots", part="one-node")
    with pytest.raises(Refused, match="shard 0 was on another node"):
        check_archive(file)
    assert_error(inv("snapshot.verify", "--snapshot", file.name), 24, "another node")
    ran = at(inv, qdrant.url)("snapshot.restore", "--snapshot", file.name, "--as", "part")
    assert_error(ran, 24, "another node")
    with qdrant.server() as server:
        assert "part" not in server.collections.names()


def test_one_node_with_custom_sharding_comes_back(one: Node, inv: Inv, scratch: Path) -> None:
    """Every key with its points and its shard id: in a drill, beside it, and over it."""
    here = at(inv, one.url, QDRANT_COLLECTION_NAME=KEYED)
    assert here("doctor").code == 0
    ran = here("snapshot.create", "--strict")
    assert ran.code == 0, ran.stderr
    ran = here("snapshot.test-restore")
    assert ran.code == 0, ran.stderr
    assert here("snapshot.verify", "--level", "source").code == 0
    ran = here("snapshot.restore", "--as", "beside")
    assert ran.code == 0, ran.stderr
    assert counts(one, "beside") == dict.fromkeys(KEYS[1:], 30)
    ids = [
        {shard["shard_id"]: shard["shard_key"] for shard in placement["local_shards"]}
        for placement in (one.get(f"/collections/{n}/cluster") for n in (KEYED, "beside"))
    ]
    assert ids[0] == ids[1] == {19: "en", 20: 7}
    ran = here("snapshot.restore", "--replace", "--yes")
    assert ran.code == 0, ran.stderr
    assert counts(one, KEYED) == dict.fromkeys(KEYS[1:], 30)
    assert one.get(f"/collections/{KEYED}")["config"]["hnsw_config"]["m"] == 8


def test_shard_keys_need_cluster_mode(one: Node, inv: Inv, qdrant: Live, scratch: Path) -> None:
    """A plain server responds 200 and restores nothing, so it is refused before sending."""
    ran = at(inv, one.url)("snapshot.create", "--collection", KEYED)
    assert ran.code == 0, ran.stderr
    ran = at(inv, qdrant.url)("snapshot.restore", "--collection", KEYED)
    assert ran.code == 24, ran.stderr
    with qdrant.server() as server:
        assert KEYED not in server.collections.names()
