"""The values that travel between the layers: frozen, typed, without behaviour beyond themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

JsonObject = Mapping[str, Any]


class Status(StrEnum):
    """What a check found."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of a report: which check, what it found, and the remedy when it failed."""

    check: str
    status: Status
    message: str
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the finding as it stands in proofs and in `--json` output."""
        plain = {"check": self.check, "status": self.status.value, "message": self.message}
        return plain | ({"remedy": self.remedy} if self.remedy else {})


def failed(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the findings that failed."""
    return tuple(f for f in findings if f.status is Status.FAIL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A folder of this host, and where the Qdrant server sees the same folder."""

    host_dir: Path
    server_dir: str

    def server_path(self, file: Path) -> str | None:
        """Return the server's path of `file`, or None when it does not lie in this folder."""
        resolved, folder = file.resolve(), self.host_dir.resolve()
        if not resolved.is_relative_to(folder):
            return None
        return f"{self.server_dir.rstrip('/')}/{resolved.relative_to(folder).as_posix()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A Qdrant server: where it answers, with which key, and which of our folders it can read.

    `grpc_port` is on the same host; None where nobody knows it.
    """

    url: str
    api_key: str | None = field(default=None, repr=False)
    mounts: tuple[Mount, ...] = ()
    grpc_port: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSnapshot:
    """A snapshot that still lies in Qdrant. `sha256` is None where Qdrant gives no checksum."""

    name: str
    size_bytes: int
    sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionState:
    """What a live collection is: the exact count and everything beside the points."""

    points_count: int
    config: JsonObject
    payload_schema: JsonObject
    aliases: tuple[str, ...]


class Progress(Protocol):
    """How long work tells where it is. `advance` takes a number of bytes, or of points."""

    def phase(
        self, label: str, *, total_bytes: int | None = None, total_points: int | None = None
    ) -> AbstractContextManager[Callable[[int], None]]:
        """Announce a phase; the block's end ends it."""
        ...

    def note(self, message: str) -> None:
        """Say one thing the user should know."""
        ...


class Silent:
    """Progress for callers that want none."""

    @contextmanager
    def phase(
        self, label: str, *, total_bytes: int | None = None, total_points: int | None = None
    ) -> Iterator[Callable[[int], None]]:
        """Announce nothing."""
        yield lambda count: None

    def note(self, message: str) -> None:
        """Say nothing."""


Clock = Callable[[], datetime]
