"""The port by which the nodes of a cluster talk to each other. Qdrant asks for no key there."""

from __future__ import annotations

import socket

CONNECT_SECONDS = 1.0
# It changes nothing, and every version has it.
_METHOD = "/qdrant.QdrantInternal/GetConsensusCommit"
# A proxy would have to be told where to connect, and is no way to reach a port from here.
_OPTIONS = (("grpc.enable_http_proxy", 0),)


def answers_without_key(host: str, port: int) -> bool:
    """Return whether anybody who is where this program is may talk as a node of the cluster does.

    False also if the host is unknown here, or does not answer in a second.
    """
    try:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except OSError:
        return False
    import grpc

    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    with grpc.insecure_channel(address, options=_OPTIONS) as channel:
        ask = channel.unary_unary(_METHOD, request_serializer=bytes, response_deserializer=bytes)
        try:
            ask(b"", timeout=CONNECT_SECONDS)
        except grpc.RpcError:
            return False
    return True
