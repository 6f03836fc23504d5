"""The address of a Qdrant server, and the folders of this host that it can read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A folder of this host, and the path of the same folder on the Qdrant server."""

    host_dir: Path
    server_dir: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Extra files for HTTPS: a private CA, and a client's certificate and key."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def as_json(self) -> dict[str, str | None]:
        """Return the paths for a child process."""
        return {
            name: str(path) if path else None
            for name, path in (
                ("ca_file", self.ca_file),
                ("cert_file", self.cert_file),
                ("key_file", self.key_file),
            )
        }

    @classmethod
    def from_json(cls, paths: Mapping[str, str | None]) -> Tls:
        """Parse the output of `as_json`."""
        return cls(**{name: Path(path) if path else None for name, path in paths.items()})


ANSWER_SECONDS = 30.0
GREEN_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A Qdrant server: its address, its key, and which of our folders it can read.

    `grpc_port` is on the same host; None if it is unknown. The key may be sent to `plaintext_hosts`
    over plain HTTP. `answer_seconds` limits how long a short response or a stall may take, and
    `green_seconds` how long to wait for the optimizer after a restore. `cluster_urls` are the nodes
    of its cluster, itself among them, if it has several.
    """

    url: str
    api_key: str | None = field(default=None, repr=False)
    mounts: tuple[Mount, ...] = ()
    grpc_port: int | None = None
    tls: Tls = Tls()
    plaintext_hosts: tuple[str, ...] = ()
    answer_seconds: float = ANSWER_SECONDS
    green_seconds: float = GREEN_SECONDS
    cluster_urls: tuple[str, ...] = ()

    def nodes(self) -> tuple[Endpoint, ...]:
        """Return every node of the cluster, with the same key; only itself if no others are known.

        Only the gRPC port of the entry point is known.
        """
        return tuple(map(self.node, self.cluster_urls or (self.url,)))

    def node(self, url: str) -> Endpoint:
        """Return the node of its cluster with that URL."""
        return self if url == self.url else replace(self, url=url, mounts=(), grpc_port=None)

    @property
    def host(self) -> str:
        """The name of the host, in lower case."""
        return urlsplit(self.url).hostname or ""

    @property
    def is_https(self) -> bool:
        """Whether the connection is encrypted."""
        return urlsplit(self.url).scheme == "https"

    @property
    def is_loopback(self) -> bool:
        """Whether the server is on this machine."""
        return is_loopback(self.host)

    @property
    def exposes_key(self) -> bool:
        """Whether the key would be sent unencrypted to a host that is not allowed."""
        secret = self.api_key is not None and not self.is_https
        return secret and not self.is_loopback and self.host not in self.plaintext_hosts


def is_loopback(host: str) -> bool:
    """Return whether a host name means this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
