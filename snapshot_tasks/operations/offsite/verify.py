"""Reads back what lies off-site, all of it or a sample, and tells which snapshots are damaged."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from snapshot_tasks.offsite.codec import Unpacker
from snapshot_tasks.offsite.layout import Key
from snapshot_tasks.offsite.marker import Blob, Marker
from snapshot_tasks.offsite.packs import PACKS
from snapshot_tasks.offsite.repository import Repository, Unreadable
from snapshot_tasks.offsite.scrubs import Scrub, read_scrubs, write_scrubs
from snapshot_tasks.operations.batch import Batch, for_each
from snapshot_tasks.system.behind import Behind
from snapshot_tasks.system.errors import Damaged, StorageError, TaskError
from snapshot_tasks.system.progress import Clock, Progress
from snapshot_tasks.system.units import counted

# How many objects are read side by side.
WIDTH = 3


@dataclass(frozen=True, slots=True)
class Object:
    """Something that lies off-site, and the snapshots that need it. A pack has no `blob`."""

    name: str
    stored_bytes: int
    blob: Blob | None = None
    needed_by: list[Marker] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteVerification:
    """What was seen in one place.

    `damaged` has each damaged object with the reason, `snapshots` what each snapshot misses by
    that. Of `unread_count` encrypted objects only the size was compared, for want of an identity.
    """

    url: str
    objects_count: int
    stored_bytes: int
    all_count: int
    damaged: dict[str, str]
    snapshots: dict[Key, list[str]]
    unread_count: int
    scrub: Scrub

    @property
    def error(self) -> TaskError | None:
        """The error that the damage amounts to, if there is any."""
        if not self.damaged:
            return None
        names = ", ".join(sorted(key.snapshot for key in self.snapshots))
        return Damaged(
            f"{self.url}: {counted(len(self.damaged), 'object')} missing or damaged, which"
            f" {counted(len(self.snapshots), 'snapshot')} need: {names}.",
            hint="Run `inv snapshot.push --all` where intact files of these snapshots are: it"
            " sends what is missing again.",
        )


def verify_places(
    repositories: Sequence[Repository],
    unpacker: Unpacker,
    progress: Progress,
    *,
    share: float = 1.0,
    clock: Clock,
) -> Batch[RemoteVerification]:
    """Verify several places; one that does not respond, or is damaged, does not stop the others."""
    return for_each(
        repositories,
        lambda repository: verify_place(repository, unpacker, progress, share=share, clock=clock),
        name=lambda repository: repository.url,
        error_of=lambda verification: verification.error,
    )


def verify_place(
    repository: Repository,
    unpacker: Unpacker,
    progress: Progress,
    *,
    share: float = 1.0,
    clock: Clock,
) -> RemoteVerification:
    """Read this share of all objects back, and compare each with its hash.

    A sample goes on where the last one has ended, so that ten runs of 10 % see everything. Objects
    that are damaged get a note, so that the next push sends what is in them again.

    Raises:
        StorageError: if the place does not respond.
    """
    begun, earlier = clock(), read_scrubs(repository.store)
    damaged: dict[str, str] = {}
    snapshots: dict[Key, list[str]] = {}
    listed = _listed(repository)
    objects = _objects(repository, listed, damaged, snapshots)
    chosen = _chosen(objects, earlier[-1].last if earlier else "", share)
    reader = _Reader(repository, unpacker, listed)
    label = f"reading {counted(len(chosen), 'object')} of {len(objects):,} in {repository.url}"
    with (
        progress.phase(label, total_bytes=sum(one.stored_bytes for one in chosen)) as advance,
        Behind(WIDTH) as behind,
    ):
        for one in chosen:
            behind.start(partial(reader.read, one))
            advance(one.stored_bytes)
    noted = repository.damaged()
    # Whoever cannot decrypt an object cannot tell that it is whole again.
    seen = {one.name for one in chosen} - (noted & set(reader.unread))
    # What is missing shows without reading.
    gone = {one.name: "it is missing" for one in objects if one.name not in listed}
    found = {**gone, **reader.damaged}
    for one in objects:
        if reason := found.get(one.name):
            damaged[one.name] = reason
            for marker in one.needed_by:
                snapshots.setdefault(marker.key, []).append(one.name)
    needed = {one.name for one in objects}
    known = {name for s in earlier[-1:] for name in s.damaged if name in needed} - seen
    scrub = _scrub(earlier, objects, chosen, sorted(known | damaged.keys()), begun)
    _note(repository, seen, damaged, noted, [*earlier, scrub], progress)
    return RemoteVerification(
        url=repository.url,
        objects_count=len(chosen),
        stored_bytes=sum(one.stored_bytes for one in chosen),
        all_count=len(objects),
        damaged=damaged,
        snapshots=snapshots,
        unread_count=len(reader.unread),
        scrub=scrub,
    )


class _Reader:
    """Reads objects, and remembers which are damaged, and which it cannot decrypt."""

    def __init__(self, repository: Repository, unpacker: Unpacker, listed: dict[str, int]) -> None:
        self.damaged: dict[str, str] = {}
        self.unread: list[str] = []
        self._repository = repository
        self._unpacker = unpacker
        self._listed = listed

    def read(self, one: Object) -> None:
        """Read one object, and compare it with its hash."""
        try:
            if one.name not in self._listed:
                return
            if self._listed[one.name] != one.stored_bytes:
                self.damaged[one.name] = "it has another size"
            elif one.blob is None:
                self._read_pack(one.name)
            elif one.blob.name.endswith(".age") and self._unpacker.identity_file is None:
                self.unread.append(one.name)
            else:
                self._repository.fetch(one.needed_by[0].key, one.blob, self._unpacker)
        except Damaged as error:
            self.damaged[one.name] = error.message

    def _read_pack(self, name: str) -> None:
        try:
            self._repository.packs.read_whole(name.removeprefix(f"{PACKS}/"))
        except Damaged:
            self.damaged[name] = "its bytes are not those that were stored"


def _objects(
    repository: Repository,
    listed: Mapping[str, int],
    damaged: dict[str, str],
    snapshots: dict[Key, list[str]],
) -> list[Object]:
    """Return everything that snapshots need, by name; note the markers that cannot be read."""
    found: dict[str, Object] = {}

    def need(name: str, stored_bytes: int, blob: Blob | None, marker: Marker) -> None:
        one = found.setdefault(name, Object(name, stored_bytes, blob))
        one.needed_by.append(marker)

    for item in repository.markers():
        if isinstance(item, Unreadable):
            damaged[item.key.marker] = item.error.message
            snapshots[item.key] = [item.key.marker]
            continue
        for blob in item.blobs:
            need(f"{item.key.folder}/{blob.name}", blob.stored_bytes, blob, item)
        for pack in item.packs:
            need(f"{PACKS}/{pack.name}", pack.stored_bytes, None, item)
    if snapshots:
        # A snapshot whose marker cannot be read may need any other pack.
        for name, size_bytes in listed.items():
            if name.startswith(f"{PACKS}/"):
                found.setdefault(name, Object(name, size_bytes, None))
    return [found[name] for name in sorted(found)]


def _listed(repository: Repository) -> dict[str, int]:
    folders: Iterator[str] = iter(("data", PACKS))
    return {s.name: s.size_bytes for folder in folders for s in repository.store.list(folder)}


def _chosen(objects: list[Object], last: str, share: float) -> list[Object]:
    """Return this share of all objects, the ones after the last that was seen, then from the first.

    The share is one of the bytes, because one small object tells little.
    """
    if share >= 1:
        return objects
    start = bisect_right([one.name for one in objects], last)
    wanted = math.ceil(share * sum(one.stored_bytes for one in objects))
    chosen: list[Object] = []
    for one in objects[start:] + objects[:start]:
        if wanted <= 0:
            break
        chosen.append(one)
        wanted -= one.stored_bytes
    return chosen


def _scrub(
    earlier: Sequence[Scrub],
    objects: list[Object],
    chosen: list[Object],
    damaged: list[str],
    begun: datetime,
) -> Scrub:
    before = earlier[-1] if earlier else None
    round_at = before.round_at if before else begun
    all_seen_at = before.all_seen_at if before else None
    last = chosen[-1].name if chosen else ""
    if len(chosen) == len(objects):
        round_at, all_seen_at = begun, begun
    elif before is None or not before.last:
        round_at = begun
    elif last <= before.last or last == objects[-1].name:
        # It has reached the last object, so the round is complete, and the next has begun.
        round_at, all_seen_at = begun, before.round_at
    if objects and last == objects[-1].name:
        # The next sample begins a round: nothing of it has been seen yet.
        last = ""
    return Scrub(
        at=begun,
        objects_count=len(chosen),
        stored_bytes=sum(one.stored_bytes for one in chosen),
        last=last,
        round_at=round_at,
        all_seen_at=all_seen_at,
        damaged=tuple(damaged),
    )


def _note(
    repository: Repository,
    seen: set[str],
    damaged: dict[str, str],
    noted: set[str],
    scrubs: list[Scrub],
    progress: Progress,
) -> None:
    """Leave in the place what was found; one that only can be read is told."""
    try:
        for name in sorted(seen & damaged.keys() - noted):
            repository.note_damaged(name)
        for name in sorted(seen & noted - damaged.keys()):
            repository.note_sound(name)
        write_scrubs(repository.store, scrubs)
    except StorageError as error:
        progress.note(
            f"What was found could not be recorded in {repository.url}: {error.message} Neither the"
            " next sample nor `inv snapshot.check` knows of it."
        )
