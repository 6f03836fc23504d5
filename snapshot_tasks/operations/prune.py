"""Apply retention to the snapshot folder: make a plan, then delete only what is in the plan."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import datetime

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.checks.promises import by_collection
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
    """Require at least one rule. Raises `SettingsError` if there is none."""
    if policy.is_empty:
        raise SettingsError(
            "There is no retention rule, so nothing was deleted.",
            hint="Set QDRANT_KEEP_DAILY or another QDRANT_KEEP_... rule, or pass `--keep-daily` or"
            " a similar flag.",
        )


def pinned_names(catalog: Catalog) -> set[str]:
    """Return the names of the snapshots that are pinned in the snapshot folder."""
    return {entry.name for entry in catalog.entries() if entry.pin is not None}


def plan_all(
    catalog: Catalog, collections: Sequence[str] | None, policy: Policy, *, now: datetime
) -> list[Plan]:
    """Plan for the snapshots of these collections, or of all; nothing is changed.

    Raises:
        NotFound: if one of them, or the catalogue, has no snapshots.
    """
    entries = by_collection(catalog.entries())
    if collections is None:
        collections = sorted(entries)
    if not collections:
        raise NotFound("There are no snapshots.", hint="Take one with `inv snapshot.create`.")
    return [_plan(catalog, name, entries.get(name, []), policy, now=now) for name in collections]


def plan_prune(catalog: Catalog, collection: str, policy: Policy, *, now: datetime) -> Plan:
    """Plan for the snapshots of one collection; nothing is changed.

    Raises:
        NotFound: if the collection has no snapshots.
    """
    return _plan(catalog, collection, catalog.entries(collection), policy, now=now)


def _plan(
    catalog: Catalog,
    collection: str,
    entries: Sequence[Snapshot],
    policy: Policy,
    *,
    now: datetime,
) -> Plan:
    if not entries:
        raise NotFound(
            f"There is no snapshot of {collection} in {catalog.folder}.",
            hint="Use a collection that `inv snapshot.list` shows.",
        )
    held = catalog.held(collection)
    # The newest is always kept, so a second reason would add nothing.
    if not _aside(entries[0]):
        held.pop(entries[0].name, None)
    candidates = [_candidate(entry, held.get(entry.name, "")) for entry in entries]
    return plan_retention(collection, candidates, policy, now=now)


def prune(agreed: Plan, catalog: Catalog, policy: Policy, *, now: datetime) -> list[Snapshot]:
    """Delete the snapshots that both the confirmed plan and a new plan delete; return them.

    The caller must hold the catalogue's lock. A new plan is needed because another run may have
    pinned or damaged snapshots after the user confirmed the first plan.

    Raises:
        StorageError: if the folder cannot be written.
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
    """Carry out the confirmed plans of several collections, and continue after a failure.

    The caller must hold the catalogue's lock.
    """
    return for_each(
        agreed,
        lambda plan: prune(plan, catalog, policy, now=now),
        name=lambda plan: plan.collection,
    )


def prune_collections(
    collections: Iterable[str], catalog: Catalog, policy: Policy, *, now: datetime
) -> Batch[list[Snapshot]]:
    """Plan and prune without asking, and continue after a failure.

    The caller must hold the catalogue's lock.
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
        restored_at=entry.restored_at,
        sha256=entry.sha256,
        checked=entry.manifest is not None,
        aside=_aside(entry),
        hold=held or _hold(entry),
    )


def _aside(entry: Snapshot) -> str:
    if entry.is_safety:
        return REPLACED
    if entry.manifest and not entry.has_its_size:
        return "its size differs from its manifest: check it"
    if entry.is_rewritten:
        return "was written to after it was catalogued: verify it"
    if entry.manifest and entry.manifest.points_count == 0:
        return "has no points: check it"
    return FAILED if entry.failed_at else ""


def _hold(entry: Snapshot) -> str:
    if entry.pin is not None:
        return f"pinned: {entry.pin}" if entry.pin else "pinned"
    if entry.path.is_symlink():
        return f"a link to {os.readlink(entry.path)}: delete both by hand"
    return "its manifest cannot be read" if entry.manifest_problem else ""
