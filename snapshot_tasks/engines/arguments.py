"""Arguments for the start of a Qdrant: in cluster mode, with a snapshot. Pure."""

from __future__ import annotations

from pathlib import PurePath

from snapshot_tasks.domain.cluster import P2P_PORT


def cluster_environment(port: int = P2P_PORT) -> dict[str, str]:
    """Return the settings of a node that talks to others on this port."""
    return {
        "QDRANT__CLUSTER__ENABLED": "true",
        "QDRANT__CLUSTER__P2P__PORT": str(port),
        # As the addresses of `node_argv` are, whatever a mounted configuration file says.
        "QDRANT__CLUSTER__P2P__ENABLE_TLS": "false",
    }


def node_argv(address: str, joins: str = "") -> tuple[str, ...]:
    """Return the arguments of a node that the others reach at this HOST:PORT.

    It is the first node, or it joins the node at the address `joins`.
    """
    bootstrap = ("--bootstrap", f"http://{joins}") if joins else ()
    return (*bootstrap, "--uri", f"http://{address}")


def load_argv(load: tuple[str, str] | None, folder: PurePath | str) -> tuple[str, ...]:
    """Return the arguments that restore a file of this folder as a collection at the start."""
    if load is None:
        return ()
    name, collection = load
    return ("--snapshot", f"{PurePath(folder) / name}:{collection}")
