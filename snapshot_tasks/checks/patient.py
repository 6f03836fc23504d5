"""Everything that the doctor's checks need."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.checks.promises import own_of
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.engines.select import live_endpoint, located
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.settings import Settings
from snapshot_tasks.system.errors import TaskError


@dataclass(frozen=True)
class Patient:
    """Settings, catalogue and time, which every check of the doctor starts from."""

    settings: Settings
    catalog: Catalog
    now: datetime

    @cached_property
    def collection(self) -> str:
        """The collection that the settings name, else the only one on the server or in the folder.

        With several, it is the default one, which the checks then report as missing.
        """
        default = self.settings.collection
        if not self.settings.is_default_collection:
            return default
        names = self._on_server() or self.catalog.collections()
        return names[0] if len(names) == 1 else default

    def _on_server(self) -> list[str]:
        try:
            with self.server() as server:
                return server.collections.names()
        except TaskError:
            # Another check reports this.
            return []

    @cached_property
    def newest(self) -> Snapshot | None:
        """The newest snapshot of the configured collection, if there is one."""
        return next(iter(self.own), None)

    @cached_property
    def own(self) -> list[Snapshot]:
        """The snapshots of the configured collection, newest first."""
        return own_of(self.collection, self.catalog.entries())

    def server(self) -> Server:
        """Return a connection to the live Qdrant."""
        return Server(live_endpoint(located(self.settings)), operation_timeout_seconds=30)
