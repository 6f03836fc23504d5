"""Where the Qdrant of a compose file can be reached from this machine, and with which key. Pure."""

from __future__ import annotations

from collections.abc import Callable

from snapshot_tasks.domain.cluster import P2P_PORT
from snapshot_tasks.engines.base import Address
from snapshot_tasks.engines.compose_stack import JsonObject, Stack, setting
from snapshot_tasks.system.errors import SettingsError, Unreachable

HTTP_PORT, GRPC_PORT = 6333, 6334
_EVERYWHERE = ("", "0.0.0.0", "::", "127.0.0.1")  # noqa: S104 - compared, not listened at

# What `docker compose port` answers for a port of the container: host:port, or nothing.
AskPort = Callable[[int], str]


def address_of(stack: Stack, ask: AskPort) -> Address:
    """Return the address of a stack's Qdrant; Docker is asked for ports that it chooses itself.

    Raises:
        SettingsError: if the service publishes no port.
        Unreachable: if the port is only known while the container runs, and it does not run.
    """
    service = stack.service
    check_publishes(stack)
    where = _published(service, _inside(service), ask)
    if not where:
        raise Unreachable(
            f"The service {stack.name} is not running, and Docker chooses its port when it starts.",
            hint="Start it with `inv stack.up`, or set QDRANT_URL.",
        )
    grpc = _published(service, int(setting(service, "SERVICE__GRPC_PORT") or GRPC_PORT), ask)
    host, port = where
    scheme = "https" if setting(service, "SERVICE__ENABLE_TLS").lower() == "true" else "http"
    return Address(
        url=f"{scheme}://{host}:{port}",
        http_port=port,
        # The client connects to the same host.
        grpc_port=grpc[1] if grpc and grpc[0] == host else None,
        api_key=setting(service, "SERVICE__API_KEY") or None,
    )


def fixed_ports(service: JsonObject) -> tuple[int, ...]:
    """Return the ports of this machine that the service needs."""
    published = (str(port.get("published") or "") for port in service.get("ports", ()))
    return tuple(int(port) for port in published if port.isdigit() and int(port))


def check_publishes(stack: Stack) -> None:
    """Raise `SettingsError` if the Qdrant of this stack cannot be reached from this machine."""
    if not publishes(stack.service):
        raise SettingsError(
            f"The service {stack.name} publishes no port, so Qdrant cannot be reached from here.",
            hint="Run the tasks beside it, in a container of the same network"
            " (examples/compose-sidecar.yml, profile backup). Drills of snapshots that are already"
            " here need no port: QDRANT_DRILL_ENGINE runs a Qdrant of their own.",
        )


def publishes(service: JsonObject) -> bool:
    """Return whether the service can be reached from this machine."""
    return service.get("network_mode") == "host" or bool(_ports(service, _inside(service)))


def published_at(service: JsonObject, ask: AskPort) -> tuple[str, int] | None:
    """Return the host and port at which the running container is published, if Docker knows it."""
    for port in _ports(service, _inside(service)):
        return _asked(ask, int(port["target"]))
    return None


def _asked(ask: AskPort, inside: int) -> tuple[str, int] | None:
    # Docker answers a line for each address, such as for IPv4 and IPv6.
    host, _, port = next(iter(ask(inside).split()), "").rpartition(":")
    return (_host(host.strip("[]")), int(port)) if port.isdigit() and int(port) else None


def _inside(service: JsonObject) -> int:
    return int(setting(service, "SERVICE__HTTP_PORT") or HTTP_PORT)


def _published(service: JsonObject, inside: int, ask: AskPort) -> tuple[str, int] | None:
    if service.get("network_mode") == "host":
        return "localhost", inside
    for port in _ports(service, inside):
        published = str(port.get("published") or "")
        if published.isdigit() and int(published):
            return _host(str(port.get("host_ip") or "")), int(published)
        if found := _asked(ask, int(port["target"])):
            return found
    return None


def _ports(service: JsonObject, inside: int) -> list[JsonObject]:
    """Return how a port is published; of the HTTP port, a mounted file may give another number."""
    tcp = [port for port in service.get("ports") or () if port.get("protocol", "tcp") == "tcp"]
    found = [port for port in tcp if int(port["target"]) == inside]
    others = [port for port in tcp if int(port["target"]) not in (GRPC_PORT, P2P_PORT)]
    return found or (others if inside == HTTP_PORT and len(others) == 1 else [])


def _host(address: str) -> str:
    if address in _EVERYWHERE:
        return "localhost"
    return f"[{address}]" if ":" in address else address
