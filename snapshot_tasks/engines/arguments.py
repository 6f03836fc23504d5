"""Arguments for the start of a Qdrant: in cluster mode, with a snapshot. Pure."""

from __future__ import annotations

from pathlib import PurePath

P2P_PORT = 6335


def cluster_environment(port: int = P2P_PORT) -> dict[str, str]:
    """Return the settings of a node that talks to others on this port."""
    return {"QDRANT__CLUSTER__ENABLED": "true", "QDRANT__CLUSTER__P2P__PORT": str(port)}


def node_argv(port: int = P2P_PORT, joins: int | None = None) -> tuple[str, ...]:
    """Return the arguments of the first node, or of one that joins the node with that port."""
    bootstrap = () if joins is None else ("--bootstrap", f"http://127.0.0.1:{joins}")
    return (*bootstrap, "--uri", f"http://127.0.0.1:{port}")


def load_argv(load: tuple[str, str] | None, folder: PurePath | str) -> tuple[str, ...]:
    """Return the arguments that restore a file of this folder as a collection at the start."""
    if load is None:
        return ()
    name, collection = load
    return ("--snapshot", f"{PurePath(folder) / name}:{collection}")
