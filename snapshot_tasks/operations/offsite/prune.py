"""Applies retention off-site: plan first, then delete only what was planned."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from snapshot_tasks.domain.failure import Failure
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
from snapshot_tasks.offsite.needs import freed_bytes
from snapshot_tasks.offsite.repository import Repository, Unreadable
from snapshot_tasks.operations.batch import Batch, for_each
from snapshot_tasks.operations.offsite.listing import CORRECT_URL
from snapshot_tasks.operations.offsite.moving import Keys
from snapshot_tasks.operations.offsite.push import Pushed
from snapshot_tasks.operations.offsite.sparse import Sparse, find_sparse, rewrite
from snapshot_tasks.system.errors import NotFound
from snapshot_tasks.system.progress import Progress

PINNED, PINNED_HERE = "pinned", "pinned here"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemotePlan:
    """The plan for the snapshots of one collection in one place.

    `freed_bytes` is what nobody needs afterwards, once the plans before it in this place are
    carried out; None if it is not known.
    """

    repository: Repository
    plan: Plan
    freed_bytes: int | None = None

    @property
    def drops(self) -> tuple[Key, ...]:
        """The snapshots to delete."""
        collection = self.plan.collection
        return tuple(Key(collection=collection, snapshot=c.name) for c in self.plan.dropped)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A snapshot that was deleted, and where. Its size is that of the off-site copy."""

    url: str
    candidate: Candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class RemotePlans:
    """The plans for the snapshots in several places, and the places that did not respond.

    `misplaced` is that of a `Listing`, and `sparse` has the packs to write anew, by place.
    """

    plans: tuple[RemotePlan, ...]
    sparse: Mapping[str, Sparse] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    misplaced: tuple[str, ...] = ()


def plan_remote(
    repository: Repository,
    policy: Policy,
    *,
    collection: str | None = None,
    now: datetime,
    pinned: Collection[str] = (),
) -> list[RemotePlan]:
    """Decide for one collection, or for each collection in this place; nothing changes.

    `pinned` are the names of the snapshots pinned in the local folder. Their pins count at once,
    even if they were not pushed since. Snapshots whose marker cannot be read are never deleted.

    Raises:
        StorageError: if the place does not respond.
    """
    items = [i for i in repository.markers(collection) if not isinstance(i, Unreadable)]
    return _plans(repository, items, policy, now, pinned)


def _plans(
    repository: Repository,
    markers: Iterable[Marker],
    policy: Policy,
    now: datetime,
    pinned: Collection[str],
) -> list[RemotePlan]:
    by_collection: dict[str, list[Candidate]] = {}
    for marker in markers:
        by_collection.setdefault(marker.collection, []).append(_candidate(marker, pinned))
    return [
        RemotePlan(repository=repository, plan=plan_retention(name, candidates, policy, now=now))
        for name, candidates in sorted(by_collection.items())
    ]


def _with_freed(plans: Sequence[RemotePlan], markers: Sequence[Marker]) -> list[RemotePlan]:
    """Add what each plan frees; `markers` are all of the place, whose collections share packs."""
    gone: list[Key] = []
    before, found = 0, []
    for each in plans:
        gone += each.drops
        after = freed_bytes(markers, gone)
        found.append(replace(each, freed_bytes=after - before))
        before = after
    return found


def plan_places(
    repositories: Iterable[Repository],
    collections: Sequence[str] | None,
    policy: Policy,
    *,
    now: datetime,
    pinned: Collection[str] = (),
    keys: Keys | None = None,
) -> RemotePlans:
    """Decide in several places for these collections, or for all; nothing changes.

    With `keys`, also which packs to write anew.

    Raises:
        NotFound: if none of the requested collections is off-site.
        TaskError: the first place's error, if no place responded.
    """

    def plan_place(repository: Repository) -> list[RemotePlan]:
        items = list(repository.markers())
        markers = [item for item in items if not isinstance(item, Unreadable)]
        wanted = [m for m in markers if collections is None or m.collection in collections]
        plans = _plans(repository, wanted, policy, now, pinned)
        if len(markers) == len(items):
            plans = _with_freed(plans, markers)
            gone = {key for plan in plans for key in plan.drops}
            left = [marker for marker in markers if marker.key not in gone]
            if keys:
                found = find_sparse(repository, left, keys, collections=collections, now=now)
                sparse[repository.url] = found
        if not plans and (sentence := repository.misplaced()):
            misplaced.append(sentence)
        return plans

    misplaced: list[str] = []
    sparse: dict[str, Sparse] = {}
    planned = for_each(repositories, plan_place, name=lambda repository: repository.url)
    plans = tuple(plan for found in planned.results for plan in found)
    if not plans and planned.failures:
        raise planned.failures[0].error
    if not plans and misplaced:
        raise NotFound(" ".join(misplaced), hint=CORRECT_URL)
    if not plans:
        message = "There is no such snapshot off-site."
        raise NotFound(message, hint="Run `inv snapshot.list --remote` to list the copies.")
    return RemotePlans(
        plans=plans, sparse=sparse, failures=planned.failures, misplaced=tuple(misplaced)
    )


def prune_pushed(
    pushed: Iterable[Pushed],
    repositories: Iterable[Repository],
    policy: Policy,
    progress: Progress,
    *,
    now: datetime,
    pinned: Collection[str] = (),
    keys: Keys | None = None,
) -> Batch[Dropped]:
    """Delete old snapshots of the collections that were just pushed, in the same places.

    Consent was given before. Other collections in the same place are left alone: another machine
    may push them, and nothing is known about them here. With `keys`, packs of which little is
    needed afterwards are written anew, where everything could be deleted.
    """
    pushed = list(pushed)
    by_url = {repository.url: repository for repository in repositories}
    planned = for_each(
        dict.fromkeys((one.url, one.marker.collection) for one in pushed),
        lambda key: plan_remote(by_url[key[0]], policy, collection=key[1], now=now, pinned=pinned),
        name=lambda key: key[0],
    )
    plans = [plan for found in planned.results for plan in found]
    pruned = prune_remote(plans, policy, progress, now=now, pinned=pinned)
    failures = (*planned.failures, *pruned.failures)
    if keys and not failures:
        anew = for_each(
            by_url.values(),
            lambda repository: rewrite(
                None,
                repository,
                keys,
                progress,
                collections={one.marker.collection for one in pushed if one.url == repository.url},
                now=now,
            ),
            name=lambda repository: repository.url,
        )
        failures = anew.failures
    return replace(pruned, failures=failures)


def rewrite_places(
    planned: RemotePlans,
    pruned: Batch[Dropped],
    collections: Sequence[str] | None,
    keys: Keys,
    progress: Progress,
    *,
    now: datetime,
) -> Batch[int]:
    """Write the planned packs anew, but only where everything could be deleted before.

    Where the store protects what is old, the former packs would stay, and it would only get more.
    """
    failed = {failure.name for failure in pruned.failures}
    kept = {one.repository.url for one in planned.plans if failed & _names(one)}
    repositories = {each.repository.url: each.repository for each in planned.plans}

    def write(url: str) -> int:
        packs = planned.sparse[url].packs
        repository = repositories[url]
        return rewrite(packs, repository, keys, progress, collections=collections, now=now)

    urls = [url for url, sparse in planned.sparse.items() if sparse.packs and url not in kept]
    return for_each(urls, write, name=str)


def _names(each: RemotePlan) -> set[str]:
    return {each.repository.url, *(candidate.name for candidate in each.plan.dropped)}


def prune_remote(
    agreed: Sequence[RemotePlan],
    policy: Policy,
    progress: Progress,
    *,
    now: datetime,
    pinned: Collection[str] = (),
) -> Batch[Dropped]:
    """Delete the snapshots that both the confirmed plan and a new plan delete.

    Protected ones stay without stopping the others. Then remove leftovers of killed pushes.
    """

    def prune_place(each: RemotePlan) -> Batch[Dropped]:
        with progress.phase(f"pruning {each.plan.collection} in {each.repository.url}"):
            return _drop(each, _still_dropped(each, policy, now, pinned))

    repositories = {each.repository.url: each.repository for each in agreed}
    pruned = for_each(agreed, prune_place, name=lambda each: each.repository.url)
    swept = for_each(
        repositories.values(),
        lambda repository: (repository.sweep(now=now), repository.sweep_packs(now=now)),
        name=lambda repository: repository.url,
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
    """Plan again, because a snapshot that the first plan relied on may have been deleted since."""
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
        restored_at=marker.restored_at,
        sha256=marker.sha256,
        checked=MANIFEST in marker.beside,
        aside=REPLACED if marker.safety else FAILED if marker.failed_at else "",
        hold=hold,
    )
