"""End what killed runs have begun on a server, before something new is begun there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.catalog.journal import REHEARSAL, RESTORE, SNAPSHOT, Pending
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.operations.restore.into_empty import differs, remove_half_made
from snapshot_tasks.operations.restore.replace import put_back
from snapshot_tasks.qdrant.mark import SnapshotMark
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.errors import NotFound, TaskError
from snapshot_tasks.system.progress import Progress

End = Callable[[Pending, Catalog, Server, Progress], bool]


@contextmanager
def tidied(catalog: Catalog, task: str, server: Server, progress: Progress) -> Iterator[None]:
    """Hold the catalogue's lock for the block, and first end what killed runs have begun.

    Raises:
        Locked: when another run holds it.
    """
    with catalog.lock(task):
        tidy(catalog, server, progress)
        yield


def tidy(catalog: Catalog, server: Server, progress: Progress) -> None:
    """End what killed runs have begun on this server; the caller holds the catalogue's lock."""
    for pending in catalog.journal.pending(server.endpoint.url):
        try:
            end = ENDS.get(pending.kind)
            if end and end(pending, catalog, server, progress):
                pending.done()
        except TaskError as error:
            # What cannot be ended must not keep anybody from taking snapshots.
            progress.note(
                f"A killed run's {pending.kind} of {pending.collection} could not be ended:"
                f" {error.message} {error.hint} It is remembered in {pending.path}."
            )


def _end_snapshot(pending: Pending, catalog: Catalog, server: Server, progress: Progress) -> bool:
    """Delete the server's copy that nobody downloads any more."""
    if name := pending.facts.get("name"):
        server.snapshots.delete(pending.collection, str(name))
        return True
    try:
        mark = SnapshotMark.from_json(pending.facts)
    except (KeyError, TypeError, ValueError):
        return True
    return server.snapshots.discard_made(pending.collection, mark, patience_seconds=0)


def _end_rehearsal(pending: Pending, catalog: Catalog, server: Server, progress: Progress) -> bool:
    """Delete a collection that nobody but the killed run knew of."""
    return remove_half_made(
        pending.collection, str(pending.facts.get("upload")), server, arrival_seconds=0
    )


def _end_restore(pending: Pending, catalog: Catalog, server: Server, progress: Progress) -> bool:
    """See what has become of a restore: finish it, undo it, or say what it has left.

    A collection that holds other points than were restored may have been written to since then:
    it is never deleted, only told.
    """
    target, upload_name = pending.collection, str(pending.facts.get("upload"))
    if server.snapshots.is_busy(target):
        progress.note(f"Qdrant still restores {target} for a run that was killed.")
        return False
    snapshot = _found(catalog, pending.facts.get("snapshot"))
    safety = _found(catalog, pending.facts.get("safety"))
    if pending.facts.get("safety") and safety is None:
        progress.note(
            f"Replacing {target} was cut off, and {pending.facts['safety']}, which holds what was"
            " there, is not where it was: bring it back, then run this again."
        )
        return False
    if target in server.collections.names() and not _is_void(target, server):
        server.snapshots.discard_upload(target, upload_name)
        _tell(pending, snapshot, safety, server, progress)
        return True
    if not remove_half_made(target, upload_name, server, arrival_seconds=0):
        return False
    if safety:
        put_back(target, safety, server, progress, upload_name=upload_name)
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
        progress.note(f"Replacing {target} was cut off: it is as it was before.")
    elif snapshot and not differs(snapshot, target, server, progress):
        _add_aliases(target, tuple(map(str, pending.facts.get("aliases") or ())), server)
        progress.note(f"Restoring {target} was cut off, but is whole: {snapshot.name}.")
    else:
        safe = f" What it replaced is safe in {safety.path}." if safety else ""
        progress.note(
            f"Restoring {target} was cut off, and it does not hold what was to come back, or not"
            f" any more.{safe} `inv snapshot.restore --replace` restores it again."
        )


def _add_aliases(target: str, wanted: tuple[str, ...], server: Server) -> None:
    """Make the aliases that are missing; a name that stands for something else by now stays so."""
    taken = {*server.collections.aliases(), *server.collections.names()}
    for alias in wanted:
        if alias not in taken:
            server.collections.create_alias(alias, target)


def _is_void(target: str, server: Server) -> bool:
    """Say whether a collection holds nothing at all, so that nothing can be lost with it."""
    state = server.collections.state(target)
    return not (state.points_count or state.aliases or state.payload_schema)


def _found(catalog: Catalog, path: object) -> Snapshot | None:
    """Return the snapshot that an entry names, also where its folder has another path by now."""
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
    REHEARSAL: _end_rehearsal,
    RESTORE: _end_restore,
}
