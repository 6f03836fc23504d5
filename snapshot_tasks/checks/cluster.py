"""Are all replicas of a collection current and in place? Only then a cluster can be read whole."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from snapshot_tasks.domain.cluster import is_enabled, nodes_count, p2p_address
from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.domain.findings import Finding, fail, listed, ok, warn
from snapshot_tasks.domain.layout import Layout, View, layout_of, lost_count, uneven, unsettled
from snapshot_tasks.qdrant.nodes import Nodes
from snapshot_tasks.qdrant.p2p import answers_without_key
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.errors import Refused, Unreachable
from snapshot_tasks.system.progress import Progress
from snapshot_tasks.system.untrusted import JsonObject

POLL_SECONDS = 0.5
_UNEVEN = (
    "`inv snapshot.verify --level source` compares them. Delete the replica that is wrong, and let"
    " Qdrant copy a good one."
)
MAX_LISTED = 5
_START = (
    "Start it, or correct QDRANT_CLUSTER_URLS. If it is lost for good, remove it from the cluster"
    " (docs/cluster.md)."
)
_LOST = (
    "Their points are lost here. Delete the collection, then restore its newest snapshot"
    " (docs/cluster.md)."
)
_OPEN = (
    "Let only the nodes of the cluster reach it, by a firewall or a network of their own. Whoever"
    " reaches it can read and change every point."
)
_WAIT = (
    "Run this again when every replica is Active and none is moving, or wait for that with `--wait"
    " SECONDS`. `inv doctor` shows the nodes."
)


def settled_layout(
    nodes: Nodes, collection: str, progress: Progress, *, wait_seconds: float = 0.0
) -> Layout:
    """Return where the shards are, once all nodes agree on it and every replica is current.

    A stale replica answers as a good one does, so nothing is read before this.

    Raises:
        Refused: if a replica is not active or moving, or the nodes do not agree, for longer; or at
            once if no node has a shard any more.
        NotFound: if there is no such collection.
    """
    deadline = time.monotonic() + wait_seconds
    refuse_lost_shards(views := nodes.views(collection), collection)
    if not (reasons := list(unsettled(views))):
        return layout_of(views[0])
    with progress.phase(f"waiting for the replicas of {collection}"):
        while reasons and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            views = nodes.views(collection)
            reasons = list(unsettled(views))
    if reasons:
        raise Refused(
            f"The replicas of {collection} are not all current and in place:"
            f" {listed(reasons, MAX_LISTED)}.",
            hint=_WAIT,
        )
    return layout_of(views[0])


def refuse_lost_shards(views: Sequence[View], collection: str) -> None:
    """Refuse a collection of which no node has every shard: Qdrant cannot even count it (500).

    Raises:
        Refused: if a shard is on no node.
    """
    if lost := lost_count(views):
        raise Refused(f"{_of_no_node(lost, views)} of {collection}.", hint=_LOST)


def check_nodes(entry: Server) -> Iterator[Finding]:
    """Yield what each node answers, if there are several, and whether its p2p port is open."""
    endpoints = entry.endpoint.nodes()
    for endpoint in endpoints:
        with Server(endpoint, operation_timeout_seconds=endpoint.answer_seconds) as node:
            try:
                status, version = node.cluster.status(), node.version()
            except Unreachable:
                yield fail("node", f"{endpoint.url} does not answer", _START)
                continue
        if len(endpoints) > 1:
            yield ok("node", f"{endpoint.url}, peer {status.get('peer_id')}, Qdrant {version}")
        yield from _open_to_all(endpoint, status)


def _open_to_all(endpoint: Endpoint, status: JsonObject) -> Iterator[Finding]:
    """Warn of a p2p port that can be reached from here: Qdrant asks for no key there."""
    if (address := p2p_address(status)) is None:
        return
    for host in dict.fromkeys((address[0], endpoint.host)):
        if answers_without_key(host, address[1]):
            where = f"{host}:{address[1]} of {endpoint.url}"
            yield warn("p2p port", f"{where} can be reached from here, and asks for no key", _OPEN)


def check_placement(nodes: Nodes, collection: str) -> Iterator[Finding]:
    """Yield each replica that is not current or is moving; "" is no collection."""
    views = nodes.views(collection) if collection else ()
    reasons = list(unsettled(views)) if views else []
    if views and (lost := lost_count(views)):
        yield fail("replicas", f"{_of_no_node(lost, views)} of {collection}", _LOST)
        return
    for reason in reasons:
        yield fail("replicas", reason, _WAIT)
    yield from check_even(views)
    if not reasons:
        every = "every replica is current" if len(nodes) > 1 else "the server has every shard"
        yield ok("cluster", every)


def _of_no_node(lost: int, views: Sequence[View]) -> str:
    return f"No node has {lost} of the {max(view.shards_count for view in views)} shards"


def check_even(views: Sequence[View]) -> Iterator[Finding]:
    """Warn of replicas that are active, but have far fewer points than others of their shard."""
    for reason in uneven(views):
        yield warn("replicas", reason, _UNEVEN)


def refuse_several_nodes(server: Server) -> None:
    """Refuse a cluster where only a single server can be managed.

    Raises:
        Refused: if the server has peers.
    """
    count = nodes_count(server.cluster.status())
    if count > 1:
        raise Refused(
            f"Qdrant at {server.endpoint.url} is one of {count} nodes of a cluster.",
            hint="Run the drill without `--in-place`: on fresh servers of its own.",
        )


def refuse_without_keys(server: Server, what: str) -> None:
    """Refuse custom sharding on a server without cluster mode, which creates no shard keys.

    Raises:
        Refused: if cluster mode is known to be off.
    """
    status = server.cluster.status()
    if status and not is_enabled(status):
        raise Refused(
            f"{what} has shard keys (custom sharding), but Qdrant at {server.endpoint.url} does not"
            " run in cluster mode.",
            hint="Start it with QDRANT__CLUSTER__ENABLED=true and `--uri`; one node is enough.",
        )
