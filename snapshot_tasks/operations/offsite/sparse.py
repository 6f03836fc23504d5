"""Writes packs anew of which little is needed, so that what lies off-site stays small."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from snapshot_tasks.offsite.index import Index
from snapshot_tasks.offsite.layout import Key
from snapshot_tasks.offsite.marker import Marker
from snapshot_tasks.offsite.pack_store import ABANDONED_AFTER
from snapshot_tasks.offsite.packs import PACKS, ending_of
from snapshot_tasks.offsite.repository import Repository, Unreadable
from snapshot_tasks.operations.offsite.moving import Keys, Mover
from snapshot_tasks.system.errors import Damaged, Refused, SettingsError
from snapshot_tasks.system.progress import Progress
from snapshot_tasks.system.units import counted

# A pack is written anew if less than this share of it is needed.
SPARSE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Sparse:
    """The packs of one place to write anew, by their stored bytes, and how many are needed.

    `markers` and `indexes` are those of the snapshots that need some of them.
    """

    packs: Mapping[str, int] = field(default_factory=dict)
    needed_bytes: int = 0
    markers: tuple[Marker, ...] = ()
    indexes: Mapping[Key, Index] = field(default_factory=dict)

    @property
    def stored_bytes(self) -> int:
        """How much they take now."""
        return sum(self.packs.values())


def find_sparse(
    repository: Repository,
    markers: Sequence[Marker],
    keys: Keys,
    *,
    collections: Collection[str] | None,
    now: datetime,
) -> Sparse:
    """Return the packs of which less than half is needed by these snapshots, all of a place.

    Only packs that this machine can read, that are encrypted as it encrypts, that are older than
    what a push in progress may rely on, and that no other collection needs. Nothing changes.

    Raises:
        StorageError: if the place does not respond.
    """
    ending, users = keys.packer.ending, defaultdict[str, set[str]](set)
    for marker in markers:
        for pack in marker.packs:
            users[pack.name].add(marker.collection)
    old = {
        stored.name.removeprefix(f"{PACKS}/"): stored.size_bytes
        for stored in repository.store.list(PACKS)
        if now - stored.modified_at >= ABANDONED_AFTER
    }
    chosen = {
        name: old[name]
        for name, named in users.items()
        if name in old and ending_of(name) == ending
        if collections is None or named.issubset(collections)
    }
    if not chosen or (keys.packer.recipients and keys.unpacker.identity_file is None):
        return Sparse()
    try:
        indexes = {
            marker.key: repository.index_of(marker, marker.index, keys.unpacker)
            for marker in markers
            if marker.index and any(pack.name in chosen for pack in marker.packs)
        }
    except (Damaged, Refused, SettingsError):
        # It is not sure what is needed. Whoever can, verifies the place.
        return Sparse()
    places = {one.place for index in indexes.values() for one in index.lying()}
    needed = dict.fromkeys(chosen, 0)
    for place in places:
        if place.pack in needed:
            needed[place.pack] += place.stored_bytes
    packs = {n: size for n, size in chosen.items() if 0 < needed[n] < SPARSE * size}
    return Sparse(
        packs=packs,
        needed_bytes=sum(needed[name] for name in packs),
        markers=tuple(m for m in markers if any(pack.name in packs for pack in m.packs)),
        indexes=indexes,
    )


def rewrite(
    agreed: Collection[str] | None,
    repository: Repository,
    keys: Keys,
    progress: Progress,
    *,
    collections: Collection[str] | None,
    now: datetime,
) -> int:
    """Write the agreed packs, or all, anew that are still sparse; return how many.

    From then on no push relies on the former ones, which go a week later.

    Raises:
        Damaged: if one of them cannot be read.
        StorageError: if the place cannot be written.
    """
    items = list(repository.markers())
    markers = [item for item in items if not isinstance(item, Unreadable)]
    if len(markers) < len(items):
        return 0
    found = find_sparse(repository, markers, keys, collections=collections, now=now)
    packs = {name for name in found.packs if agreed is None or name in agreed}
    if not packs:
        return 0
    mover = Mover(repository, keys)
    with progress.phase(f"writing {counted(len(packs), 'pack')} anew in {repository.url}"):
        for marker in found.markers:
            if any(pack.name in packs for pack in marker.packs):
                mover.move(marker, found.indexes[marker.key], packs)
        repository.sweep_packs(now=now)
    return len(packs)
