"""Replacing in a cluster of several nodes: an alias is switched, a plain name is proven first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest

from tests.conftest import NEWER, OLDER, Inv
from tests.support.cluster import VECTORS, World, at, nothing_left, of_cluster, placement, points
from tests.support.nodes import Node, until
from tests.support.proxy import Proxy, faulty
from tests.support.world import assert_error, tree

DOCS, ALIASES = "docs-v1", ("docs", "docs-too")
UPLOAD = r"/collections/[^/]+/shards/\d+/snapshots/upload"
SWITCH = r"/collections/aliases"
THEN, NOW = 120, 150
BOTH = pytest.mark.parametrize("world", [NEWER, OLDER], indirect=True)
ONLY_NEWER = pytest.mark.parametrize("world", [NEWER], indirect=True)


@pytest.fixture
def docs(world: World, taken: Callable[..., Path]) -> Iterator[Path]:
    """The snapshot of a collection with two aliases, that has got more points since."""
    with closing(world.found[0].loader) as loader:
        body = {"vectors": VECTORS, "shard_number": 3, "replication_factor": 2}
        loader.request("PUT", f"/collections/{DOCS}", body)
        loader.index(DOCS, "group", "keyword")
        loader.fill(DOCS, points(THEN))
        for alias in ALIASES:
            loader.alias(alias, DOCS)
        path = taken(DOCS)
        loader.fill(DOCS, points(NOW - THEN, start=THEN))
        yield path
        for name in loader.names():
            if name.startswith(("docs", "trial")):
                loader.request("DELETE", f"/collections/{name}")


@pytest.fixture
def fronts(world: World) -> Iterator[list[Proxy]]:
    """A proxy in front of each node, which breaks what the test chooses."""
    with ExitStack() as stack:
        yield [stack.enter_context(faulty(node.url)) for node in world.found]


@pytest.fixture
def fronted(inv: Inv, fronts: list[Proxy]) -> Inv:
    """`inv` that talks to the nodes through the proxies."""
    urls = ",".join(proxy.url for proxy in fronts)
    more = {"QDRANT_CLUSTER_URLS": urls, "QDRANT_OPERATION_TIMEOUT_SECONDS": "20"}
    return at(inv, fronts[0].url, QDRANT_ANSWER_TIMEOUT_SECONDS="5", **more)


def replacing(path: Path, name: str) -> tuple[str, ...]:
    """Return what replaces a name by a snapshot."""
    return ("snapshot.restore", "--snapshot", path.name, "--as", name, "--replace")


def count(node: Node, name: str) -> int:
    """Return how many points a name has, seen from one node."""
    answer = httpx.post(f"{node.url}/collections/{name}/points/count", json={"exact": True})
    return int(answer.raise_for_status().json()["result"]["count"])


def owners(node: Node) -> dict[str, str]:
    """Return the collections of the aliases, seen from one node."""
    with closing(node.loader) as loader:
        return {a: owner for a, owner in loader.aliases().items() if a in ALIASES}


def ours(node: Node) -> list[str]:
    """Return the collections of these tests."""
    with closing(node.loader) as loader:
        return [name for name in loader.names() if name.startswith(("docs", "trial"))]


def assert_unchanged(world: World, inv: Inv) -> None:
    """Assert that only the former collection exists, with all of its points and aliases."""
    for node in world.found:
        assert ours(node) == [DOCS]
        assert owners(node) == dict.fromkeys(ALIASES, DOCS)
        assert count(node, DOCS) == NOW
    assert not [name for name in tree(inv.root / "qdrant_snapshots") if name.startswith(".")]
    nothing_left(world.found)


@BOTH
def test_an_alias_is_switched(world: World, inv: Inv, docs: Path) -> None:
    """All aliases of the collection in one request; the former collection stays as it is."""
    there = of_cluster(inv, world.found)
    assert_error(there(*replacing(docs, "docs")), 24, "docs-v1 with its 150 points stays")
    dry = there(*replacing(docs, "docs"), "--dry-run")
    assert dry.code == 0
    ran = there(*replacing(docs, "docs"), "--yes")
    assert ran.code == 0, ran.stderr + ran.stdout
    [new] = set(ours(world.found[0])) - {DOCS}
    assert f"would point the alias docs at {new}" in dry.stdout
    assert f"DELETE {world.found[0].url}/collections/{DOCS}" in ran.stdout
    assert "6 replicas of 3 shards, each identical to its seal" in ran.stdout
    for node in world.found:
        until(lambda node=node: owners(node) == dict.fromkeys(ALIASES, new))  # type: ignore[misc]
        assert (count(node, "docs"), count(node, DOCS)) == (THEN, NOW)
    assert placement(world.found, new) == dict.fromkeys(range(3), (None, 2))
    nothing_left(world.found)


@BOTH
def test_a_plain_name_is_told_and_proven_first(world: World, inv: Inv, docs: Path) -> None:
    """How long it will be away is measured; the safety snapshot is PROVEN; aliases come back."""
    there = of_cluster(inv, world.found)
    assert_error(there(*replacing(docs, DOCS)), 24, "it is away", "--yes")
    ran = there(*replacing(docs, DOCS), "--yes")
    assert ran.code == 0, ran.stderr + ran.stdout
    assert "will be away for about" in ran.stderr
    for node in world.found:
        until(lambda node=node: owners(node) == dict.fromkeys(ALIASES, DOCS))  # type: ignore[misc]
        assert count(node, DOCS) == THEN
    [listed] = [
        one
        for one in inv("snapshot.list", "--json").document["result"]["snapshots"]
        if one["snapshot"] != docs.name
    ]
    assert listed["verdict"] == "PROVEN"
    nothing_left(world.found)
