"""A Qdrant server as this project uses it: is it ready, its snapshots, restores."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx

from snapshot_tasks.domain.collection import ServerSnapshot
from snapshot_tasks.qdrant.collections import POLL_SECONDS, Collections
from snapshot_tasks.qdrant.download import Download
from snapshot_tasks.qdrant.errors import is_not_visible
from snapshot_tasks.qdrant.guard import tls_error
from snapshot_tasks.qdrant.mark import SnapshotMark, date_of
from snapshot_tasks.qdrant.paths import collection_path, snapshot_path, snapshots_path
from snapshot_tasks.system.errors import Damaged, NotFound, TaskError, Unreachable
from snapshot_tasks.system.files import CHUNK_BYTES

CHECK_SECONDS = 1.0
RECONCILE_POLL_SECONDS = 1.0
INTERRUPTED_SECONDS = 30.0
RUNNING = ("creation", "recovery")


class NotVisible(Exception):
    """The server cannot read a file that it was told to restore from."""


class Server(Collections):
    """One Qdrant server. Use it as a context manager, so that its connection is closed."""

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def version(self) -> str:
        """Return the server's version. Raises `Unreachable` where no Qdrant answers."""
        try:
            answer = self._http.raw("GET", "/")
            document = answer.json()
            if "qdrant" in document["title"].lower():
                return str(document["version"])
        except httpx.TransportError as error:
            raise self._http.unreachable(error) from error
        except (httpx.InvalidURL, ValueError, KeyError, TypeError, AttributeError):
            pass
        raise Unreachable(
            f"{self.endpoint.url} responded, but does not look like Qdrant.",
            hint="Set QDRANT_URL to the REST port of Qdrant (by default 6333).",
        )

    def is_ready(self) -> bool:
        """Say whether every collection is loaded. No key is asked for, so none is tested."""
        try:
            return self._http.raw("GET", "/readyz").status_code == 200
        except httpx.TransportError as error:
            if isinstance(tls_error(error), ssl.SSLCertVerificationError):
                # Waiting makes no certificate better.
                raise self._http.unreachable(error) from error
            return False

    def wait_ready(
        self,
        timeout_seconds: float,
        *,
        hint: str = "`inv stack.logs` says why.",
        check: Callable[[], None] = lambda: None,
    ) -> float:
        """Wait until the server is ready and return the seconds that took.

        `check` is called about once a second; it raises when waiting longer is in vain.

        Raises:
            Unreachable: when it is not ready in time.
        """
        start = checked_at = time.monotonic()
        while not self.is_ready():
            if time.monotonic() - checked_at >= CHECK_SECONDS:
                check()
                checked_at = time.monotonic()
            if time.monotonic() - start >= timeout_seconds:
                raise Unreachable(
                    f"Qdrant at {self.endpoint.url} was not ready within {timeout_seconds:g} s.",
                    hint=hint,
                )
            time.sleep(POLL_SECONDS)
        return time.monotonic() - start

    def snapshots(self, collection: str) -> list[ServerSnapshot]:
        """Return the server snapshots of a collection."""
        return [_snapshot(item) for item in self._http.get(snapshots_path(collection))]

    def mark(self, collection: str) -> SnapshotMark:
        """Return what tells a server snapshot that is made from now on from those before."""
        response = self._http.raw_get(snapshots_path(collection))
        before = tuple(sorted(str(item["name"]) for item in self._http.result(response)))
        return SnapshotMark(before=before, since=date_of(response))

    def create_snapshot(
        self,
        collection: str,
        mark: SnapshotMark,
        *,
        note: Callable[[str], None] = lambda message: None,
    ) -> ServerSnapshot:
        """Create one server snapshot.

        A lost connection does not stop Qdrant from creating it, so the list is watched for it
        instead of asking a second time.
        """
        try:
            response = self._http.raw("POST", snapshots_path(collection), long=True)
        except httpx.ConnectError as error:
            raise self._http.unreachable(error) from error
        except httpx.TransportError as error:
            note(
                "The connection was lost while Qdrant made the snapshot; watching its list for it."
            )
            return self._await_snapshot(collection, mark, error)
        return _snapshot(self._http.result(response))

    def discard_made(self, collection: str, mark: SnapshotMark, *, patience_seconds: float) -> bool:
        """Delete the server snapshot that was made since the mark; wait while one is being made.

        `patience_seconds` is how long a request may take to arrive, if it was sent at all. Returns
        whether that is settled: neither is there such a snapshot nor will one come.
        """
        start = time.monotonic()
        while True:
            waited = time.monotonic() - start
            try:
                busy = self.is_busy(collection)
                made = mark.made_among(self.snapshots(collection), alone=True)
                if made:
                    self.delete_snapshot(collection, made.name)
                    return True
            except NotFound:
                return True
            except TaskError:
                return False
            if waited >= (INTERRUPTED_SECONDS if busy else patience_seconds):
                return not busy
            time.sleep(POLL_SECONDS)

    def is_busy(self, collection: str) -> bool:
        """Say whether Qdrant makes or restores a snapshot of a collection at this moment.

        False, too, where the credentials do not reach as far as asking.
        """
        label = collection.replace("\\", "\\\\").replace('"', '\\"')
        wanted = [f'snapshot_{what}_running{{id="{label}"}} ' for what in RUNNING]
        try:
            response = self._http.raw("GET", "/metrics")
        except httpx.TransportError as error:
            raise self._http.unreachable(error) from error
        lines = response.text.splitlines() if response.is_success else ()
        return any(
            line.startswith(start) and line.removeprefix(start) != "0"
            for line in lines
            for start in wanted
        )

    def delete_snapshot(self, collection: str, name: str) -> None:
        """Delete one server snapshot; one that is gone already is fine."""
        try:
            self._http.send("DELETE", snapshot_path(collection, name), long=True)
        except NotFound:
            return

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
            Damaged: when fewer or more bytes come than Qdrant announced.
            Unreachable: when it is lost for good.
        """
        path = snapshot_path(collection, snapshot.name)
        received = Download(self._http, path, take).run(note)
        if received != snapshot.size_bytes:
            raise Damaged(
                f"Qdrant announced {snapshot.size_bytes:,} bytes and sent {received:,}.",
                hint="Run this again; if it stays so, look at what stands between here and Qdrant.",
            )

    def recover(self, collection: str, server_path: str, sha256: str) -> None:
        """Restore from a file that the server itself can read. Nothing travels.

        Raises:
            NotVisible: when the server does not see the file; nothing has happened then.
        """
        body = {
            "location": f"file://{quote(server_path)}",
            "priority": "snapshot",
            "checksum": sha256,
        }
        path = f"{snapshots_path(collection)}/recover"
        try:
            self._http.send("PUT", path, body=body, params={"wait": "true"}, long=True)
        except TaskError as error:
            if is_not_visible(error):
                raise NotVisible(error.message) from error
            raise

    def upload(
        self,
        collection: str,
        file: Path,
        sha256: str,
        *,
        name: str,
        advance: Callable[[int], None],
    ) -> None:
        """Restore by streaming a local file; the copy that Qdrant keeps of it is deleted.

        When this fails, `discard_upload` takes that copy away.
        """
        path = f"{snapshots_path(collection)}/upload"
        params = {"wait": "true", "priority": "snapshot", "checksum": sha256}
        with file.open("rb") as content:
            files = {"snapshot": (name, _Reader(content, advance), "application/octet-stream")}
            self._http.send("POST", path, params=params, files=files, long=True)
        self.delete_snapshot(collection, name)

    def discard_upload(self, collection: str, name: str) -> None:
        """Delete what an upload left in the server's folder, whatever became of the restore.

        The API reaches that folder only through a collection of the name, so where there is none an
        empty one stands in for a moment.
        """
        if collection in self.collections():
            self.delete_snapshot(collection, name)
            return
        self._http.send("PUT", collection_path(collection), body={"vectors": {}}, long=True)
        try:
            self.delete_snapshot(collection, name)
        finally:
            self.delete_collection(collection)

    def _await_snapshot(
        self, collection: str, mark: SnapshotMark, lost: httpx.TransportError
    ) -> ServerSnapshot:
        deadline = time.monotonic() + self._http.operation_timeout_seconds
        idle_since = time.monotonic()
        # A server that is gone, or idle for so long, makes nothing any more.
        while (now := time.monotonic()) < deadline and now - idle_since < INTERRUPTED_SECONDS:
            if self._may_be_busy(collection):
                idle_since = now
            if mark.made_among(self._listed(collection)):
                # The checksum's file is written after the snapshot's.
                time.sleep(RECONCILE_POLL_SECONDS)
                made = mark.made_among(self.snapshots(collection))
                if made:
                    return made
            time.sleep(RECONCILE_POLL_SECONDS)
        raise self._http.unreachable(lost)

    def _may_be_busy(self, collection: str) -> bool:
        try:
            return self.is_busy(collection)
        except Unreachable:
            return False

    def _listed(self, collection: str) -> list[ServerSnapshot]:
        try:
            return self.snapshots(collection)
        except Unreachable:
            return []


class _Reader:
    """A file for httpx's multipart body that reads large chunks and tells how far it is."""

    def __init__(self, file: Any, advance: Callable[[int], None]) -> None:
        self._file = file
        self._advance = advance

    def read(self, size: int = -1) -> bytes:
        chunk: bytes = self._file.read(max(size, CHUNK_BYTES))
        self._advance(len(chunk))
        return chunk

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def fileno(self) -> int:
        return int(self._file.fileno())


def _snapshot(item: Mapping[str, Any]) -> ServerSnapshot:
    return ServerSnapshot(
        name=str(item["name"]), size_bytes=int(item["size"]), sha256=item.get("checksum")
    )
