"""Every node of a cluster, because one node neither has nor knows all of a collection."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from snapshot_tasks.domain.cluster import nodes_count, peer_addresses
from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.domain.layout import View, view_of
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.errors import Refused, Unreachable

POLL_SECONDS = 0.1

CLUSTER_URLS = "Set QDRANT_CLUSTER_URLS to the REST URL of every node, with commas between them."
_MISSING = f"{CLUSTER_URLS} If a node is lost for good, remove it first (docs/cluster.md)."


class Nodes:
    """A connection to each node, found by its peer id. A server without peers is one node."""

    def __init__(self, servers: tuple[Server, ...]) -> None:
        self._servers = servers
        self._by_peer: dict[int, Server] = {}

    def __iter__(self) -> Iterator[Server]:
        return iter(self._servers)

    def __len__(self) -> int:
        return len(self._servers)

    def views(self, collection: str) -> tuple[View, ...]:
        """Return where the shards of a collection are, as each node sees it.

        Raises:
            NotFound: if there is no such collection.
            Unreachable: if a node does not answer.
        """
        views = []
        for server in self._servers:
            view = view_of(server.cluster.placement(collection), name=server.endpoint.url)
            self._by_peer[view.peer_id] = server
            views.append(view)
        return tuple(views)

    def of(self, peer_id: int) -> Server:
        """Return the connection to a node that has been seen in `views`."""
        return self._by_peer[peer_id]

    def is_busy(self, collection: str) -> bool:
        """Return whether any node is creating or restoring a snapshot of a collection."""
        return any(server.snapshots.is_busy(collection) for server in self._servers)


@contextmanager
def open_nodes(entry: Server) -> Iterator[Nodes]:
    """Connect to every node of the cluster that a server belongs to, for the block.

    Raises:
        Refused: unless the known nodes are exactly the cluster's peers, all of one version.
        Unreachable: if a node does not answer.
    """
    status = entry.cluster.status()
    if nodes_count(status) == 1 and len(entry.endpoint.cluster_urls) < 2:
        yield Nodes((entry,))
        return
    with ExitStack() as stack:
        servers = tuple(
            stack.enter_context(Server(endpoint, operation_timeout_seconds=entry.timeout_seconds))
            for endpoint in entry.endpoint.nodes()
        )
        _refuse_other_nodes(entry, servers, peer_addresses(status))
        _refuse_mixed_versions(servers)
        yield Nodes(servers)


def wait_known(entry: Server, timeout_seconds: float) -> None:
    """Wait until every known node answers and belongs to the cluster of a server.

    Raises:
        Refused, Unreachable: as `open_nodes`, if that is still so in the end.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            with open_nodes(entry):
                return
        except (Refused, Unreachable):
            if time.monotonic() >= deadline:
                raise
        time.sleep(POLL_SECONDS)


def wait_joined(urls: tuple[str, ...], api_key: str | None, timeout_seconds: float) -> None:
    """Wait until new nodes of a cluster know each other.

    Raises:
        Unreachable: if they do not in time.
    """
    deadline = time.monotonic() + timeout_seconds
    endpoints = [Endpoint(url=url, api_key=api_key) for url in urls]
    while not all(_knows(endpoint, len(urls), timeout_seconds) for endpoint in endpoints):
        if time.monotonic() >= deadline:
            raise Unreachable(
                f"{len(urls)} nodes did not become one cluster in {timeout_seconds:g} s.",
                hint="Run this again; raise QDRANT_READY_TIMEOUT_SECONDS on a slow machine.",
            )
        time.sleep(POLL_SECONDS)


def _knows(endpoint: Endpoint, count: int, timeout_seconds: float) -> bool:
    with Server(endpoint, operation_timeout_seconds=timeout_seconds) as server:
        return nodes_count(server.cluster.status()) == count


def _refuse_other_nodes(
    entry: Server, servers: tuple[Server, ...], peers: Mapping[int, str]
) -> None:
    """Refuse nodes of another cluster, and a list in which a node is missing."""
    found: dict[int, str] = {}
    for server in servers:
        url, peer = server.endpoint.url, int(server.cluster.status().get("peer_id") or 0)
        if peer not in peers:
            raise Refused(
                f"{url} is not a node of the cluster of {entry.endpoint.url}.", hint=CLUSTER_URLS
            )
        if peer in found:
            raise Refused(f"{url} and {found[peer]} are the same node.", hint=CLUSTER_URLS)
        found[peer] = url
    if missing := [f"{peers[peer]} (peer {peer})" for peer in sorted(peers.keys() - found.keys())]:
        raise Refused(
            f"The cluster of {entry.endpoint.url} has {len(peers)} nodes, but the URLs of"
            f" {len(found)} are known; missing: {', '.join(missing)}.",
            hint=_MISSING,
        )


def _refuse_mixed_versions(servers: tuple[Server, ...]) -> None:
    versions = {server.endpoint.url: server.version() for server in servers}
    if len(set(versions.values())) > 1:
        listed = ", ".join(f"{url} has {version}" for url, version in versions.items())
        raise Refused(
            f"The nodes of the cluster do not run the same version: {listed}.",
            hint="Finish the upgrade of all nodes, then run this again.",
        )
