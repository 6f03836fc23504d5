"""Can one node give a whole snapshot? Clusters of several nodes are refused, not half saved."""

from __future__ import annotations

from snapshot_tasks.domain.cluster import is_enabled, nodes_count, whole_only
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.errors import Refused

SEVERAL_NODES = (
    "Clusters of several nodes are not supported yet. Use Qdrant's shard snapshots on every node,"
    " or copy the collection to a single node."
)
_WAIT = (
    "Wait until `GET /collections/NAME/cluster` shows every shard as Active on this node, then run"
    " this again. Clusters of several nodes are not supported yet."
)


def refuse_several_nodes(server: Server) -> None:
    """Refuse a node of a cluster: it has only its own shards, perhaps out of date.

    Raises:
        Refused: if the server has peers.
    """
    count = nodes_count(server.cluster.status())
    if count > 1:
        raise Refused(
            f"Qdrant at {server.endpoint.url} is one of {count} nodes of a cluster, and has only"
            " its own shards.",
            hint=SEVERAL_NODES,
        )


def refuse_incomplete(server: Server, collection: str) -> None:
    """Refuse a collection of which this server does not have every shard, complete and current.

    Raises:
        Refused: if it is one of several nodes, or a shard is remote, not active or moving.
        NotFound: if there is no such collection.
    """
    refuse_several_nodes(server)
    reasons = list(whole_only(server.cluster.placement(collection)))
    if reasons:
        raise Refused(
            f"Qdrant at {server.endpoint.url} does not have all of {collection}:"
            f" {'; '.join(reasons)}.",
            hint=_WAIT,
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
