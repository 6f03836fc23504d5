"""Finish or undo what killed runs started on a server, before a new run starts there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.catalog.journal import (
    FORMER_TRIAL,
    RESTORE,
    SNAPSHOT,
    TRIAL,
    Pending,
)
from snapshot_tasks.catalog.lock import Use
from snapshot_tasks.checks.cluster import settled_layout
from snapshot_tasks.checks.expected import COUNT_SECONDS
from snapshot_tasks.checks.replicas import is_half_restored, read_replicas
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.operations.restore.into_empty import differs, is_busy, remove_half_made
from snapshot_tasks.operations.restore.replace import put_back
from snapshot_tasks.qdrant.mark import SnapshotMark
from snapshot_tasks.qdrant.nodes import open_nodes
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.qdrant.snapshots import ServerSnapshots
from snapshot_tasks.system.errors import Locked, NotFound, TaskError
from snapshot_tasks.system.progress import Progress

NOT_NAMED = "neither QDRANT_URL nor QDRANT_CLUSTER_URLS names that server now"
End = Callable[[Pending, Catalog, Server, Progress], bool]


@contextmanager
def tidied(
    catalog: Catalog,
    task: str,
    server: Server,
    progress: Progress,
    *,
    use: Use,
    wait_seconds: float = 0.0,
) -> Iterator[None]:
    """Hold the catalogue's lock for the block, and first finish or undo what killed runs started.

    `use` is to write or for the journal; to read is not enough for what killed runs started.

    Raises:
        Locked: if another run is in its way for longer.
    """
    with ExitStack() as held:
        try:
            held.enter_context(catalog.lock(task, use=use))
        except Locked as busy:
            if not wait_seconds:
                raise
            progress.note(f"{busy.message} Waiting up to {wait_seconds:g} s until it ends.")
            with progress.phase("waiting for another run"):
                held.enter_context(catalog.lock(task, use=use, wait_seconds=wait_seconds))
        tidy(catalog, server, progress)
        yield


def tidy(catalog: Catalog, server: Server, progress: Progress) -> None:
    """Finish or undo what killed runs started on this server.

    The caller must hold the catalogue's lock, to write or for the journal.
    """
    for pending in _pending(catalog, server):
        try:
            end = ENDS.get(pending.kind)
            if end and end(pending, catalog, server, progress):
                pending.done()
        except TaskError as error:
            # A leftover that cannot be handled must not prevent new snapshots.
            pending.add(left=error.message)
            progress.note(
                f"Could not finish or undo the {pending.kind} of {pending.collection} that a killed"
                f" run had started: {error.message} {error.hint} It is recorded in {pending.path}."
            )
    for pending in catalog.journal.elsewhere(_urls(server)):
        # Under the lock, it is certain that the run has ended; `doctor` shows it then.
        if not pending.facts.get("left"):
            pending.add(left=NOT_NAMED)


def _pending(catalog: Catalog, server: Server) -> list[Pending]:
    """Return what killed runs have left on the server, and on the other nodes of its cluster."""
    return [pending for url in _urls(server) for pending in catalog.journal.pending(url)]


def _urls(server: Server) -> list[str]:
    return list(dict.fromkeys((server.endpoint.url, *server.endpoint.cluster_urls)))


def _end_snapshot(pending: Pending, catalog: Catalog, server: Server, progress: Progress) -> bool:
    """Delete the copy of the snapshot on the node that has it, which nobody will download."""
    shard = pending.facts.get("shard")
    endpoint, seconds = server.endpoint.node(pending.url), server.timeout_seconds
    with Server(endpoint, operation_timeout_seconds=seconds) as node:
        snapshots = node.shard_snapshots(shard) if isinstance(shard, int) else node.snapshots
        return _delete_copy(pending, snapshots, progress)


def _delete_copy(pending: Pending, snapshots: ServerSnapshots, progress: Progress) -> bool:
    if name := pending.facts.get("name"):
        snapshots.delete(pending.collection, str(name), note=progress.note)
        return True
    try:
        mark = SnapshotMark.from_json(pending.facts)
    except (KeyError, TypeError, ValueError):
        return True
    return snapshots.discard_made(pending.collection, mark, patience_seconds=0, note=progress.note)


def _end_trial(pending: Pending, catalog: Catalog, server: Server, progress: Progress) -> bool:
    """Delete the temporary collection of a killed run."""
    return remove_half_made(
        pending.collection, str(pending.facts.get("upload")), server, arrival_seconds=0
    )


def _end_restore(pending: Pending, catalog: Catalog, server: Server, progress: Progress) -> bool:
    """Find out how an interrupted restore ended; finish it, undo it, or report what is left.

    A collection with other points than the snapshot may have been written to since then, so it is
    never deleted, only reported.
    """
    target, upload_name = pending.collection, str(pending.facts.get("upload"))
    if is_busy(target, server):
        progress.note(f"Qdrant is still restoring {target} for a run that was killed.")
        return False
    snapshot = _found(catalog, pending.facts.get("snapshot"))
    if pending.facts.get("former"):
        return _end_switch(pending, snapshot, server, progress)
    safety = _found(catalog, pending.facts.get("safety"))
    if pending.facts.get("safety") and safety is None:
        progress.note(
            f"Replacing {target} was interrupted, and its safety snapshot"
            f" {pending.facts['safety']} is missing. Put that file back, then run this again."
        )
        return False
    if target in server.collections.names() and not _is_void(target, server):
        if upload_name:
            server.snapshots.discard_upload(target, upload_name)
        if not _is_half_restored(target, snapshot, server, progress):
            _tell(pending, snapshot, safety, server, progress)
            return True
    if not remove_half_made(target, upload_name, server, arrival_seconds=0):
        return False
    if safety:
        put_back(target, safety, server, progress, upload_name=upload_name)
    return True


def _end_switch(
    pending: Pending, snapshot: Snapshot | None, server: Server, progress: Progress
) -> bool:
    """Remove what was restored beside a collection, unless aliases mean it or it was written to."""
    beside, former = pending.collection, pending.facts["former"]
    if beside not in server.collections.names():
        return True
    if aliases := server.collections.state(beside).aliases:
        progress.note(
            f"The interrupted replacement of {former} had completed: {', '.join(aliases)} means"
            f" {beside}. {former} was left as it is."
        )
        return True
    is_as_made = (
        _is_void(beside, server)
        or _is_half_restored(beside, snapshot, server, progress)
        or (snapshot is not None and not differs(snapshot, beside, server, progress))
    )
    if is_as_made:
        progress.note(f"Replacing {former} was interrupted; it is unchanged. Removing {beside}.")
        return remove_half_made(beside, "", server, arrival_seconds=0)
    progress.note(
        f"Replacing {former} was interrupted; it is unchanged. {beside} was restored for that, and"
        " does not match the snapshot: delete it if nobody uses it."
    )
    return True


def _tell(
    pending: Pending,
    snapshot: Snapshot | None,
    safety: Snapshot | None,
    server: Server,
    progress: Progress,
) -> None:
    target = pending.collection
    if safety and not differs(safety, target, server, progress):
        _add_aliases(target, safety.manifest.aliases if safety.manifest else (), server)
        progress.note(f"Replacing {target} was interrupted; the collection is unchanged.")
    elif snapshot and not differs(snapshot, target, server, progress):
        _add_aliases(target, tuple(map(str, pending.facts.get("aliases") or ())), server)
        progress.note(f"The interrupted restore of {target} had completed: {snapshot.name}.")
    else:
        safe = f" The previous contents are safe in {safety.path}." if safety else ""
        progress.note(
            f"Restoring {target} was interrupted, and the collection does not match the"
            f" snapshot.{safe} Restore it again with `inv snapshot.restore --replace`."
        )


def _add_aliases(target: str, wanted: tuple[str, ...], server: Server) -> None:
    """Create the missing aliases; a name that is now used for something else is not touched."""
    taken = {*server.collections.aliases(), *server.collections.names()}
    for alias in wanted:
        if alias not in taken:
            server.collections.create_alias(alias, target)


def _is_half_restored(
    target: str, snapshot: Snapshot | None, server: Server, progress: Progress
) -> bool:
    """Return whether only some replicas have their points, and nobody has written to any since."""
    manifest = snapshot.manifest if snapshot else None
    shard_set = manifest.shard_set if manifest else None
    if shard_set is None or server.collections.state(target).aliases:
        return False
    with open_nodes(server) as nodes:
        settled_layout(nodes, target, progress)
        replicas = read_replicas(nodes, target, progress)
    return is_half_restored({shard.id: shard for shard in shard_set.shards}, replicas)


def _is_void(target: str, server: Server) -> bool:
    """Return whether a collection is completely empty, so that deleting it loses nothing.

    The first count after a restore can be 0 for a moment, so it is never judged by one look.
    """
    state = server.collections.state(target)
    if state.total_count or state.aliases or state.payload_schema:
        return False
    return not server.collections.wait_count(target, bool, COUNT_SECONDS).total


def _found(catalog: Catalog, path: object) -> Snapshot | None:
    """Return the snapshot that an entry names, even if its folder now has another path."""
    if not path:
        return None
    for reference in (str(path), Path(str(path)).name):
        try:
            return catalog.find(reference)
        except (NotFound, OSError, ValueError):
            continue
    return None


ENDS: dict[str, End] = {
    SNAPSHOT: _end_snapshot,
    TRIAL: _end_trial,
    FORMER_TRIAL: _end_trial,
    RESTORE: _end_restore,
}
