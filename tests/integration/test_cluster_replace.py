"""Replacing in a cluster of several nodes: an alias is switched, a plain name is proven first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Thread

import httpx
import pytest

from snapshot_tasks.cli import command
from tests.conftest import NEWER, OLDER, Inv
from tests.support.cluster import (
    VECTORS,
    World,
    killing,
    nothing_left,
    of_cluster,
    placement,
    points,
)
from tests.support.nodes import Node, until
from tests.support.proxy import Answer, Exchange, Hold, Proxy, reset
from tests.support.world import assert_error, edit_manifest, ended, tree

DOCS, ALIASES = "docs-v1", ("docs", "docs-too")
UPLOAD = r"/collections/[^/]+/shards/\d+/snapshots/upload"
DOWNLOAD = r"/collections/[^/]+/shards/\d+/snapshots/[^/]+"
SWITCH, DELETION = "/collections/aliases", f"/collections/{DOCS}"
THEN, NOW = 120, 150
SECONDS = 200.0
# Then the safety snapshot is proven in the cluster itself.
NO_ENGINE = {"QDRANT_DRILL_ENGINE": "compose", "DOCKER_HOST": "unix:///nowhere"}
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


def assert_unchanged(world: World, inv: Inv, now: int = NOW) -> None:
    """Assert that only the former collection exists, with all of its points and aliases."""
    for node in world.found:
        until(lambda node=node: ours(node) == [DOCS])  # type: ignore[misc]
        until(lambda node=node: owners(node) == dict.fromkeys(ALIASES, DOCS))  # type: ignore[misc]
        assert count(node, DOCS) == now
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
    assert f"take snapshots of {new}" in ran.stdout
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


@ONLY_NEWER
@pytest.mark.parametrize("name", ["docs", DOCS], ids=["alias", "plain"])
def test_a_wrong_file_changes_nothing(world: World, inv: Inv, docs: Path, name: str) -> None:
    """Other points in a shard than were sealed: what was restored beside is removed."""
    edit_manifest(docs, lambda m: m["shards"][1].update(digest="0" * 64))
    ran = of_cluster(inv, world.found)(*replacing(docs, name), "--yes")
    assert_error(ran, 22, "shard 1 on", "other points than were sealed")
    assert_unchanged(world, inv)


@ONLY_NEWER
def test_a_terminal_is_asked_once_the_time_is_known(
    world: World, inv: Inv, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked once, after the trial restore; a no changes nothing. Only the terminal is pretended."""
    asked: list[str] = []
    monkeypatch.setattr(command.Run, "can_ask", True)
    monkeypatch.setattr(command, "ask", asked.append)
    assert_error(of_cluster(inv, world.found)(*replacing(docs, DOCS)), 24, "nothing was changed")
    [question] = asked
    assert "The collection will be away for about" in question
    assert_unchanged(world, inv)


@ONLY_NEWER
def test_an_alias_that_somebody_else_moves_is_left(
    world: World, inv: Inv, docs: Path, fronts: list[Proxy], fronted: Inv
) -> None:
    """24 and nothing is switched, because it does not mean any more what was to be replaced."""
    loader = world.found[0].loader

    def move(exchange: Exchange) -> None:
        loader.request("PUT", "/collections/docs-other", {"vectors": VECTORS})
        loader.alias(ALIASES[0], "docs-other")
        exchange.answer(exchange.forward())

    with closing(loader):
        fronts[0].on("POST", UPLOAD, move, times=1)
        assert_error(fronted(*replacing(docs, "docs"), "--yes"), 24, "does not mean docs-v1")
        assert owners(world.found[0]) == {ALIASES[0]: "docs-other", ALIASES[1]: DOCS}
        assert ours(world.found[0]) == ["docs-other", DOCS]


@ONLY_NEWER
@pytest.mark.parametrize("moment", ["before", "after"])
def test_the_next_run_ends_a_killed_switch(
    world: World, inv: Inv, docs: Path, fronts: list[Proxy], fronted: Inv, moment: str
) -> None:
    """Kill -9: what no alias means is removed; what one means stays, with the former one."""
    hold = Hold()
    fronts[0].on("POST", SWITCH, getattr(hold, moment), times=1)
    process = fronted.start(*replacing(docs, "docs"), "--yes")
    try:
        hold.wait()
    finally:
        process.kill()
        ended(process)
        hold.cancel()
    ran = fronted("snapshot.create", "--collection", DOCS, "--no-seal")
    assert ran.code == 0, ran.stderr
    if moment == "before":
        assert "Replacing docs-v1 was interrupted; it is unchanged." in ran.stderr
        assert_unchanged(world, inv)
        return
    assert "replacement of docs-v1 had completed" in ran.stderr
    assert (count(world.found[1], "docs"), count(world.found[1], DOCS)) == (THEN, NOW)
    assert not [name for name in tree(inv.root / "qdrant_snapshots") if name.startswith(".")]


@ONLY_NEWER
def test_a_switch_that_comes_late_leads_to_a_collection(
    world: World, docs: Path, fronts: list[Proxy], fronted: Inv
) -> None:
    """The nodes agree on it after they gave up: what was restored is not deleted before that."""
    reason = b'{"status": {"error": "Waiting for consensus operation commit failed."}}'
    late = Answer(500, {"Content-Type": "application/json"}, reason)
    fronts[0].on("POST", SWITCH, lambda exchange: exchange.answer(late), times=1)
    ran = fronted(*replacing(docs, "docs"), "--yes")
    assert_error(ran, 22, "It is not certain whether docs, docs-too will mean docs-")
    [new] = set(ours(world.found[0])) - {DOCS}
    with closing(world.found[0].loader) as loader:
        for alias in ALIASES:
            loader.alias(alias, new)
    ran = fronted("snapshot.create", "--collection", DOCS, "--no-seal")
    assert ran.code == 0, ran.stderr
    assert "replacement of docs-v1 had completed" in ran.stderr
    assert (count(world.found[1], "docs"), count(world.found[1], DOCS)) == (THEN, NOW)


@ONLY_NEWER
def test_a_write_after_the_safety_snapshot_is_kept(
    world: World, inv: Inv, docs: Path, fronts: list[Proxy], fronted: Inv
) -> None:
    """24 before anything is deleted; without an engine, the proof is made in the cluster."""

    def write(exchange: Exchange) -> None:
        exchange.answer(exchange.forward())
        with closing(world.found[0].loader) as loader:
            loader.fill(DOCS, points(1, start=5000))

    fronts[1].on("GET", DOWNLOAD, write, times=1)
    ran = fronted(*replacing(docs, DOCS), "--yes", **NO_ENGINE)
    assert_error(ran, 24, "does not match the current contents", "Nothing was replaced")
    assert "to prove it" in ran.stderr
    assert_unchanged(world, inv, now=NOW + 1)


@ONLY_NEWER
@pytest.mark.parametrize("victim", ["node", "run"])
def test_what_ends_between_deletion_and_restore_is_put_back(
    world: World, inv: Inv, docs: Path, fronts: list[Proxy], fronted: Inv, victim: str
) -> None:
    """A node or this run, by kill -9: the error says where the contents are, the next run acts."""
    hold, last = Hold(), world.found[2]

    def strike(exchange: Exchange) -> None:
        answer = exchange.forward()
        last.kill()
        exchange.answer(answer)

    fronts[0].on("DELETE", DELETION, strike if victim == "node" else hold.after, times=1)
    process = fronted.start(*replacing(docs, DOCS), "--yes", **NO_ENGINE)
    try:
        if victim == "run":
            # Two trial restores and the safety snapshot come first.
            assert hold.reached.wait(SECONDS)
            process.kill()
    finally:
        ran = ended(process, timeout=SECONDS)
        hold.cancel()
    assert DOCS not in ours(world.found[0])
    if victim == "node":
        assert_error(ran, 22, "neither replaced nor restored", "are safe in", "tries again")
        last.start()
        until(lambda: httpx.get(f"{last.url}/readyz").is_success)
    ran = fronted("snapshot.create", "--collection", DOCS, "--no-seal")
    assert ran.code == 0, ran.stderr
    assert_unchanged(world, inv)


@ONLY_NEWER
def test_a_node_that_is_away_for_a_moment_gets_its_shard_again(
    world: World, inv: Inv, docs: Path, fronts: list[Proxy], fronted: Inv
) -> None:
    """A reset connection, and a node that is killed and started again: one shard, not all."""
    last = world.found[2]

    def restart(exchange: Exchange) -> None:
        killing(last)(exchange)
        Thread(target=last.start).start()

    fronts[1].on("POST", UPLOAD, reset, times=1)
    fronts[2].on("POST", UPLOAD, restart, times=1)
    ran = fronted("snapshot.restore", "--snapshot", docs.name, "--as", "docs-new")
    assert ran.code == 0, ran.stderr + ran.stdout
    assert placement(world.found, "docs-new") == dict.fromkeys(range(3), (None, 2))
    uploads = [front.requests("POST", UPLOAD) for front in fronts]
    assert sum(uploads) == 6 + 2


@ONLY_NEWER
def test_a_copy_of_a_shard_that_moved_away_is_told(
    world: World, inv: Inv, docs: Path, fronts: list[Proxy], fronted: Inv
) -> None:
    """Qdrant deletes it no more (400), so it is said where it is, once, and nothing is blocked."""

    def drop(exchange: Exchange, node: Node, number: int) -> None:
        answer = exchange.forward()
        place = f"/collections/{DOCS}/cluster"
        body = {"drop_replica": {"shard_id": number, "peer_id": node.get(place)["peer_id"]}}
        httpx.post(f"{node.url}{place}", json=body).raise_for_status()
        until(lambda: number not in {s["shard_id"] for s in node.get(place)["local_shards"]})
        exchange.answer(answer)

    for front, node in zip(fronts, world.found, strict=True):
        for number in range(3):
            path = f"/collections/{DOCS}/shards/{number}/snapshots/[^/]+"
            front.on("GET", path, partial(drop, node=node, number=number), times=1)
    ran = fronted("snapshot.create", "--collection", DOCS, "--no-seal")
    assert ran.code == 0, ran.stderr
    assert ran.stderr.count("the copy") == 3
    assert all(f"Delete {DOCS}/shards/{number}/" in ran.stderr for number in range(3))
    assert not [name for name in tree(inv.root / "qdrant_snapshots") if name.startswith(".")]
    for node in world.found:
        for left in (node.home / "snapshots" / DOCS).rglob("*.snapshot*"):
            left.unlink()
    nothing_left(world.found)
