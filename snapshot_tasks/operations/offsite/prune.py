"""Apply retention off-site: plan it, then do what was planned there, and no more."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from snapshot_tasks.domain.retention import (
    FAILED,
    REPLACED,
    Candidate,
    Plan,
    Policy,
    plan_retention,
)
from snapshot_tasks.offsite.layout import MANIFEST, Key
from snapshot_tasks.offsite.marker import Marker
from snapshot_tasks.offsite.repository import Repository, Unreadable
from snapshot_tasks.operations.batch import Batch, for_each
from snapshot_tasks.system.progress import Progress

PINNED, PINNED_HERE = "pinned", "pinned here"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemotePlan:
    """What is to become of the snapshots of one collection in one place."""

    repository: Repository
    plan: Plan

    @property
    def drops(self) -> tuple[Key, ...]:
        """The snapshots that are to go."""
        collection = self.plan.collection
        return tuple(Key(collection=collection, snapshot=c.name) for c in self.plan.dropped)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A snapshot that was deleted, and where. Its size is the one off-site."""

    url: str
    candidate: Candidate


def plan_remote(
    repository: Repository,
    policy: Policy,
    *,
    collection: str | None = None,
    now: datetime,
    pinned: Collection[str] = (),
) -> list[RemotePlan]:
    """Decide for one collection, or for each that lies in this place; nothing changes.

    `pinned` are the names of those that are pinned in the snapshot folder: their pins hold at
    once, also where they have not been pushed since. What cannot be read is no candidate: it is
    never dropped.

    Raises:
        StorageError: when the place does not answer.
    """
    by_collection: dict[str, list[Candidate]] = {}
    for item in repository.markers(collection):
        if not isinstance(item, Unreadable):
            by_collection.setdefault(item.collection, []).append(_candidate(item, pinned))
    return [
        RemotePlan(repository=repository, plan=plan_retention(name, candidates, policy, now=now))
        for name, candidates in sorted(by_collection.items())
    ]


def prune_remote(
    agreed: Sequence[RemotePlan],
    policy: Policy,
    progress: Progress,
    *,
    now: datetime,
    pinned: Collection[str] = (),
) -> Batch[Dropped]:
    """Drop what was agreed on, as far as a plan made now still drops it.

    What is protected there stays, and stops no other. Then what killed pushes have left is swept.
    """

    def prune_place(each: RemotePlan) -> Batch[Dropped]:
        with progress.phase(f"pruning {each.plan.collection} in {each.repository.url}"):
            return _drop(each, _still_dropped(each, policy, now, pinned))

    places = {each.repository.url: each.repository for each in agreed}
    pruned = for_each(agreed, prune_place, name=lambda each: each.repository.url)
    swept = for_each(
        places.values(), lambda place: place.sweep(now=now), name=lambda place: place.url
    )
    dropped = [one for batch in pruned.results for one in batch.results]
    kept = [failure for batch in pruned.results for failure in batch.failures]
    return Batch(results=tuple(dropped), failures=(*pruned.failures, *kept, *swept.failures))


def _drop(each: RemotePlan, still: Collection[Key]) -> Batch[Dropped]:
    def drop(pair: tuple[Candidate, Key]) -> Dropped:
        each.repository.drop(pair[1])
        return Dropped(url=each.repository.url, candidate=pair[0])

    pairs = [p for p in zip(each.plan.dropped, each.drops, strict=True) if p[1] in still]
    return for_each(pairs, drop, name=lambda pair: pair[1].snapshot)


def _still_dropped(
    agreed: RemotePlan, policy: Policy, now: datetime, pinned: Collection[str]
) -> set[Key]:
    """Plan again: somebody may have deleted meanwhile what the first plan relied on."""
    collection = agreed.plan.collection
    again = plan_remote(agreed.repository, policy, collection=collection, now=now, pinned=pinned)
    return {key for each in again for key in each.drops}


def _candidate(marker: Marker, pinned: Collection[str]) -> Candidate:
    hold = PINNED if marker.pinned else PINNED_HERE if marker.snapshot in pinned else ""
    return Candidate(
        name=marker.snapshot,
        created_at=marker.created_at,
        size_bytes=marker.stored_bytes,
        proven_at=marker.proven_at,
        checked=MANIFEST in marker.beside,
        aside=REPLACED if marker.safety else FAILED if marker.failed_at else "",
        hold=hold,
    )
