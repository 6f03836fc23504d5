"""Create a snapshot on the server and download it to a staging file, checking every byte."""

from __future__ import annotations

import hashlib
import shutil
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from snapshot_tasks.catalog.journal import SNAPSHOT, Journal
from snapshot_tasks.domain.collection import CollectionState, ServerSnapshot
from snapshot_tasks.qdrant.errors import is_unflushed
from snapshot_tasks.qdrant.mark import SnapshotMark
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.sealing.archive import check_archive
from snapshot_tasks.sealing.described import Described, describe
from snapshot_tasks.system import process
from snapshot_tasks.system.errors import (
    Damaged,
    ServerFailure,
    StorageError,
    TaskError,
    Unreachable,
)
from snapshot_tasks.system.files import storage_errors
from snapshot_tasks.system.progress import Clock, Progress

FLUSH_ATTEMPTS = 5
DEFAULT_FLUSH_SECONDS, MAX_FLUSH_SECONDS = 5.0, 30.0
# An interrupted request may still arrive at the server.
ARRIVAL_SECONDS = 5.0
SHOWN_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A server snapshot that was downloaded, and the state of the source before and after it."""

    at: datetime
    version: str
    before: CollectionState
    after: CollectionState
    described: Described
    made: ServerSnapshot
    sha256: str

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
    with progress.phase("waiting until no point is hidden"):
        server.collections.wait_shown(collection, SHOWN_SECONDS)
    before = server.collections.state(collection)
    label = f"Qdrant is creating a snapshot of {collection} ({before.points_count:,} points)"
    mark = server.snapshots.mark(collection)
    pending = journal.begin(SNAPSHOT, server.endpoint.url, collection, **mark.as_json())
    made, patience_seconds = None, ARRIVAL_SECONDS
    try:
        with progress.phase(label):
            made = _create(collection, mark, server, before, progress)
        if made.is_surely_ours:
            pending.add(name=made.name)
        sha256 = _download(collection, made, server, staging, progress)
        after = server.collections.state(collection)
        return Taken(
            at=at,
            version=version,
            before=before,
            after=after,
            described=describe(staging, before, after),
            made=made,
            sha256=sha256,
        )
    except ServerFailure:
        patience_seconds = 0.0
        raise
    finally:
        # Shielded from interruptions, so that a deleted copy is removed from the journal as well.
        with process.shielded():
            if made is None:
                left = _discard(collection, mark, server, patience_seconds, progress)
            elif made.is_surely_ours:
                left = "" if keep_server_copy else _forget(collection, made, server)
            else:
                left = ""
                progress.note(server.snapshots.left_alone(collection, made))
            if left:
                pending.add(**({"name": made.name} if made else {}), left=left)
                progress.note(
                    f"Could not delete {made.name if made else 'the copy'} of {collection} on the"
                    f" server: {left} The next run tries again."
                )
            else:
                pending.done()


def _create(
    collection: str,
    mark: SnapshotMark,
    server: Server,
    before: CollectionState,
    progress: Progress,
) -> ServerSnapshot:
    """Create a server snapshot; ask again if Qdrant cannot write the collection to its disk yet."""
    for attempt in range(FLUSH_ATTEMPTS):
        if attempt:
            progress.note(
                "Qdrant could not write the collection to its disk; asking again after its flush"
                " interval."
            )
            time.sleep(_flush_seconds(before))
        try:
            return server.snapshots.create(collection, mark, note=progress.note)
        except ServerFailure as error:
            if not is_unflushed(error):
                raise
            refused = error
    raise Unreachable(
        f"Qdrant cannot write {collection} to its disk, and creates no snapshot until it can. This"
        " happens while an application drops payload indexes again and again, after each restart"
        f" for example. {refused.message}",
        hint="Run this again when no index is dropped. If it happens again, restart Qdrant.",
    ) from refused


def _flush_seconds(state: CollectionState) -> float:
    optimizers = state.config.get("optimizer_config")
    seconds = optimizers.get("flush_interval_sec") if isinstance(optimizers, dict) else None
    if not isinstance(seconds, int):
        return DEFAULT_FLUSH_SECONDS
    return min(MAX_FLUSH_SECONDS, float(seconds))


def _discard(
    collection: str,
    mark: SnapshotMark,
    server: Server,
    patience_seconds: float,
    progress: Progress,
) -> str:
    """Delete what a failed request has made; return why that is not certain."""
    if server.snapshots.discard_made(
        collection, mark, patience_seconds=patience_seconds, note=progress.note
    ):
        return ""
    return "it was not found, or not deleted."


def _forget(collection: str, made: ServerSnapshot, server: Server) -> str:
    """Delete the server's copy; return why that failed."""
    try:
        server.snapshots.delete(collection, made.name)
    except TaskError as error:
        return error.message
    return ""


def _download(
    collection: str, made: ServerSnapshot, server: Server, staging: Path, progress: Progress
) -> str:
    """Stream the file to `staging` and hash it; return the SHA-256, confirmed by Qdrant."""
    free = shutil.disk_usage(staging.parent).free
    if free < made.size_bytes:
        raise StorageError(
            f"The snapshot has {made.size_bytes:,} bytes, but only {free:,} are free in"
            f" {staging.parent}.",
            hint="Free space there, or choose another folder with QDRANT_SNAPSHOT_DIR.",
        )
    digest = hashlib.sha256()
    with (
        storage_errors(staging.parent),
        staging.open("wb") as file,
        progress.phase("downloading", total_bytes=made.size_bytes) as advance,
    ):

        def receive(chunk: bytes) -> None:
            digest.update(chunk)
            file.write(chunk)
            advance(len(chunk))

        server.snapshots.download(collection, made, receive, note=progress.note)
    if made.sha256 is None:
        progress.note("Qdrant sent no checksum, so only size and structure were checked.")
    elif made.sha256 != digest.hexdigest():
        raise Damaged(
            f"The downloaded file has sha256 {digest.hexdigest()}, but Qdrant reported"
            f" {made.sha256}.",
            hint="Run this again. If it happens again, check the server's disk.",
        )
    check_archive(staging)
    return digest.hexdigest()
