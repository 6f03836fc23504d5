"""What retention needs to know of the snapshots off-site, and how it drops them there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from snapshot_tasks.errors import TaskError
from snapshot_tasks.models import Progress
from snapshot_tasks.offsite.depot import Depot, Unreadable
from snapshot_tasks.offsite.layout import MANIFEST, Key
from snapshot_tasks.offsite.marker import Marker
from snapshot_tasks.retention import Candidate, Decision, Policy, plan_retention

ASIDE = "holds what a restore replaced"
PINNED = "pinned"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemotePlan:
    """What is to become of the snapshots of one collection in one place."""

    depot: Depot
    collection: str
    decisions: tuple[Decision, ...]

    @property
    def drops(self) -> tuple[Key, ...]:
        """The snapshots that are to go."""
        return tuple(
            Key(collection=self.collection, snapshot=d.candidate.name)
            for d in self.decisions
            if not d.keep
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DropResult:
    """What has gone, how many abandoned objects were swept, and the error of each that stays."""

    dropped: tuple[Key, ...]
    swept_count: int
    errors: tuple[tuple[str, TaskError], ...]


def remote_candidates(depot: Depot, collection: str) -> list[Candidate]:
    """Return what retention decides on. What cannot be read is none: it is never dropped."""
    return [
        _candidate(item) for item in depot.markers(collection) if not isinstance(item, Unreadable)
    ]


def plan_remote(
    depot: Depot, policy: Policy, *, collection: str | None = None, now: datetime
) -> list[RemotePlan]:
    """Decide for one collection, or for each that lies in this place; nothing changes.

    Raises:
        StorageError: when the place does not answer.
    """
    by_collection: dict[str, list[Candidate]] = {}
    for item in depot.markers(collection):
        if not isinstance(item, Unreadable):
            by_collection.setdefault(item.collection, []).append(_candidate(item))
    return [
        RemotePlan(
            depot=depot, collection=name, decisions=plan_retention(candidates, policy, now=now)
        )
        for name, candidates in sorted(by_collection.items())
    ]


def drop_remote(
    depot: Depot, keys: Iterable[Key], progress: Progress, *, now: datetime
) -> DropResult:
    """Drop these, then sweep what killed pushes have left; one that is protected stops no other."""
    dropped: list[Key] = []
    errors: list[tuple[str, TaskError]] = []
    swept_count = 0
    with progress.phase(f"pruning {depot.url}"):
        for key in keys:
            try:
                depot.drop(key)
                dropped.append(key)
            except TaskError as error:
                errors.append((key.snapshot, error))
        try:
            swept_count = depot.sweep(now=now)
        except TaskError as error:
            errors.append((depot.url, error))
    return DropResult(dropped=tuple(dropped), swept_count=swept_count, errors=tuple(errors))


def carry_out(
    plans: Sequence[RemotePlan], progress: Progress, *, now: datetime
) -> list[tuple[Depot, DropResult]]:
    """Carry out the plans, place by place."""
    by_depot: dict[str, tuple[Depot, list[Key]]] = {}
    for plan in plans:
        by_depot.setdefault(plan.depot.url, (plan.depot, []))[1].extend(plan.drops)
    return [
        (depot, drop_remote(depot, keys, progress, now=now)) for depot, keys in by_depot.values()
    ]


def _candidate(marker: Marker) -> Candidate:
    return Candidate(
        name=marker.snapshot,
        created_at=marker.created_at,
        size_bytes=marker.stored_bytes,
        proven_at=marker.proven_at,
        checked=MANIFEST in marker.beside,
        aside=ASIDE if marker.safety else "",
        hold=PINNED if marker.pinned else "",
    )
