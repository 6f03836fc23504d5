"""Take a snapshot: from a live collection to a checked, catalogued file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from snapshot_tasks.archive import check_archive
from snapshot_tasks.catalog.folder import Catalog, Snapshot
from snapshot_tasks.catalog.manifest import Manifest
from snapshot_tasks.errors import Damaged, NotFound, TaskError
from snapshot_tasks.files import storage_errors
from snapshot_tasks.models import Clock, Progress, ServerSnapshot
from snapshot_tasks.qdrant.server import Server


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRequest:
    """What to take, and how."""

    collection: str
    label: str | None = None
    keep_server_copy: bool = False
    safety: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateResult:
    """What was taken, and the error of each collection that failed."""

    snapshots: list[Snapshot]
    errors: list[tuple[str, TaskError]]


def create_each(
    requests: list[CreateRequest],
    server: Server,
    catalog: Catalog,
    progress: Progress,
    *,
    clock: Clock,
) -> CreateResult:
    """Take several snapshots, going on past a collection that fails."""
    result = CreateResult(snapshots=[], errors=[])
    for request in requests:
        try:
            result.snapshots.append(create(request, server, catalog, progress, clock=clock))
        except TaskError as error:
            result.errors.append((request.collection, error))
    return result


def create(
    request: CreateRequest, server: Server, catalog: Catalog, progress: Progress, *, clock: Clock
) -> Snapshot:
    """Take one snapshot; the caller holds the catalogue's lock.

    The exact count stands on both sides of it, so that a moving source is told from a quiet one.
    Nothing is catalogued unless every byte is the one that Qdrant hashed.

    Raises:
        NotFound: when there is no such collection.
        Damaged: when what arrived is not what Qdrant made.
        StorageError: when the folder cannot take the file.
    """
    collection = request.collection
    _refuse_alias(collection, server)
    taken_at = clock()
    version, before = server.version(), server.state(collection)
    with progress.phase(
        f"Qdrant makes a snapshot of {collection} ({before.points_count:,} points)"
    ):
        made = server.create_snapshot(collection, note=progress.note)
    try:
        with catalog.staging() as staging:
            sha256 = _download(collection, made, server, staging, progress)
            after = server.count(collection)
            manifest = Manifest(
                collection=collection,
                snapshot=catalog.free_name(collection, taken_at),
                created_at=taken_at,
                size_bytes=made.size_bytes,
                sha256=sha256,
                qdrant_version=version,
                source_url=server.endpoint.url,
                points_count=before.points_count,
                source_points_before=before.points_count,
                source_points_after=after,
                source_moved=after != before.points_count,
                config=before.config,
                payload_schema=before.payload_schema,
                aliases=before.aliases,
                label=request.label or None,
                safety=request.safety,
            )
            return catalog.add(staging, manifest)
    finally:
        if not request.keep_server_copy:
            _forget(collection, made, server, progress)


def _refuse_alias(name: str, server: Server) -> None:
    """A snapshot belongs to a collection: under an alias it would be catalogued by a wrong name."""
    owner = server.aliases().get(name)
    if owner is not None:
        raise NotFound(
            f"{name} is an alias of the collection {owner}.",
            hint=f"Use `--collection {owner}`; its aliases are kept with the snapshot.",
        )


def _download(
    collection: str, made: ServerSnapshot, server: Server, staging: Path, progress: Progress
) -> str:
    """Stream the file to `staging`, hashing on the way; return the SHA-256 that Qdrant confirms."""
    digest = hashlib.sha256()
    with (
        storage_errors(staging.parent),
        staging.open("wb") as file,
        progress.phase("downloading", total_bytes=made.size_bytes) as advance,
    ):

        def take(chunk: bytes) -> None:
            digest.update(chunk)
            file.write(chunk)
            advance(len(chunk))

        server.download(collection, made, take)
    if made.sha256 is None:
        progress.note("Qdrant gave no checksum, so only size and structure could be compared.")
    elif made.sha256 != digest.hexdigest():
        raise Damaged(
            f"What arrived has sha256 {digest.hexdigest()}, Qdrant made {made.sha256}.",
            hint="Run this again; if it stays so, check the disk of the server.",
        )
    check_archive(staging)
    return digest.hexdigest()


def _forget(collection: str, made: ServerSnapshot, server: Server, progress: Progress) -> None:
    try:
        server.delete_snapshot(collection, made.name)
    except TaskError as error:
        progress.note(f"The server copy {made.name} could not be deleted: {error.message}")
