"""Real native Qdrants in cluster mode on loopback ports."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.qdrant.server import Server
from tests.support.collections import Loader
from tests.support.ports import free_ports

SECONDS = 30.0
# A replica that missed writes then stays Dead, because nobody may send it what it missed.
NO_TRANSFERS = {
    "QDRANT__STORAGE__PERFORMANCE__INCOMING_SHARD_TRANSFERS_LIMIT": "0",
    "QDRANT__STORAGE__PERFORMANCE__OUTGOING_SHARD_TRANSFERS_LIMIT": "0",
}


@dataclass
class Node:
    """One node: its process, and a loader for it. With `transfers`, its replicas heal."""

    binary: Path
    home: Path
    first: Node | None = None
    ports: tuple[int, ...] = field(default_factory=lambda: free_ports(3))
    process: subprocess.Popen[bytes] | None = None
    transfers: bool = False

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.ports[0]}"

    @property
    def loader(self) -> Loader:
        """A loader that writes through this node."""
        return Loader(self.url, None)

    def server(self) -> Server:
        """Return a connection."""
        return Server(Endpoint(url=self.url), operation_timeout_seconds=60)

    def start(self) -> None:
        """Start it and wait until it answers, which is long before it calls itself ready."""
        self.home.mkdir(parents=True, exist_ok=True)
        joins = ("--bootstrap", f"http://127.0.0.1:{self.first.ports[2]}") if self.first else ()
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                (str(self.binary), *joins, "--uri", f"http://127.0.0.1:{self.ports[2]}"),
                cwd=self.home,
                env={
                    "PATH": os.environ["PATH"],
                    "QDRANT__CLUSTER__ENABLED": "true",
                    "QDRANT__CLUSTER__P2P__PORT": str(self.ports[2]),
                    "QDRANT__SERVICE__HOST": "127.0.0.1",
                    "QDRANT__SERVICE__HTTP_PORT": str(self.ports[0]),
                    "QDRANT__SERVICE__GRPC_PORT": str(self.ports[1]),
                    "QDRANT__STORAGE__STORAGE_PATH": str(self.home / "storage"),
                    "QDRANT__STORAGE__SNAPSHOTS_PATH": str(self.home / "snapshots"),
                    "QDRANT__TELEMETRY_DISABLED": "true",
                    **({} if self.transfers else NO_TRANSFERS),
                },
                stdout=log,
                stderr=log,
            )
        until(lambda: httpx.get(f"{self.url}/livez").is_success)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop it for the block, so that it accepts connections and answers nothing."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    @property
    def is_running(self) -> bool:
        """Whether its process has not ended."""
        return self.process is not None and self.process.poll() is None

    def get(self, path: str) -> Any:
        """Return what it answers."""
        return httpx.get(f"{self.url}{path}").raise_for_status().json()["result"]

    def state_of(self, collection: str) -> list[str]:
        """Return the state of each of its own shards, as it sees them."""
        shards = self.get(f"/collections/{collection}/cluster")["local_shards"]
        return [str(shard["state"]) for shard in shards]


@contextmanager
def nodes(
    binary: Path, folder: Path, count: int, *, transfers: bool = False
) -> Iterator[list[Node]]:
    """Run a cluster of that many nodes for the block."""
    with ExitStack() as stack:
        found: list[Node] = []
        for number in range(count):
            first = found[0] if found else None
            home = folder / f"node-{number}"
            found.append(Node(binary=binary, home=home, first=first, transfers=transfers))
            stack.callback(found[-1].kill)
            found[-1].start()
        for node in found:
            until(lambda node=node: len(node.get("/cluster")["peers"]) == count)  # type: ignore[misc]
        yield found


def until(holds: Callable[[], bool]) -> None:
    """Wait for something that takes a while, even if asking fails at first."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        with suppress(httpx.HTTPError, KeyError):
            if holds():
                return
        time.sleep(0.05)
    raise AssertionError("it never came")
