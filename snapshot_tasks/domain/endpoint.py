"""Where a Qdrant server answers, and which folders of this host it can read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A folder of this host, and where the Qdrant server sees the same folder."""

    host_dir: Path
    server_dir: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The files that https needs beyond what every machine has: a private CA, a client's own."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def as_json(self) -> dict[str, str | None]:
        """Return the paths, for a process of our own."""
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
        """Return what `as_json` made."""
        return cls(**{name: Path(path) if path else None for name, path in paths.items()})


ANSWER_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A Qdrant server: where it answers, with which key, and which of our folders it can read.

    `grpc_port` is on the same host; None where nobody knows it. `plaintext_hosts` may be sent the
    key over plain http. `answer_seconds` is how long a short answer, or a stall, may take.
    """

    url: str
    api_key: str | None = field(default=None, repr=False)
    mounts: tuple[Mount, ...] = ()
    grpc_port: int | None = None
    tls: Tls = Tls()
    plaintext_hosts: tuple[str, ...] = ()
    answer_seconds: float = ANSWER_SECONDS

    @property
    def host(self) -> str:
        """The host's name, in small letters."""
        return urlsplit(self.url).hostname or ""

    @property
    def is_https(self) -> bool:
        """Whether the connection is encrypted."""
        return urlsplit(self.url).scheme == "https"

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this very machine."""
        return is_loopback(self.host)

    @property
    def exposes_key(self) -> bool:
        """Whether the key would travel readable for others, and nobody has allowed that."""
        secret = self.api_key is not None and not self.is_https
        return secret and not self.is_loopback and self.host not in self.plaintext_hosts


def is_loopback(host: str) -> bool:
    """Say whether a host's name means this very machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
