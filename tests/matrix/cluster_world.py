"""A project whose collections are on three real nodes, and what must be true after every fault."""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.checks.replicas import read_replicas, unsealed
from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.qdrant.nodes import open_nodes
from snapshot_tasks.qdrant.points import read_fingerprint
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.progress import Silent
from tests.conftest import Inv, Ran, new_project
from tests.matrix.world import Cost, judge_catalog, judge_left, must
from tests.support.cluster import AUTO, KEYED, at, binary, fill
from tests.support.collections import Loader
from tests.support.disks import small_disk
from tests.support.nodes import Node, nodes, until
from tests.support.proxy import Act, Proxy, faulty

# What the faults restore, and have to leave nothing of.
NEW = "beside"
ALIAS = "current"
# A node that does not answer is given up soon.
PATIENCE = {"QDRANT_ANSWER_TIMEOUT_SECONDS": "3", "QDRANT_OPERATION_TIMEOUT_SECONDS": "10"}


@dataclass(slots=True, kw_only=True)
class ClusterWorld:
    """One project, its three nodes with a proxy before each, and a source of random choices.

    Each snapshot is of `collection`. The last node has its snapshots on a small disk, so that a
    fault can fill it.
    """

    inv: Inv
    scratch: Path
    rng: random.Random
    found: list[Node]
    fronts: list[Proxy]
    disk: Path
    collection: str = KEYED
    content: str = ""

    @property
    def folder(self) -> Path:
        """The snapshot folder."""
        return self.inv.root / "qdrant_snapshots"

    def prepare(self) -> None:
        """Fill two collections, and take a first snapshot."""
        fill(self.found[0])
        with self.loader() as loader:
            loader.alias(ALIAS, self.collection)
        must(self.run("snapshot.create"))
        self.content = self.fingerprints()

    @contextmanager
    def loader(self, node: int = 0) -> Iterator[Loader]:
        """Connect to a node without the code under test."""
        with closing(self.found[node].loader) as loader:
            yield loader

    def run(self, *task: str, **more: str) -> Ran:
        """Run a task to its end."""
        return self.inv(*task, **more)

    def start(self, *task: str) -> subprocess.Popen[str]:
        """Start a task, to interrupt it."""
        return self.inv.start(*task)

    def victim(self) -> int:
        """Choose a node."""
        return self.rng.randrange(len(self.found))

    def on(self, node: int, method: str, path: str, act: Act, *, times: int = 1) -> None:
        """Let `act` handle the next such request to a node."""
        self.fronts[node].on(method, path, act, times=times)

    def views(self) -> list[dict[str, Any]]:
        """Return where each node says that the shards of the collection are."""
        return [node.get(f"/collections/{self.collection}/cluster") for node in self.found]

    def fingerprints(self) -> str:
        """Return what each node answers for all points of the collection."""
        digests = {
            read_fingerprint(Endpoint(url=node.url), self.collection, lambda count: None).digest
            for node in self.found
        }
        return " ".join(sorted(digests))

    def settle(self) -> None:
        """Do what a user does next: start what has stopped, and take a snapshot."""
        for proxy in self.fronts:
            proxy.rules.clear()
        for node in self.found:
            if not node.is_running:
                node.start()
        until(self._is_whole)
        must(self.run("snapshot.create"))
        self.drop_restored()
        must(self.run("snapshot.prune", "--keep-minimum", "2", "--max-age", "1s", "--yes"))

    def delete_told(self, ran: Ran) -> None:
        """Delete by hand the copies that a run names because Qdrant no longer deletes them."""
        for url, name in re.findall(r"On (http\S+), .* Delete (\S+) and its .checksum", ran.stderr):
            number = [proxy.url for proxy in self.fronts].index(url)
            for path in (name, f"{name}.checksum"):
                (self.found[number].home / "snapshots" / path).unlink()

    def drop_restored(self) -> None:
        """Delete what a fault restored, if that is complete; the rest should be gone by now."""
        with self.loader() as loader:
            if NEW in loader.names() and not self.unsealed():
                loader.delete(NEW)

    def unsealed(self) -> list[str]:
        """Return the replicas of what was restored that have not what was sealed."""
        sealed = {s.id: s for s in Catalog(self.folder).newest(self.collection).shards}
        endpoint = Endpoint(
            url=self.found[0].url, cluster_urls=tuple(node.url for node in self.found)
        )
        with (
            Server(endpoint, operation_timeout_seconds=60) as entry,
            open_nodes(entry) as all_nodes,
        ):
            return list(unsealed(sealed, read_replicas(all_nodes, NEW, Silent())))

    def _is_whole(self) -> bool:
        states = {s for node in self.found for s in node.state_of(self.collection)}
        moving = any(view["shard_transfers"] for view in self.views())
        return states == {"Active"} and not moving

    def judge(self, cost: Cost, what: str) -> None:
        """Check everything that must be true, and note what is not."""
        cost.rounds += 1
        judge_catalog(cost, what, self.folder, self.collection)
        if self.fingerprints() != self.content:
            cost.lost.append(f"{what}: the live collection changed")
        for number, node in enumerate(self.found):
            copies = [p for p in (node.home / "snapshots").rglob("*") if p.is_file()]
            cost.leaked += [f"{what}: node {number} has {copy.name}" for copy in copies]
            with self.loader(number) as loader:
                others = [n for n in loader.names() if n not in (AUTO, KEYED)]
                cost.leaked += [f"{what}: node {number} has {other}" for other in others]
                if loader.aliases() != {ALIAS: self.collection}:
                    cost.lost.append(f"{what}: the alias on node {number}")
        judge_left(cost, what, self.folder, self.scratch)


@contextmanager
def new_cluster_world(folder: Path, seed: int, version: str) -> Iterator[ClusterWorld]:
    """Create a project with a live cluster, and a first snapshot of one of its collections."""
    scratch, disk = folder / "scratch", folder / "node-2" / "snapshots"
    scratch.mkdir()
    with ExitStack() as stack:
        stack.enter_context(small_disk(disk, size="100m"))
        found = stack.enter_context(nodes(binary(folder, version), folder, 3, transfers=True))
        fronts = [stack.enter_context(faulty(node.url)) for node in found]
        inv = at(
            new_project(folder / "project"),
            fronts[0].url,
            QDRANT_CLUSTER_URLS=",".join(front.url for front in fronts),
            QDRANT_COLLECTION_NAME=KEYED,
            TMPDIR=str(scratch),
            **PATIENCE,
        )
        world = ClusterWorld(
            inv=inv,
            scratch=scratch,
            rng=random.Random(seed),
            found=found,
            fronts=fronts,
            disk=disk,
        )
        world.prepare()
        yield world
