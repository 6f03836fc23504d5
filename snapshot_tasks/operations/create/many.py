"""Take snapshots of several collections, then delete old ones that the rules no longer keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.failure import Failure
from snapshot_tasks.domain.retention import Policy
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.operations.batch import Batch, for_each
from snapshot_tasks.operations.create.one import Created, create
from snapshot_tasks.operations.create.request import CreateRequest
from snapshot_tasks.operations.prune import prune_collections
from snapshot_tasks.operations.restore.unfinished import tidy
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.errors import TaskError
from snapshot_tasks.system.progress import Clock, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedAndPruned:
    """The new snapshots, the old ones that were deleted, and the failures of both steps."""

    created: tuple[Created, ...]
    dropped: tuple[Snapshot, ...] = ()
    failures: tuple[Failure, ...] = ()

    @property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """The new snapshots."""
        return tuple(created.snapshot for created in self.created)


def create_tidied(
    request: CreateRequest, server: Server, catalog: Catalog, progress: Progress, *, clock: Clock
) -> Created:
    """Finish or undo what killed runs started, then take one snapshot. Raises as `create`.

    The caller must hold the catalogue's lock.
    """
    tidy(catalog, server, progress)
    return create(request, server, catalog, progress, clock=clock)


def create_each(
    requests: Sequence[CreateRequest],
    server: Server,
    catalog: Catalog,
    progress: Progress,
    *,
    clock: Clock,
) -> Batch[Created]:
    """Take several snapshots, and continue if a collection fails."""
    return for_each(
        requests,
        lambda request: create(request, server, catalog, progress, clock=clock),
        name=lambda request: request.collection,
    )


def create_and_prune(
    requests: Sequence[CreateRequest],
    policy: Policy | None,
    server: Server,
    catalog: Catalog,
    progress: Progress,
    *,
    clock: Clock,
    may_vanish: bool = False,
) -> CreatedAndPruned:
    """Take several snapshots; with a policy, delete old ones of collections that have a new one.

    A collection that was deleted meanwhile is only noted if it `may_vanish`, because nobody named
    it. The caller must hold the catalogue's lock.
    """
    taken = create_each(requests, server, catalog, progress, clock=clock)
    if may_vanish:
        taken = _without_vanished(taken, server, progress)
    names = [str(created.snapshot.collection) for created in taken.results]
    pruned: Batch[list[Snapshot]] = Batch()
    if policy:
        pruned = prune_collections(names, catalog, policy, now=clock())
    return CreatedAndPruned(
        created=taken.results,
        dropped=tuple(snapshot for gone in pruned.results for snapshot in gone),
        failures=(*taken.failures, *pruned.failures),
    )


def _without_vanished(taken: Batch[Created], server: Server, progress: Progress) -> Batch[Created]:
    """Turn the failure of each collection that no longer exists into a note."""
    if not taken.failures:
        return taken
    try:
        here = server.collections.names()
    except TaskError:
        return taken
    for failure in taken.failures:
        if failure.name not in here:
            progress.note(f"{failure.name} was deleted meanwhile, so it has no new snapshot.")
    return replace(taken, failures=tuple(f for f in taken.failures if f.name in here))
