"""What every engine can do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from snapshot_tasks.domain.endpoint import Endpoint, Mount
from snapshot_tasks.domain.findings import Finding
from snapshot_tasks.system.errors import Refused
from snapshot_tasks.system.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """Whether the live server is running, with a description."""

    running: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where an engine's own configuration says that the live Qdrant is, and with which key."""

    url: str
    http_port: int
    grpc_port: int | None
    api_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DownPlan:
    """What is stopped and deleted when the live Qdrant is taken down, and what stays and why.

    `forbidden` are places of the data that belong to others too: with any, nothing may be stopped.
    `elsewhere` is why this is another project's Qdrant, of the same name.
    `removed` is whether what is stopped is removed as well. With `is_in_memory`, the data is gone
    as soon as Qdrant stops. `for_good` is whether Qdrant is not started again right away.
    """

    delete_data: bool
    for_good: bool = True
    stops: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()
    stays: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    elsewhere: str = ""
    removed: bool = True
    is_in_memory: bool = False

    @property
    def steps(self) -> tuple[str, ...]:
        """What will be done, a line each."""
        return (
            *(f"stop {one}" for one in self.stops),
            *(f"delete {one}" for one in self.deletes),
            *(f"keep {one}" for one in self.stays),
            *(("lose the data, which is in memory",) if self.is_in_memory and self.stops else ()),
        )

    def checked(self) -> DownPlan:
        """Return this plan. Raises `Refused` if it touches what is not this Qdrant's alone."""
        if self.elsewhere:
            raise Refused(
                f"This is another project's Qdrant: {self.elsewhere}. Nothing was stopped.",
                hint="Run this there, or set COMPOSE_PROJECT_NAME here to a name of its own.",
            )
        if self.forbidden:
            raise Refused(
                "The data cannot be deleted, because it is not only Qdrant's: "
                f"{'; '.join(self.forbidden)}. Nothing was stopped.",
                hint="Delete it yourself, or give Qdrant a volume of its own.",
            )
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshRequest:
    """The requirements for a throw-away Qdrant.

    `version` is the preferred version; if it is not available, the configured one is used. The
    server is given read access to `folder`. With `keep`, it keeps running after the block ends.
    With `cluster_nodes`, it is a cluster of that many: only cluster mode has shard keys, and only
    several nodes have replicas.
    `load` is a file in `folder` and the collection that the first start restores from it.
    """

    version: str
    folder: Path
    keep: bool = False
    cluster_nodes: int = 0
    load: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LastWords:
    """The state of a throw-away server that failed, and the end of its log.

    `exit_code` is None while it runs; it is negative for the signal that ended it.
    """

    exit_code: int | None = None
    disk_full: bool = False
    log: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshServer:
    """A throw-away, empty Qdrant on its own free ports. `room_hint` says where it needs space."""

    endpoint: Endpoint
    version_note: str
    restart: Callable[[], None]
    removal: Callable[[], str]
    last_words: Callable[[], LastWords] = LastWords
    room_hint: str = ""


class Engine(Protocol):
    """Runs the live Qdrant of this project, and fresh servers next to it.

    `name` is only for display and JSON. Code asks an engine what it can do and never compares
    names.
    """

    name: str
    # Whether this project starts and stops the live Qdrant.
    manages_server: bool
    # Whether drills must see the host's own /tmp, because leftovers are found by their folder
    # there.
    needs_host_tmp: bool

    def up(self, *, timeout_seconds: float, progress: Progress) -> None:
        """Start the live Qdrant if it is not running, and wait until it is ready."""
        ...

    def starts_empty(self) -> str:
        """Return the version that would start with no data at all; empty if none would.

        Only an engine that can start its server with snapshots returns one.
        """
        ...

    def up_with(
        self, load: Mapping[str, Path], *, timeout_seconds: float, progress: Progress
    ) -> None:
        """Start the live Qdrant with a snapshot for each of these new collections, only this once.

        Raises:
            Unreachable: if it does not start with them.
        """
        ...

    def plan_down(self, *, delete_data: bool, for_good: bool) -> DownPlan:
        """Return what `down` would stop and delete; its data is kept unless `delete_data`.

        What takes backups of it is only stopped `for_good`.
        """
        ...

    def down(self, plan: DownPlan) -> None:
        """Do what the plan lists, and nothing else; afterwards, make sure that it is done.

        Raises:
            Refused: if the data is not Qdrant's alone, or if what runs has changed since the plan.
            Unreachable: if something is still there afterwards.
        """
        ...

    def restart(self, *, recreate: bool, timeout_seconds: float, progress: Progress) -> None:
        """Stop and start the live Qdrant and wait until it is ready.

        Only with `recreate`, changed settings are applied, such as another version.
        """
        ...

    def changes(self) -> tuple[str, ...]:
        """Return what `recreate` would change, old → new; nothing if it does not exist yet."""
        ...

    def upgrade(self, *, recreate: bool) -> str:
        """Return in words what a start does to the version of the data; empty if nothing.

        Raises:
            Refused: if the version that would start is older than the last, or skips a minor one.
        """
        ...

    def address(self) -> Address | None:
        """Return the address of the live Qdrant if only this engine's configuration knows it.

        Raises:
            SettingsError: if it cannot be reached from this machine.
            Unreachable: if it is only known while it runs.
        """
        ...

    def status(self) -> EngineStatus:
        """Return whether the live Qdrant is running."""
        ...

    def logs(self, *, service: str, tail: int) -> list[str]:
        """Return the last lines of the log."""
        ...

    def follow_logs(self, take: Callable[[str], None], *, service: str, tail: int) -> None:
        """Pass on the log, line by line as it grows, until interrupted."""
        ...

    def mounts(self) -> tuple[Mount, ...]:
        """Return the folders of this host that the live Qdrant can read."""
        ...

    def exposed_at(self) -> str:
        """Return where other machines reach the live Qdrant; empty if they do not.

        Raises:
            SettingsError: if the engine's configuration is missing or wrong.
        """
        ...

    def free_bytes(self) -> int | None:
        """Return the free space of the live Qdrant's storage; None if it is unknown."""
        ...

    def check_tools(self) -> Iterator[Finding]:
        """Check whether everything this engine needs is installed.

        Raises:
            Unreachable: if it cannot be used at all.
        """
        ...

    def check_configuration(self) -> Iterator[Finding]:
        """Find problems in the engine's configuration that break backups or restores.

        Raises:
            SettingsError: if there is no such configuration, or it is wrong.
        """
        ...

    def check_leftovers(self) -> Iterator[Finding]:
        """Report what killed or kept drills have left behind."""
        ...

    def fresh(
        self, request: FreshRequest, progress: Progress
    ) -> AbstractContextManager[FreshServer]:
        """Run an empty Qdrant for the block. The live one and its data are never touched."""
        ...


def changed_since() -> Refused:
    """Return the error for a stack that is no longer what was shown and agreed to."""
    return Refused(
        "What runs has changed since it was listed; nothing was stopped or deleted.",
        hint="Run this again and look at the new list.",
    )
