"""A Qdrant that someone else manages: we connect to it, but never start or stop it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from snapshot_tasks.domain.endpoint import Mount
from snapshot_tasks.domain.findings import Finding
from snapshot_tasks.engines.base import DownPlan, EngineStatus, FreshRequest, FreshServer
from snapshot_tasks.system.errors import SettingsError
from snapshot_tasks.system.progress import Progress


class ExternalEngine:
    """Refuses to manage the server."""

    name = "external"
    manages_server = False
    needs_host_tmp = False

    def up(self, *, timeout_seconds: float, progress: Progress) -> None:
        """Refuse."""
        raise _unmanaged()

    def starts_empty(self) -> str:
        """Return nothing: this project starts no server."""
        return ""

    def up_with(
        self, load: Mapping[str, Path], *, timeout_seconds: float, progress: Progress
    ) -> None:
        """Refuse."""
        raise _unmanaged()

    def plan_down(self, *, delete_data: bool, for_good: bool) -> DownPlan:
        """Refuse."""
        raise _unmanaged()

    def down(self, plan: DownPlan) -> None:
        """Refuse."""
        raise _unmanaged()

    def restart(self, *, recreate: bool, timeout_seconds: float, progress: Progress) -> None:
        """Refuse."""
        raise _unmanaged()

    def changes(self) -> tuple[str, ...]:
        """Refuse."""
        raise _unmanaged()

    def upgrade(self, *, recreate: bool) -> str:
        """Refuse."""
        raise _unmanaged()

    def address(self) -> None:
        """Return nothing: `QDRANT_URL` says where it is."""
        return

    def status(self) -> EngineStatus:
        """Report that someone else manages the server."""
        return EngineStatus(running=False, detail="the server is managed elsewhere")

    def logs(self, *, service: str, tail: int) -> list[str]:
        """Refuse."""
        raise _unmanaged()

    def follow_logs(self, take: Callable[[str], None], *, service: str, tail: int) -> None:
        """Refuse."""
        raise _unmanaged()

    def mounts(self) -> tuple[Mount, ...]:
        """Return nothing: `QDRANT_SERVER_SNAPSHOT_DIR` says what the server can read."""
        return ()

    def exposed_at(self) -> str:
        """Return nothing: only the host of `QDRANT_URL` tells."""
        return ""

    def free_bytes(self) -> int | None:
        """Return None: this project cannot see the server's disk."""
        return None

    def check_tools(self) -> Iterator[Finding]:
        """Yield nothing: no tools are needed."""
        yield from ()

    def check_configuration(self) -> Iterator[Finding]:
        """Yield nothing: someone else configures the server."""
        yield from ()

    def check_leftovers(self) -> Iterator[Finding]:
        """Yield nothing: it runs no drills."""
        yield from ()

    def fresh(
        self, request: FreshRequest, progress: Progress
    ) -> AbstractContextManager[FreshServer]:
        """Refuse."""
        raise _unmanaged()


def _unmanaged() -> SettingsError:
    return SettingsError(
        "This Qdrant is managed elsewhere (QDRANT_ENGINE=external).",
        hint="Set QDRANT_ENGINE to compose or native to let this project run a Qdrant.",
    )
