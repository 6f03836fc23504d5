"""A Qdrant server's own snapshots: create, list, download, delete, and restore them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import IO, Any
from urllib.parse import quote

import httpx

from snapshot_tasks.domain.collection import ServerSnapshot
from snapshot_tasks.qdrant.collections import POLL_SECONDS, Collections
from snapshot_tasks.qdrant.download import Download
from snapshot_tasks.qdrant.errors import is_not_visible, is_out_of_reach
from snapshot_tasks.qdrant.http import Http
from snapshot_tasks.qdrant.lost import LOOKING_SECONDS, or_look, was_sent
from snapshot_tasks.qdrant.mark import SnapshotMark, date_of
from snapshot_tasks.qdrant.multipart import FilePart
from snapshot_tasks.qdrant.paths import collection_path, snapshot_path, snapshots_path
from snapshot_tasks.system.errors import Damaged, NotFound, TaskError, Unreachable

RECONCILE_POLL_SECONDS = 1.0
INTERRUPTED_SECONDS = 30.0
# A collection appears shortly before Qdrant calls itself busy with it.
RESTORED_LOOKS = 2
RUNNING = ("creation", "recovery")


class NotVisible(Exception):
    """The server cannot read a file that it should restore from."""


class ServerSnapshots:
    """The snapshots on a server's own disk, for any of its collections, or for one of its shards.

    A shard's are on each node that holds the shard, and only there.
    """

    def __init__(self, http: Http, collections: Collections, shard: int | None = None) -> None:
        self._http = http
        self._collections = collections
        self._shard = shard

    def of(self, collection: str) -> list[ServerSnapshot]:
        """Return the server snapshots of a collection."""
        return [_snapshot(item) for item in self._http.get(snapshots_path(collection, self._shard))]

    def mark(self, collection: str) -> SnapshotMark:
        """Return a mark that distinguishes later server snapshots from those that exist now."""
        response = self._http.raw_get(snapshots_path(collection, self._shard))
        before = tuple(sorted(str(item["name"]) for item in self._http.result(response)))
        return SnapshotMark(before=before, since=date_of(response))

    def create(
        self,
        collection: str,
        mark: SnapshotMark,
        *,
        note: Callable[[str], None] = lambda message: None,
    ) -> ServerSnapshot:
        """Create one server snapshot.

        A lost connection does not stop Qdrant from creating it, so we wait for it in the list
        instead of sending a second request. If the clocks disagree, the only new one is taken, but
        it is not surely ours.
        """
        try:
            response = self._http.raw("POST", snapshots_path(collection, self._shard), long=True)
        except httpx.ConnectError as error:
            raise self._http.unreachable(error) from error
        except httpx.TransportError as error:
            note(
                "The connection was lost while Qdrant was creating the snapshot;"
                " waiting for it to appear in the list."
            )
            return self._await_snapshot(collection, mark, error)
        return _snapshot(self._http.result(response))

    def discard_made(
        self,
        collection: str,
        mark: SnapshotMark,
        *,
        patience_seconds: float,
        note: Callable[[str], None],
    ) -> bool:
        """Delete the server snapshot created since the mark; wait for one that is being created.

        `patience_seconds` is how long a request may take to arrive, if it was sent at all. Returns
        whether it is certain that there is no such snapshot and that none will appear. One that may
        be ours or another tool's is only noted.
        """
        start = time.monotonic()
        while True:
            waited = time.monotonic() - start
            try:
                busy = self.is_busy(collection)
                listed = self.of(collection)
                made = mark.made_among(listed, alone=True)
                if made:
                    self.delete(collection, made.name, note=note)
                    return True
            except TaskError as error:
                if is_out_of_reach(error):
                    note(self.out_of_reach(collection))
                    return True
                return isinstance(error, NotFound)
            if waited >= (INTERRUPTED_SECONDS if busy else patience_seconds):
                if not busy and (unsure := mark.only_new_among(listed)):
                    note(self.left_alone(collection, unsure))
                return not busy
            time.sleep(POLL_SECONDS)

    def left_alone(self, collection: str, snapshot: ServerSnapshot) -> str:
        """Return the note about a server snapshot that may be another tool's."""
        url = f"{self._http.endpoint.url}{snapshot_path(collection, snapshot.name, self._shard)}"
        return (
            f"{snapshot.name} of {collection} stays on the server: it is probably of this run, but"
            f" the clocks on the way to Qdrant disagree. If no other tool took it, delete it"
            f" (DELETE {url})."
        )

    def is_busy(self, collection: str) -> bool:
        """Return whether Qdrant is creating or restoring a snapshot of a collection right now.

        Also False if the credentials do not allow this query.
        """
        label = collection.replace("\\", "\\\\").replace('"', '\\"')
        # `service.metrics_prefix` puts anything before these names.
        wanted = re.compile(
            rf'\w*snapshot_(?:{"|".join(RUNNING)})_running{{id="{re.escape(label)}"}} (?!0$)'
        )
        try:
            response = self._http.raw("GET", "/metrics")
        except httpx.TransportError as error:
            raise self._http.unreachable(error) from error
        lines = response.text.splitlines() if response.is_success else ()
        return any(wanted.match(line) for line in lines)

    def delete(
        self,
        collection: str,
        name: str,
        *,
        note: Callable[[str], None] = lambda message: None,
    ) -> None:
        """Delete one server snapshot; it is fine if it no longer exists.

        A lost answer is reconciled by looking. One that Qdrant no longer deletes is only noted.
        """
        try:
            or_look(
                lambda: self._http.send(
                    "DELETE", snapshot_path(collection, name, self._shard), long=True
                ),
                lambda: name not in {snapshot.name for snapshot in self.of(collection)},
            )
        except TaskError as error:
            if is_out_of_reach(error):
                note(self.out_of_reach(collection, name))
            elif not isinstance(error, NotFound):
                raise

    def out_of_reach(self, collection: str, name: str = "") -> str:
        """Return the note about a copy whose collection was deleted, or whose shard was moved."""
        folder = collection if self._shard is None else f"{collection}/shards/{self._shard}"
        what, why = f"of {collection}", "was deleted"
        if self._shard is not None:
            what, why = f"of shard {self._shard} {what}", "was deleted or moved"
        copy = f"the copy {name} {what} stays" if name else f"a copy {what} may stay"
        return (
            f"On {self._http.endpoint.url}, {copy}, because that {why} meanwhile, and Qdrant then"
            f" deletes no copies. Delete {folder}/{name or '*.snapshot'} and its .checksum in that"
            " server's snapshot folder."
        )

    def download(
        self,
        collection: str,
        snapshot: ServerSnapshot,
        take: Callable[[bytes], None],
        *,
        note: Callable[[str], None] = lambda message: None,
    ) -> None:
        """Stream a server snapshot's exact bytes into `take`.

        Raises:
            Damaged: if fewer or more bytes arrive than Qdrant reported.
            Unreachable: if the connection is lost for good.
        """
        path = snapshot_path(collection, snapshot.name, self._shard)
        received = Download(self._http, path, take).run(note)
        if received != snapshot.size_bytes:
            raise Damaged(
                f"Qdrant reported {snapshot.size_bytes:,} bytes but sent {received:,}.",
                hint="Run this again. If it happens again, check the proxy or network between this "
                "machine and Qdrant.",
            )

    def stream(self, collection: str) -> Iterator[bytes]:
        """Yield a new snapshot of this shard, of which the server keeps no copy.

        Nothing says how long it is, and it ends cleanly when the collection is deleted meanwhile:
        only the last members of the archive show that it is whole.

        Raises:
            Unreachable: if the connection is lost.
        """
        path = f"{collection_path(collection)}/shards/{self._shard}/snapshot"
        with self._http.stream(path, headers={}) as response:
            yield from response.iter_raw()

    def recover(self, collection: str, server_path: str, sha256: str) -> None:
        """Restore from a file that the server itself can read. Nothing is transferred.

        Raises:
            NotVisible: if the server cannot read the file; nothing has changed then.
        """
        try:
            location = f"file://{quote(server_path)}"
        except UnicodeEncodeError as error:
            # A path that is not UTF-8 cannot be written in JSON.
            raise NotVisible(f"{error}") from error
        body = {
            "location": location,
            "priority": "snapshot",
            "checksum": sha256,
        }
        path = f"{snapshots_path(collection, self._shard)}/recover"
        try:
            self._http.send("PUT", path, body=body, params={"wait": "true"}, long=True)
        except TaskError as error:
            if is_not_visible(error):
                raise NotVisible(error.message) from error
            raise

    def await_restored(self, collection: str, lost: Unreachable) -> None:
        """Wait for a restore that Qdrant goes on with although its answer was lost.

        The caller must compare what is there, because the answer could have been an error.

        Raises:
            Unreachable: the given error, if there is no such collection after a while.
        """
        if not was_sent(lost):
            raise lost
        start, looks = time.monotonic(), 0
        while looks < RESTORED_LOOKS:
            time.sleep(RECONCILE_POLL_SECONDS)
            busy = here = False
            with suppress(Unreachable):
                busy = self.is_busy(collection)
                here = collection in self._collections.names()
            looks = looks + 1 if here and not busy else 0
            limit = self._http.operation_timeout_seconds if busy else LOOKING_SECONDS
            if not looks and time.monotonic() - start >= limit:
                raise lost

    def upload(
        self,
        collection: str,
        file: IO[bytes],
        sha256: str,
        *,
        name: str,
        advance: Callable[[int], None],
        priority: str = "snapshot",
    ) -> None:
        """Restore by uploading a local file. Qdrant keeps a copy: see `discard_upload`.

        Of a shard, it keeps none. With the priority `no_sync`, only this replica is restored.
        """
        path = f"{snapshots_path(collection, self._shard)}/upload"
        params = {"wait": "true", "priority": priority, "checksum": sha256}
        files = {"snapshot": (name, FilePart(file, advance), "application/octet-stream")}
        self._http.send("POST", path, params=params, files=files, long=True)

    def discard_upload(self, collection: str, name: str) -> None:
        """Delete what an upload left in the server's folder, however the restore ended.

        The API reaches that folder only through a collection with the same name. If there is none,
        an empty collection is created for a moment.
        """
        if collection in self._collections.names():
            self.delete(collection, name)
            return
        self._collections.create(collection, {"vectors": {}})
        try:
            self.delete(collection, name)
        finally:
            self._collections.delete(collection)

    def _await_snapshot(
        self, collection: str, mark: SnapshotMark, lost: httpx.TransportError
    ) -> ServerSnapshot:
        deadline = time.monotonic() + self._http.operation_timeout_seconds
        idle_since = time.monotonic()
        # A server that stopped, or was idle for this long, will not create one any more.
        while (now := time.monotonic()) < deadline and now - idle_since < INTERRUPTED_SECONDS:
            if self._may_be_busy(collection):
                idle_since = now
            if mark.made_among(self._listed(collection)):
                # The checksum file is written after the snapshot file.
                time.sleep(RECONCILE_POLL_SECONDS)
                made = mark.made_among(self.of(collection))
                if made:
                    return made
            time.sleep(RECONCILE_POLL_SECONDS)
        if not self._may_be_busy(collection):
            # Qdrant's clock, or that of the gateway which wrote `Date`, is wrong.
            made = mark.only_new_among(self._listed(collection))
            if made:
                return replace(made, is_surely_ours=False)
        raise self._http.unreachable(lost)

    def _may_be_busy(self, collection: str) -> bool:
        try:
            return self.is_busy(collection)
        except Unreachable:
            return False

    def _listed(self, collection: str) -> list[ServerSnapshot]:
        try:
            return self.of(collection)
        except Unreachable:
            return []


def _snapshot(item: Mapping[str, Any]) -> ServerSnapshot:
    return ServerSnapshot(
        name=str(item["name"]), size_bytes=int(item["size"]), sha256=item.get("checksum") or None
    )
