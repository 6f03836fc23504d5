"""The settings of the live Qdrant: where it is, with which key, and how long to wait for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from snapshot_tasks.domain.endpoint import ANSWER_SECONDS, GREEN_SECONDS, Tls, is_loopback
from snapshot_tasks.settings.values import Values

HTTP_PORT, GRPC_PORT = 6333, 6334


@dataclass(frozen=True, slots=True, kw_only=True)
class QdrantSettings:
    """The live Qdrant. `grpc_port` is None unless it is known to belong to `url`."""

    url: str
    # Nothing says where it is, so a compose file may.
    is_default_url: bool = False
    api_key: str | None = field(repr=False)
    # The file that contains the key, if it comes from one.
    api_key_file: Path | None
    plaintext_key_hosts: tuple[str, ...]
    tls: Tls
    grpc_port: int | None
    server_snapshot_dir: str | None
    answer_timeout_seconds: float
    ready_timeout_seconds: float
    green_timeout_seconds: float
    operation_timeout_seconds: float
    # Every node of a cluster; none if it is not one.
    cluster_urls: tuple[str, ...] = ()

    @property
    def is_local(self) -> bool:
        """Whether `QDRANT_URL` is on this machine."""
        return is_loopback(urlsplit(self.url).hostname or "")

    @property
    def local_node_ports(self) -> frozenset[int]:
        """The ports of the cluster's nodes that are on this machine."""
        found = map(urlsplit, self.cluster_urls)
        return frozenset(one.port for one in found if one.port and is_loopback(one.hostname or ""))


def read_qdrant(values: Values, root: Path) -> QdrantSettings:
    """Read the settings of the live Qdrant; files are relative to the project's root."""
    url = values.url("QDRANT_URL")
    return QdrantSettings(
        is_default_url=url is None,
        url=url or f"http://localhost:{read_http_port(values)}",
        api_key=values.secret("QDRANT_API_KEY", "QDRANT_API_KEY_FILE", root),
        api_key_file=_key_file(values, root),
        plaintext_key_hosts=values.names("QDRANT_ALLOW_PLAINTEXT_KEY"),
        tls=values.tls(root),
        grpc_port=read_grpc_port(values) if _knows_grpc_port(url, values) else None,
        server_snapshot_dir=values.text("QDRANT_SERVER_SNAPSHOT_DIR"),
        answer_timeout_seconds=values.seconds("QDRANT_ANSWER_TIMEOUT_SECONDS", ANSWER_SECONDS),
        ready_timeout_seconds=values.seconds("QDRANT_READY_TIMEOUT_SECONDS", 60.0),
        green_timeout_seconds=values.seconds("QDRANT_GREEN_TIMEOUT_SECONDS", GREEN_SECONDS),
        operation_timeout_seconds=values.seconds("QDRANT_OPERATION_TIMEOUT_SECONDS", 3600.0),
        cluster_urls=values.urls("QDRANT_CLUSTER_URLS"),
    )


def _key_file(values: Values, root: Path) -> Path | None:
    file = values.text("QDRANT_API_KEY_FILE")
    return root / Path(file).expanduser() if file else None


def read_http_port(values: Values) -> int:
    """Return the HTTP port, by default that of a `QDRANT_URL` on this machine."""
    parts = urlsplit(values.url("QDRANT_URL") or "")
    port = parts.port if is_loopback(parts.hostname or "") else None
    return values.port("QDRANT_HTTP_PORT", port or HTTP_PORT)


def read_grpc_port(values: Values) -> int:
    """Return the gRPC port."""
    return values.port("QDRANT_GRPC_PORT", GRPC_PORT)


def _knows_grpc_port(url: str | None, values: Values) -> bool:
    """Return whether the gRPC port belongs to `QDRANT_URL` for certain.

    Another Qdrant may listen on the default port, and its points must not be mistaken for these.
    """
    is_default = url is None or urlsplit(url).port == HTTP_PORT
    return is_default or values.text("QDRANT_GRPC_PORT") is not None
