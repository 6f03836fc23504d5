"""A cluster of real nodes with two collections, and what is asked of it."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snapshot_tasks.engines.binary import find_binary
from snapshot_tasks.settings import load_settings
from tests.conftest import Inv, missing
from tests.support.nodes import Node
from tests.support.proxy import Exchange

AUTO, KEYED = "auto", "keyed"
VECTORS = {"size": 8, "distance": "Dot"}
KEYS: tuple[str | int, ...] = ("a", 7)
AUTO_POINTS = 897


def binary(folder: Path, version: str) -> Path:
    """Return the native binary of a version."""
    found = find_binary(load_settings(folder, {}), version)
    if found is None:
        missing(f"no Qdrant {version} on this machine (./inv engine.install --version {version})")
    assert found
    return found


@dataclass(frozen=True)
class World:
    """The nodes of a cluster, and their version."""

    version: str
    found: list[Node]


def at(inv: Inv, url: str, **more: str) -> Inv:
    """Return an `inv` that talks to that server and does not manage it."""
    environment = {"QDRANT_ENGINE": "external", "QDRANT_DRILL_ENGINE": "native", **more}
    environment["QDRANT_URL"] = url
    return dataclasses.replace(inv, environment=inv.environment | environment)


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
        loader.request("PATCH", f"/collections/{AUTO}", {"params": {"read_fan_out_factor": 2}})
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


def killing(node: Node) -> Callable[[Exchange], None]:
    """End the node by kill -9 when the request arrives."""

    def act(exchange: Exchange) -> None:
        node.kill()
        exchange.drop()

    return act
