"""Create a snapshot on the server and download it to a staging file, checking every byte."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType

from snapshot_tasks.catalog.journal import SNAPSHOT, Journal, Pending
from snapshot_tasks.domain.collection import CollectionState, ServerSnapshot
from snapshot_tasks.domain.shards import ShardSet
from snapshot_tasks.qdrant.errors import is_unflushed
from snapshot_tasks.qdrant.mark import SnapshotMark
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.sealing.archive import check_archive
from snapshot_tasks.sealing.described import Described, describe
from snapshot_tasks.system import process
from snapshot_tasks.system.errors import (
    Damaged,
    NotFound,
    ServerFailure,
    StorageError,
    TaskError,
    Unreachable,
)
from snapshot_tasks.system.files import storage_errors
from snapshot_tasks.system.progress import Clock, Progress

FLUSH_ATTEMPTS = 5
DEFAULT_FLUSH_SECONDS, MAX_FLUSH_SECONDS = 5.0, 30.0
ARRIVAL_SECONDS = 5.0
SHOWN_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A snapshot that was downloaded, and the state of the source before and after it.

    `shard_set` has the shards of a cluster's snapshot.
    """

    at: datetime
    version: str
    before: CollectionState
    after: CollectionState
    described: Described
    size_bytes: int
    sha256: str
    shard_set: ShardSet | None = None

    @property
    def moved(self) -> bool:
        """Whether the number of points changed while the snapshot was taken."""
        return self.after.total_count != self.before.total_count

    @property
    def changed(self) -> bool:
        """Whether the points, or the config and the indexes, changed meanwhile."""
        return self.moved or bool(self.described.changes)


def take(
    collection: str,
    version: str,
    server: Server,
    staging: Path,
    progress: Progress,
    *,
    journal: Journal,
    keep_server_copy: bool,
    clock: Clock,
) -> Taken:
    """Create one server snapshot, download it to `staging`, and delete the server's copy.

    `version` is the server's.

    Raises:
        NotFound: if there is no such collection.
        Unreachable: if Qdrant cannot write the collection to its disk for a while.
        Damaged: if the downloaded file differs from the one that Qdrant created.
        StorageError: if the file cannot be stored in the folder.
    """
    at = clock()
    before = state_before(collection, server, progress)
    label = f"Qdrant is creating a snapshot of {collection} ({before.points_count:,} points)"
    copy = ServerCopy(collection, server, journal, progress, keep=keep_server_copy)
    with copy:
        with progress.phase(label):
            made = copy.create(before)
        sha256 = _download(copy, made, staging, progress)
        after = server.collections.state(collection)
        return Taken(
            at=at,
            version=version,
            before=before,
            after=after,
            described=describe(staging, before, after),
            size_bytes=made.size_bytes,
            sha256=sha256,
        )


def state_before(collection: str, server: Server, progress: Progress) -> CollectionState:
    """Wait until no point is hidden, as far as one waits for that; then look."""
    with progress.phase("waiting until no point is hidden"):
        server.collections.wait_shown(collection, SHOWN_SECONDS)
    return server.collections.state(collection)


class ServerCopy:
    """One server snapshot of a collection, or of one shard of it, deleted when the block ends.

    The journal has it just before it is asked for, so that a killed run's copy is found by the
    next: by the time at which it was asked for. What was not asked for is not looked for.
    """

    def __init__(
        self,
        collection: str,
        server: Server,
        journal: Journal,
        progress: Progress,
        *,
        keep: bool,
        shard: int | None = None,
    ) -> None:
        self.snapshots = server.snapshots if shard is None else server.shard_snapshots(shard)
        self._collection = collection
        self._url = server.endpoint.url
        self._journal = journal
        self._progress = progress
        self._keep = keep
        self._shard = shard
        self._asked: tuple[SnapshotMark, Pending] | None = None
        self._made: ServerSnapshot | None = None
        # An interrupted request may still arrive at the server.
        self._patience_seconds = ARRIVAL_SECONDS

    def __enter__(self) -> ServerCopy:
        return self

    def create(self, before: CollectionState) -> ServerSnapshot:
        """Create it; ask again if Qdrant cannot write the collection to its disk yet."""
        mark = self.snapshots.mark(self._collection)
        facts = mark.as_json() | ({} if self._shard is None else {"shard": self._shard})
        pending = self._journal.begin(SNAPSHOT, self._url, self._collection, **facts)
        self._asked = mark, pending
        try:
            self._made = self._create(before, mark)
        except NotFound:
            # There is nothing to take, so nothing was made.
            self._asked = None
            pending.done()
            raise
        except ServerFailure:
            self._patience_seconds = 0.0
            raise
        if self._made.is_surely_ours:
            pending.add(name=self._made.name)
        return self._made

    def download(self, made: ServerSnapshot, take: Callable[[bytes], None]) -> str:
        """Pass on its bytes, and return their SHA-256. Raises `Damaged` if Qdrant has another."""
        digest = hashlib.sha256()

        def receive(chunk: bytes) -> None:
            digest.update(chunk)
            take(chunk)

        self.snapshots.download(self._collection, made, receive, note=self._progress.note)
        _confirm(made, digest.hexdigest(), self._progress)
        return digest.hexdigest()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Shielded from interruptions, so that a deleted copy is removed from the journal as well.
        with process.shielded():
            self.forget()

    def forget(self) -> None:
        """Delete the copy on the server, unless it is to be kept, or this was done before."""
        if self._asked is None:
            return
        mark, pending = self._asked
        self._asked = None
        left = self._forget(mark)
        if not left:
            pending.done()
            return
        name = self._made.name if self._made else None
        pending.add(**({"name": name} if name else {}), left=left)
        self._progress.note(
            f"Could not delete {name or 'the copy'} of {self._collection} on the server: {left}"
            " The next run tries again."
        )

    def _create(self, before: CollectionState, mark: SnapshotMark) -> ServerSnapshot:
        for attempt in range(FLUSH_ATTEMPTS):
            if attempt:
                self._progress.note(
                    "Qdrant could not write the collection to its disk; asking again after its"
                    " flush interval."
                )
                time.sleep(_flush_seconds(before))
            try:
                note = self._progress.note
                return self.snapshots.create(self._collection, mark, note=note)
            except ServerFailure as error:
                if not is_unflushed(error):
                    raise
                refused = error
        raise Unreachable(
            f"Qdrant cannot write {self._collection} to its disk, and creates no snapshot until it"
            " can. This happens while an application drops payload indexes again and again, after"
            f" each restart for example. {refused.message}",
            hint="Run this again when no index is dropped. If it happens again, restart Qdrant.",
        ) from refused

    def _forget(self, mark: SnapshotMark) -> str:
        """Delete the copy, or what a failed request has made; return why that is not certain."""
        if self._made is None:
            gone = self.snapshots.discard_made(
                self._collection,
                mark,
                patience_seconds=self._patience_seconds,
                note=self._progress.note,
            )
            return "" if gone else "it was not found, or not deleted."
        if not self._made.is_surely_ours:
            self._progress.note(self.snapshots.left_alone(self._collection, self._made))
            return ""
        if self._keep:
            return ""
        try:
            self.snapshots.delete(self._collection, self._made.name, note=self._progress.note)
        except TaskError as error:
            return error.message
        return ""


def _flush_seconds(state: CollectionState) -> float:
    optimizers = state.config.get("optimizer_config")
    seconds = optimizers.get("flush_interval_sec") if isinstance(optimizers, dict) else None
    if not isinstance(seconds, int):
        return DEFAULT_FLUSH_SECONDS
    return min(MAX_FLUSH_SECONDS, float(seconds))


def _download(copy: ServerCopy, made: ServerSnapshot, staging: Path, progress: Progress) -> str:
    """Stream the file to `staging` and check it; return the SHA-256, confirmed by Qdrant."""
    require_free(staging, made.size_bytes)
    with (
        storage_errors(staging.parent),
        staging.open("wb") as file,
        progress.phase("downloading", total_bytes=made.size_bytes) as advance,
    ):

        def take(chunk: bytes) -> None:
            file.write(chunk)
            advance(len(chunk))

        sha256 = copy.download(made, take)
    check_archive(staging)
    return sha256


def require_free(staging: Path, size_bytes: int) -> None:
    """Raise `StorageError` if a file of this size does not fit beside the others."""
    free = shutil.disk_usage(staging.parent).free
    if free < size_bytes:
        raise StorageError(
            f"The snapshot has {size_bytes:,} bytes, but only {free:,} are free in"
            f" {staging.parent}.",
            hint="Free space there, or choose another folder with QDRANT_SNAPSHOT_DIR.",
        )


def _confirm(made: ServerSnapshot, sha256: str, progress: Progress) -> None:
    """Raise `Damaged` if what arrived is not what Qdrant has created."""
    if made.sha256 is None:
        progress.note("Qdrant sent no checksum, so only size and structure were checked.")
    elif made.sha256 != sha256:
        raise Damaged(
            f"The downloaded file has sha256 {sha256}, but Qdrant reported {made.sha256}.",
            hint="Run this again. If it happens again, check the server's disk.",
        )
