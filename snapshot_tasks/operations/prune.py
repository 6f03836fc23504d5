"""Apply retention to the snapshot folder: plan it, then do what was planned, and no more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.retention import (
    FAILED,
    REPLACED,
    Candidate,
    Plan,
    Policy,
    plan_retention,
)
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.operations.batch import Batch, for_each
from snapshot_tasks.system.errors import NotFound, SettingsError
from snapshot_tasks.system.process import shielded


def check_policy(policy: Policy) -> None:
    """Insist that some rule says what to keep. Raises `SettingsError` otherwise."""
    if policy.is_empty:
        raise SettingsError(
            "No rule says which snapshots to keep, so none is dropped.",
            hint="Set QDRANT_KEEP_DAILY and its like, or give --keep-daily and its like.",
        )


def pinned_names(catalog: Catalog) -> set[str]:
    """Return the names of the snapshots that are pinned in the snapshot folder."""
    return {entry.name for entry in catalog.entries() if entry.pin is not None}


def plan_all(
    catalog: Catalog, collections: Sequence[str] | None, policy: Policy, *, now: datetime
) -> list[Plan]:
    """Decide on the snapshots of these collections, or of all; nothing is touched.

    Raises:
        NotFound: when one of them, or the catalogue, has none.
    """
    if collections is None:
        collections = sorted({e.collection for e in catalog.entries() if e.collection})
    if not collections:
        raise NotFound("There is no snapshot.", hint="Take one with `inv snapshot.create`.")
    return [plan_prune(catalog, name, policy, now=now) for name in collections]


def plan_prune(catalog: Catalog, collection: str, policy: Policy, *, now: datetime) -> Plan:
    """Decide on the snapshots of one collection; nothing is touched.

    Raises:
        NotFound: when the collection has none.
    """
    entries = catalog.entries(collection)
    if not entries:
        raise NotFound(
            f"No snapshot of {collection} lies in {catalog.folder}.",
            hint="Name a collection that `inv snapshot.list` shows.",
        )
    held = catalog.held(collection)
    # That one stays as the newest; a second reason would only say the same.
    if not _aside(entries[0]):
        held.pop(entries[0].name, None)
    candidates = [_candidate(entry, held.get(entry.name, "")) for entry in entries]
    return plan_retention(collection, candidates, policy, now=now)


def prune(agreed: Plan, catalog: Catalog, policy: Policy, *, now: datetime) -> list[Snapshot]:
    """Drop what was agreed on, as far as a plan made now still drops it; return what went.

    The caller holds the catalogue's lock. Between the plan that somebody has agreed to and this,
    another run may have pinned or damaged what the plan relied on: so it is planned once more.

    Raises:
        StorageError: when the folder cannot be written.
    """
    catalog.finish_drops()
    agreed_names = {candidate.name for candidate in agreed.dropped}
    if not agreed_names:
        return []
    again = plan_prune(catalog, agreed.collection, policy, now=now)
    names = agreed_names & {candidate.name for candidate in again.dropped}
    gone: list[Snapshot] = []
    for entry in catalog.entries(agreed.collection):
        if entry.name in names:
            with shielded():
                catalog.drop(entry)
            gone.append(entry)
    return gone


def prune_each(
    agreed: Iterable[Plan], catalog: Catalog, policy: Policy, *, now: datetime
) -> Batch[list[Snapshot]]:
    """Drop what was agreed on of several collections; one that fails stops no other.

    The caller holds the catalogue's lock.
    """
    return for_each(
        agreed,
        lambda plan: prune(plan, catalog, policy, now=now),
        name=lambda plan: plan.collection,
    )


def prune_collections(
    collections: Iterable[str], catalog: Catalog, policy: Policy, *, now: datetime
) -> Batch[list[Snapshot]]:
    """Plan and prune at once, where consent was given beforehand; one failure stops no other.

    The caller holds the catalogue's lock.
    """

    def work(collection: str) -> list[Snapshot]:
        plan = plan_prune(catalog, collection, policy, now=now)
        return prune(plan, catalog, policy, now=now)

    return for_each(collections, work, name=lambda collection: f"{collection}, pruning")


def _candidate(entry: Snapshot, held: str) -> Candidate:
    return Candidate(
        name=entry.name,
        created_at=entry.created_at,
        size_bytes=entry.size_bytes,
        proven_at=entry.proven_at,
        checked=entry.manifest is not None,
        aside=_aside(entry),
        hold=held or _hold(entry),
    )


def _aside(entry: Snapshot) -> str:
    if entry.is_safety:
        return REPLACED
    if entry.manifest and not entry.has_its_size:
        return "is not as long as it was taken: look at it"
    if entry.manifest and entry.manifest.points_count == 0:
        return "holds no point: look at it"
    return FAILED if entry.failed_at else ""


def _hold(entry: Snapshot) -> str:
    if entry.pin is not None:
        return f"pinned: {entry.pin}" if entry.pin else "pinned"
    return "its manifest cannot be read" if entry.manifest_problem else ""
