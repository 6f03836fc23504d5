"""Take one snapshot: from a live collection to a checked file in the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.catalog.journal import Journal
from snapshot_tasks.checks.cluster import check_even, refuse_lost_shards, settled_layout
from snapshot_tasks.checks.contents import check_sanity
from snapshot_tasks.checks.hidden import hidden_points
from snapshot_tasks.checks.indexes import wrong_on_source
from snapshot_tasks.checks.live_indexes import ask_source
from snapshot_tasks.checks.vector_names import check_vector_names
from snapshot_tasks.domain.findings import Finding, Status, warn
from snapshot_tasks.domain.manifest import Manifest
from snapshot_tasks.domain.names import check_collection
from snapshot_tasks.domain.probes_file import ProbesFile, dump_probes
from snapshot_tasks.domain.seal import SERVER
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.domain.versions import unknown_because
from snapshot_tasks.operations.create.download import Taken, take
from snapshot_tasks.operations.create.request import CreateDefaults, CreateRequest
from snapshot_tasks.operations.create.seal import (
    FreshServers,
    Reading,
    read_file,
    read_on_fresh_server,
    reading_of,
)
from snapshot_tasks.operations.create.shards import TakeShards, take_shards
from snapshot_tasks.operations.restore.plan import SaveExisting
from snapshot_tasks.qdrant.indexes import PayloadIndexes
from snapshot_tasks.qdrant.nodes import Nodes, open_nodes
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.sealing.reader import Contents
from snapshot_tasks.sealing.unpack import point_of_the_future
from snapshot_tasks.system.errors import (
    ContentsDiffer,
    Damaged,
    NotFound,
    SettingsError,
    StorageError,
    Unreachable,
)
from snapshot_tasks.system.progress import Clock, Progress
from snapshot_tasks.system.untrusted import JsonObject, printable

SEALING_ATTEMPTS = 3
DRAIN_SECONDS = 30.0
CHANGED_REMEDY = (
    "The snapshot has what its file contains. Take another one when no application creates or drops"
    " payload indexes or vectors."
)
HIDDEN_ALIASES = Finding(
    check="aliases",
    status=Status.WARN,
    message="unknown: Qdrant hides aliases from a token for single collections, so none are saved",
    remedy="Use a key with the right to manage if a restore should recreate the aliases.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """A new snapshot, and findings about suspicious contents."""

    snapshot: Snapshot
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sealing:
    """A downloaded snapshot and its contents; `unsealed` says why reading them failed."""

    taken: Taken
    reading: Reading | None = None
    unsealed: str = ""


def create(
    request: CreateRequest, server: Server, catalog: Catalog, progress: Progress, *, clock: Clock
) -> Created:
    """Take one snapshot and seal it; the caller must hold the catalogue's lock.

    Points are counted before and after, to detect a source that is being written to. A file is only
    catalogued if its bytes match the hash that Qdrant reported.

    Raises:
        NotFound: if there is no such collection.
        Refused: if not every node of a cluster is known, or not every replica is current.
        Damaged: if the downloaded file differs from the one that Qdrant created, or is unreadable.
        ContentsDiffer: if an idle source and the sealed file do not have the same count.
        StorageError: if the file cannot be stored in the folder.
    """
    check_collection(request.collection)
    version = server.version()
    _refuse_alias(request.collection, server)
    previous = _previous(catalog, request.collection)
    with open_nodes(server) as nodes, catalog.staging() as staging:
        take_one = _way(request, version, server, nodes, staging, catalog.journal, progress, clock)
        sealing = _take_and_seal(request, server, take_one, staging, progress)
        sealing = _with_source_indexes(sealing, request.collection, server, progress)
        findings = (
            *_findings(sealing, previous, request),
            *check_vector_names(sealing.taken.before.config, version),
            *_uneven(nodes, request.collection),
        )
        if findings and request.strict:
            raise ContentsDiffer(
                "; ".join(f.message for f in findings) + ".",
                hint="Check the source. Without --strict, these are warnings.",
            )
        name = catalog.free_name(request.collection, sealing.taken.at)
        reading = sealing.reading
        probes = dump_probes(reading.probes) if reading else None
        manifest = _manifest(request, sealing, name, server.endpoint.url, probes)
        snapshot = catalog.add(staging, manifest, reading.fingerprint if reading else None, probes)
    return Created(snapshot=snapshot, findings=(*findings, *_hidden(sealing.taken, server)))


def _hidden(taken: Taken, server: Server) -> Iterator[Finding]:
    """Yield what the server does not show; the snapshot is good, so this never fails it."""
    if server.collections.hides_aliases:
        yield HIDDEN_ALIASES
    if taken.after.hidden_count:
        yield hidden_points(taken.after.hidden_count, taken.after.total_count)


def safety_saver(
    defaults: CreateDefaults, server: Server, catalog: Catalog, progress: Progress, *, clock: Clock
) -> SaveExisting:
    """Return the function by which a restore saves a collection before it replaces it."""

    def save(collection: str) -> Created:
        return create(defaults.safety_request(collection), server, catalog, progress, clock=clock)

    return save


def _manifest(
    request: CreateRequest, sealing: _Sealing, name: str, source_url: str, probes: str | None
) -> Manifest:
    taken, reading = sealing.taken, sealing.reading
    count = reading.fingerprint.points_count if reading else taken.before.total_count
    manifest = Manifest(
        collection=request.collection,
        snapshot=name,
        created_at=taken.at,
        size_bytes=taken.size_bytes,
        sha256=taken.sha256,
        qdrant_version=taken.version,
        source_url=source_url,
        points_count=count,
        source_points_before=taken.before.points_count,
        source_points_after=taken.after.points_count,
        source_moved=taken.changed or count != taken.before.total_count,
        hidden_points=taken.after.hidden_count,
        config=taken.described.config,
        payload_schema=taken.described.payload_schema,
        unsettled_indexes=taken.described.unsettled,
        aliases=taken.before.aliases,
        label=request.label or None,
        sanity=reading.sanity if reading else None,
        probes_file=ProbesFile.of(probes) if probes else None,
        index_counts=tuple(c.as_json() for c in reading.index_counts) if reading else (),
        safety=request.safety,
        shard_set=reading.sealing(taken.shard_set) if reading else taken.shard_set,
    )
    return manifest.sealed_with(reading.seal()) if reading else manifest


def _uneven(nodes: Nodes, collection: str) -> Iterator[Finding]:
    """Yield replicas with too few points; a single server has only one of each shard."""
    if len(nodes) > 1:
        yield from check_even(nodes.views(collection))


def _refuse_alias(name: str, server: Server) -> None:
    """Refuse an alias: the catalogue would record it as the name of a collection."""
    owner = server.collections.aliases().get(name)
    if owner is not None:
        raise NotFound(
            f"{name} is an alias of the collection {owner}.",
            hint=f"Use `--collection {owner}`; its aliases are saved with the snapshot.",
        )


def _blame_the_source(collection: str, staging: Path) -> None:
    """Raise `Damaged` if the file is unreadable because of points in the live collection."""
    if reason := point_of_the_future(staging):
        raise Damaged(
            f"The live collection {collection} is damaged: {reason}.",
            hint="Qdrant drops every later write to such points. Copy its points to a new"
            " collection, or delete it and restore an older snapshot.",
        )


def _way(
    request: CreateRequest,
    version: str,
    server: Server,
    nodes: Nodes,
    staging: Path,
    journal: Journal,
    progress: Progress,
    clock: Clock,
) -> Callable[[], Taken]:
    """Return how to take the collection: as Qdrant's own snapshot, or shard by shard."""
    if len(nodes) == 1:
        settled_layout(nodes, request.collection, progress, wait_seconds=request.wait_seconds)
        return lambda: take(
            request.collection,
            version,
            server,
            staging,
            progress,
            journal=journal,
            keep_server_copy=request.keep_server_copy,
            clock=clock,
        )
    refuse_lost_shards(nodes.views(request.collection), request.collection)
    what = TakeShards(
        collection=request.collection,
        version=version,
        entry=server,
        nodes=nodes,
        journal=journal,
        keep_server_copy=request.keep_server_copy,
        wait_seconds=request.wait_seconds,
        stream=request.stream,
    )
    return lambda: take_shards(what, staging, progress, clock=clock)


def _take_and_seal(
    request: CreateRequest,
    server: Server,
    take_one: Callable[[], Taken],
    staging: Path,
    progress: Progress,
) -> _Sealing:
    """Take snapshots until one certainly contains all updates, else seal it on a fresh server.

    If the log of a snapshot has operations that its segments lack, the snapshot is taken again once
    the queue is empty. If the log then ends at the same place as before, everything in it has been
    applied: the remaining operations changed nothing, or were rejected.
    """
    ends: dict[str, int] | None = None
    for _ in range(SEALING_ATTEMPTS):
        taken = take_one()
        if not request.seal:
            return _Sealing(taken=taken)
        try:
            contents, seconds = read_file(
                staging,
                taken.before.total_count,
                progress,
                payload_schema=taken.described.payload_schema,
            )
        except StorageError as error:
            return _Sealing(taken=taken, unsealed=f"{error.message} {error.hint}")
        except Damaged as error:
            # A layout that the reader does not know yet is no damage.
            if not (why := unknown_because(taken.version)):
                _blame_the_source(request.collection, staging)
                raise
            return _Sealing(taken=taken, unsealed=f"{error.message} {why}.")
        if contents.pending_count == 0 or contents.log_ends == ends:
            return _Sealing(taken=taken, reading=_checked(reading_of(contents, seconds), taken))
        ends = contents.log_ends
        if taken.moved or not server.collections.wait_drained(request.collection, DRAIN_SECONDS):
            break
        progress.note("The snapshot still has queued updates; taking it again.")
    return _seal_on_fresh_server(request.fresh_servers, taken, contents, staging, progress)


def _seal_on_fresh_server(
    servers: FreshServers | None,
    taken: Taken,
    contents: Contents,
    staging: Path,
    progress: Progress,
) -> _Sealing:
    """Seal what a fresh server restores from the file; without a server it is not sealed."""
    if servers is None:
        why = "updates were queued, and there is no engine to apply them."
        return _Sealing(taken=taken, unsealed=why)
    try:
        reading = read_on_fresh_server(
            staging,
            version=taken.version,
            sha256=taken.sha256,
            servers=servers,
            progress=progress,
            payload_schema=taken.described.payload_schema,
        )
    except (NotFound, SettingsError, StorageError, Unreachable) as error:
        why = f"updates were queued, and no engine could apply them: {error.message} {error.hint}"
        return _Sealing(taken=taken, unsealed=why)
    # Its searches are left out: it did not see the queued updates, and could raise a false alarm.
    reading = replace(reading, sanity=contents.sanity)
    return _Sealing(taken=taken, reading=_checked(reading, taken))


def _checked(reading: Reading, taken: Taken) -> Reading:
    """Check that an idle source and its sealed file have the same number of points.

    If updates were still queued in the file, the source was not idle, whatever its counts say.
    """
    count = reading.fingerprint.points_count
    if taken.moved or reading.read_by == SERVER or count == taken.before.total_count:
        return reading
    raise ContentsDiffer(
        f"The file contains {count:,} points, but the source had {taken.before.total_count:,} "
        "points before and after the snapshot.",
        hint="Run this again. If it happens again, Qdrant's snapshot is incomplete: do not rely on"
        " it.",
    )


def _previous(catalog: Catalog, collection: str) -> Manifest | None:
    """Return the manifest of the collection's newest sealed snapshot."""
    manifests = (entry.manifest for entry in catalog.entries(collection))
    return next((m for m in manifests if m and m.sanity and not m.safety), None)


def _with_source_indexes(
    sealing: _Sealing, collection: str, server: Server, progress: Progress
) -> _Sealing:
    """Add what filters on the source's payload indexes find to what its payloads say."""
    reading = sealing.reading
    if reading is None or not reading.index_counts or sealing.taken.after.hidden_count:
        return sealing
    with closing(PayloadIndexes(server.endpoint, collection)) as indexes:
        counts = ask_source(indexes, reading.index_counts, progress, moved=sealing.taken.changed)
    return replace(sealing, reading=replace(reading, index_counts=counts))


def _has_vectors(config: JsonObject) -> bool:
    params = config.get("params") or {}
    return bool(params.get("vectors") or params.get("sparse_vectors"))


def _findings(
    sealing: _Sealing, previous: Manifest | None, request: CreateRequest
) -> tuple[Finding, ...]:
    changed = tuple(_changed(sealing.taken))
    if sealing.unsealed:
        message = f"not sealed: {sealing.unsealed}"
        return (*changed, Finding(check="seal", status=Status.WARN, message=message))
    if sealing.reading is None:
        return changed
    sanity = check_sanity(
        sealing.reading.sanity,
        sealing.reading.fingerprint.points_count,
        previous.sanity if previous else None,
        previous.points_count if previous else None,
        max_drop=request.max_drop,
        has_vectors=_has_vectors(sealing.taken.after.config),
    )
    wrong = wrong_on_source(sealing.reading.index_counts, request.collection)
    return (*changed, *sanity, *wrong)


def _changed(taken: Taken) -> Iterator[Finding]:
    """Yield a warning if the config or the payload indexes changed while the snapshot was taken."""
    if changes := taken.described.changes:
        message = f"changed while the snapshot was taken: {printable(', '.join(changes))}"
        yield warn("source", message, CHANGED_REMEDY)
