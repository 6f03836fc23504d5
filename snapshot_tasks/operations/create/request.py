"""Requests for new snapshots; they are only made here."""

from __future__ import annotations

from dataclasses import dataclass

from snapshot_tasks.checks.contents import MAX_DROP_SHARE
from snapshot_tasks.operations.create.seal import FreshServers


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRequest:
    """Which collection to snapshot, and how.

    A `safety` snapshot saves a collection that is about to be replaced. `fresh_servers` says how to
    run a fresh server for a seal if the file alone does not show what a server would restore. A
    count that has dropped by more than the share `max_drop` since the previous snapshot is
    suspicious. In a cluster, `wait_seconds` is how long to wait until all replicas are current, and
    with `stream` no node needs space for a copy.
    """

    collection: str
    label: str | None = None
    keep_server_copy: bool = False
    safety: bool = False
    seal: bool = True
    strict: bool = False
    wait_seconds: float = 0.0
    stream: bool = False
    fresh_servers: FreshServers | None = None
    max_drop: float = MAX_DROP_SHARE


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateDefaults:
    """The settings for every new snapshot, whichever task takes it."""

    fresh_servers: FreshServers | None = None
    max_drop: float = MAX_DROP_SHARE

    def request(
        self,
        collection: str,
        *,
        label: str = "",
        keep_server_copy: bool = False,
        seal: bool = True,
        strict: bool = False,
        wait_seconds: float = 0.0,
        stream: bool = False,
    ) -> CreateRequest:
        """Return the request for a snapshot that the user asked for."""
        return CreateRequest(
            collection=collection,
            label=label or None,
            keep_server_copy=keep_server_copy,
            seal=seal,
            strict=strict,
            wait_seconds=wait_seconds,
            stream=stream,
            fresh_servers=self.fresh_servers,
            max_drop=self.max_drop,
        )

    def safety_request(self, collection: str) -> CreateRequest:
        """Return the request for a snapshot of a collection that a restore will replace."""
        return CreateRequest(
            collection=collection,
            label="before replace",
            safety=True,
            fresh_servers=self.fresh_servers,
            max_drop=self.max_drop,
        )
