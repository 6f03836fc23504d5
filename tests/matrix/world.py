"""A project with its own real Qdrant, and what must be true there after every fault."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.checks.file import verify
from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.domain.names import latest_name
from snapshot_tasks.qdrant.points import read_fingerprint
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.progress import Silent
from tests.conftest import Inv, Ran
from tests.support.collections import Loader
from tests.support.world import processes_below, scratch_left, wait_until

COLLECTION = "über uns 漢字"
OTHER = "restored"
POINTS = 400
HIDDEN = (".staging", ".pending", ".drop")


@dataclass(slots=True)
class Cost:
    """The damage of faults: data lost, things leaked on the server, things left behind here."""

    rounds: int = 0
    lost: list[str] = field(default_factory=list)
    leaked: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class World:
    """One project, its live Qdrant, and a source of random moments."""

    inv: Inv
    scratch: Path
    rng: random.Random
    durations: dict[str, float] = field(default_factory=dict)
    content: str = ""

    @property
    def folder(self) -> Path:
        """The snapshot folder."""
        return self.inv.root / "qdrant_snapshots"

    @property
    def storage(self) -> Path:
        """The folder with everything that the live Qdrant stores."""
        return self.inv.root / ".qdrant"

    @property
    def url(self) -> str:
        """The URL of the live Qdrant."""
        return f"http://localhost:{self.inv.environment['QDRANT_HTTP_PORT']}"

    def prepare(self) -> None:
        """Start Qdrant with a collection that has an unusual name, and take a first snapshot."""
        must(self.inv("stack.up"))
        with self.loader() as loader:
            loader.plain(COLLECTION, points=POINTS)
            loader.alias("current", COLLECTION)
        must(self.inv("snapshot.create"))
        self.content = self.fingerprint()

    @contextmanager
    def loader(self) -> Iterator[Loader]:
        """Connect to the live Qdrant without the code under test."""
        loader = Loader(self.url)
        try:
            yield loader
        finally:
            loader.close()

    def fingerprint(self) -> str:
        """Return the fingerprint of the live collection."""
        return read_fingerprint(Endpoint(url=self.url), COLLECTION, lambda count: None).digest

    def timed(self, *task: str) -> float:
        """Return how long a task takes without faults, measured once."""
        key = " ".join(task)
        if key not in self.durations:
            start = time.monotonic()
            must(self.inv.process(*task))
            self.durations[key] = time.monotonic() - start
            self.settle()
        return self.durations[key]

    def server_pid(self) -> int:
        """Return the live Qdrant's process id."""
        return int(json.loads((self.storage / "server.json").read_text(encoding="utf-8"))["pid"])

    def kill_server(self) -> None:
        """Kill Qdrant, as a power cut does."""
        os.kill(self.server_pid(), signal.SIGKILL)

    def drill_servers(self) -> list[psutil.Process]:
        """Return the throw-away Qdrant of a running test."""
        return [p for p in processes_below(self.scratch) if p.name() == "qdrant"]

    def settle(self) -> None:
        """Do what a user does next: start Qdrant if necessary, and take a snapshot."""
        must(self.inv("stack.up", "--no-restore"))
        self.wait_idle()
        must(self.inv("snapshot.create"))
        with self.loader() as loader:
            if OTHER in loader.names():
                loader.delete(OTHER)
        self.thin_out()

    def wait_idle(self) -> None:
        """Wait until Qdrant has finished its work for a client that no longer exists."""
        with Server(Endpoint(url=self.url), operation_timeout_seconds=60) as server:
            wait_until(lambda: not any(map(server.snapshots.is_busy, (COLLECTION, OTHER))))

    def thin_out(self) -> None:
        """Keep the folder small: the last three snapshots and the tested one stay."""
        must(self.inv("snapshot.prune", "--keep-minimum", "3", "--max-age", "1s", "--yes"))

    def judge(self, cost: Cost, what: str) -> None:
        """Check everything that must be true, and note what is not."""
        cost.rounds += 1
        judge_catalog(cost, what, self.folder, COLLECTION)
        if self.fingerprint() != self.content:
            cost.lost.append(f"{what}: the live collection changed")
        with self.loader() as loader:
            cost.leaked += [f"{what}: server copy {n}" for n in loader.server_snapshots(COLLECTION)]
            cost.leaked += [f"{what}: collection {n}" for n in loader.names() if n != COLLECTION]
            if loader.aliases() != {"current": COLLECTION}:
                cost.lost.append(f"{what}: the alias")
        uploads = (self.storage / "snapshots").rglob("*.snapshot*")
        cost.leaked += [f"{what}: upload {path.name}" for path in uploads]
        judge_left(cost, what, self.folder, self.scratch)


def must(ran: Ran) -> Ran:
    """Return a result that must be a success, because a round that cannot go on proves nothing."""
    assert ran.code == 0, ran.stdout + ran.stderr
    return ran


def judge_catalog(cost: Cost, what: str, folder: Path, collection: str) -> None:
    """Note catalogued files that are not what was taken."""
    catalog = Catalog(folder)
    target = catalog.latest_target(collection)
    if target is None or verify(catalog.find(str(target)), Silent()).error:
        cost.lost.append(f"{what}: {latest_name(collection)} does not point to an intact file")
    for entry in catalog.entries(collection):
        if entry.manifest is None or verify(entry, Silent()).error:
            cost.lost.append(f"{what}: {entry.name} differs from its manifest")


def judge_left(cost: Cost, what: str, folder: Path, scratch: Path) -> None:
    """Note what runs have left on this machine."""
    hidden = [path for start in HIDDEN for path in folder.glob(f"{start}*")]
    cost.left += [f"{what}: {path.name}" for path in hidden]
    cost.left += [f"{what}: {name}" for name in scratch_left(scratch)]
    cost.left += [f"{what}: process {p.pid}" for p in processes_below(scratch)]
