"""Apply retention to the snapshot folder: plan it, then do what was planned, and no more."""

from __future__ import annotations

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
from snapshot_tasks.system.errors import NotFound
from snapshot_tasks.system.process import shielded


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
