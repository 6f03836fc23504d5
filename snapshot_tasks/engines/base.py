"""What every engine can do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from snapshot_tasks.domain.endpoint import Endpoint, Mount
from snapshot_tasks.domain.findings import Finding
from snapshot_tasks.system.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """Whether the live server runs, and what there is to say about it."""

    running: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshRequest:
    """What a throw-away Qdrant must be like.

    `version` is the one to have; where it cannot be had, the configured one is taken. `folder` is
    made readable for the server. With `keep` it goes on running when the block ends.
    """

    version: str
    folder: Path
    keep: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshServer:
    """A throw-away, empty Qdrant on free ports of its own."""

    endpoint: Endpoint
    version_note: str
    restart: Callable[[], None]
    removal: Callable[[], str]


class Engine(Protocol):
    """Runs the live Qdrant of this project, and throw-away ones beside it.

    `name` is for people and JSON; what an engine can do is asked of it, never told by its name.
    """

    name: str
    # Whether this project starts and stops the live Qdrant.
    manages_server: bool
    # Whether drills must see the host's own /tmp: what a killed one left is found by its folder.
    needs_host_tmp: bool

    def up(self, *, timeout_seconds: float, progress: Progress) -> None:
        """Start the live Qdrant where it does not run yet, and wait until it is ready."""
        ...

    def down(self, *, delete_data: bool) -> None:
        """Stop the live Qdrant; its data stays unless `delete_data`."""
        ...

    def restart(self, *, timeout_seconds: float, progress: Progress) -> None:
        """Stop and start the live Qdrant and wait until it is ready."""
        ...

    def status(self) -> EngineStatus:
        """Say whether the live Qdrant runs."""
        ...

    def logs(self, *, service: str, tail: int) -> list[str]:
        """Return the last lines of the log."""
        ...

    def follow_logs(self, *, service: str, tail: int) -> None:
        """Print the log as it grows, until interrupted."""
        ...

    def mounts(self) -> tuple[Mount, ...]:
        """Return the folders of this host that the live Qdrant can read."""
        ...

    def free_bytes(self) -> int | None:
        """Return how much room the live Qdrant's storage has; None where nobody can tell."""
        ...

    def check_tools(self) -> Iterator[Finding]:
        """Yield whether what this engine needs is installed.

        Raises:
            Unreachable: when it cannot be used at all.
        """
        ...

    def check_configuration(self) -> Iterator[Finding]:
        """Yield what in its own configuration breaks backups or restores.

        Raises:
            SettingsError: when there is no such configuration, or it is wrong.
        """
        ...

    def check_leftovers(self) -> Iterator[Finding]:
        """Yield what killed or kept drills have left."""
        ...

    def fresh(
        self, request: FreshRequest, progress: Progress
    ) -> AbstractContextManager[FreshServer]:
        """Run an empty Qdrant for the block. The live one and its data are never touched."""
        ...
