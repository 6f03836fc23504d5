"""One store with our layout in it: list, fetch, delete and clean up snapshots."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from snapshot_tasks.offsite.codec import OVERHEAD_BYTES, Unpacker
from snapshot_tasks.offsite.index import Index, parse_index
from snapshot_tasks.offsite.layout import (
    DATA,
    INDEX,
    MANIFEST,
    PARTS,
    WHOLE,
    Key,
    data_of,
    is_blob_name,
    markers_of,
    parse_data_name,
    parse_marker_name,
)
from snapshot_tasks.offsite.marker import MAX_MARKER_BYTES, Blob, Marker, parse_marker
from snapshot_tasks.offsite.nearest import nearest_place
from snapshot_tasks.offsite.pack_store import (
    ABANDONED_AFTER,
    DAMAGED,
    NOTE,
    PackStore,
    delete_each,
    read_object,
)
from snapshot_tasks.storage.base import Store, Stored
from snapshot_tasks.storage.stores import open_store
from snapshot_tasks.system.errors import Damaged, NotFound, Refused, StorageError, TaskError
from snapshot_tasks.system.untrusted import printable

_HINT = (
    "Pull an older snapshot or another copy, or repair this one from an intact file with "
    "`inv snapshot.push --again`."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A marker that cannot be used, and why."""

    key: Key
    error: TaskError


@dataclass(frozen=True, slots=True)
class Repository:
    """A store of pushed snapshots; `open_place` opens another one with the same credentials."""

    store: Store
    open_place: Callable[[str], Store] | None = None

    @property
    def packs(self) -> PackStore:
        """The packs that the snapshots share."""
        return PackStore(self.store)

    @property
    def url(self) -> str:
        """The URL of the store."""
        return self.store.url

    def collections(self) -> set[str]:
        """Return the collections that have a snapshot here, without reading any marker.

        Raises:
            StorageError: if the store does not respond.
        """
        return {key.collection for key in self.keys()}

    def keys(self, collection: str | None = None) -> Iterator[Key]:
        """Yield the snapshots that have a marker, without reading any.

        Raises:
            StorageError: if the store does not respond.
        """
        keys = (
            parse_marker_name(stored.name) for stored in self.store.list(markers_of(collection))
        )
        return (key for key in keys if key)

    def misplaced(self) -> str | None:
        """Return a sentence that names the place which was meant, if this one is empty.

        Raises:
            StorageError: if the store does not respond.
        """
        if self.open_place is None or self.collections():
            return None
        near = nearest_place(self.url, self.open_place)
        return near and f"{self.url} has no snapshots, but {printable(near)} has some."

    def markers(self, collection: str | None = None) -> Iterator[Marker | Unreadable]:
        """Yield the snapshots of one collection or of all, in any order.

        Raises:
            StorageError: if the store does not respond.
        """
        for key in self.keys(collection):
            try:
                marker = self.find(key)
            except (Damaged, Refused) as error:
                yield Unreadable(key=key, error=error)
                continue
            if marker:
                yield marker

    def find(self, key: Key) -> Marker | None:
        """Return the marker of a snapshot; None if it was not pushed completely.

        Raises:
            Damaged: if it cannot be read.
            Refused: if a newer version wrote it.
        """
        try:
            data = self._read(key.marker, max_bytes=MAX_MARKER_BYTES)
        except NotFound:
            return None
        return parse_marker(data, key)

    def present(self, key: Key) -> dict[str, Stored]:
        """Return the objects of a snapshot, by name below its folder."""
        prefix = f"{key.folder}/"
        listed = self.store.list(key.folder)
        return {s.name.removeprefix(prefix): s for s in listed if s.name.startswith(prefix)}

    def damaged(self, folder: str = "") -> set[str]:
        """Return the objects, below a folder, that somebody has found damaged."""
        below = f"{DAMAGED}/{folder}".rstrip("/")
        return {s.name.removeprefix(f"{DAMAGED}/") for s in self.store.list(below)}

    def note_damaged(self, name: str) -> None:
        """Note that an object is damaged, so that no push relies on it."""
        self.store.write(f"{DAMAGED}/{name}", NOTE)

    def note_sound(self, name: str) -> None:
        """Remove the note that an object is damaged."""
        self.store.delete(f"{DAMAGED}/{name}")

    def fetch(self, key: Key, blob: Blob, unpacker: Unpacker) -> bytes:
        """Return the plain bytes of one object, and check that they are those that were sent.

        Raises:
            Damaged: if they are not, or if the object is missing.
        """
        try:
            stored = self._read(
                f"{key.folder}/{blob.name}", max_bytes=blob.size_bytes + OVERHEAD_BYTES
            )
        except NotFound:
            raise Damaged(
                f"{printable(key.snapshot)} is incomplete in {self.url}: {blob.name} is missing.",
                hint=_HINT,
            ) from None
        plain = unpacker.unpack(blob.name, stored, max_bytes=blob.size_bytes)
        if len(plain) != blob.size_bytes or hashlib.sha256(plain).hexdigest() != blob.sha256:
            raise Damaged(
                f"{printable(key.snapshot)} is damaged in {self.url}: {blob.name} differs from"
                " what was pushed.",
                hint=_HINT,
            )
        return plain

    def index_of(self, marker: Marker, blob: Blob, unpacker: Unpacker) -> Index:
        """Return where the blocks of a snapshot lie; `blob` is the index in its marker.

        Raises:
            Damaged: if the index is, or does not fit the marker.
        """
        index = parse_index(self.fetch(marker.key, blob, unpacker), marker.snapshot)
        listed = {pack.name for pack in marker.packs}
        if index.size_bytes != marker.size_bytes or not listed.issuperset(index.packs):
            raise Damaged(
                f"The off-site index of {printable(marker.snapshot)} does not fit its marker.",
                hint=_HINT,
            )
        return index

    def drop(self, key: Key) -> None:
        """Delete a snapshot. The marker goes before its data, so that no half is ever visible.

        Raises:
            Protected: if the store keeps an object. An object kept without a marker is removed by a
                later cleanup.
        """
        self.store.delete(f"{key.folder}/{WHOLE}")
        self.store.delete(key.marker)
        for name in sorted(self.present(key), key=_order_of_dropping):
            self.store.delete(f"{key.folder}/{name}")
        for name in self.damaged(key.folder):
            self.note_sound(name)
        # A push in the meantime has made visible what has now been deleted.
        self.store.delete(key.marker)
        self.store.delete(f"{key.folder}/{WHOLE}")

    def sweep(self, *, now: datetime, collection: str | None = None) -> int:
        """Delete our data that has no marker and has not changed for a long time.

        What is written after the marker is deleted before it, so if it is there, the snapshot is
        complete and only its marker was lost. Such a snapshot is kept, and so are objects with
        other names than ours. Returns how many objects were deleted.

        Raises:
            Protected: if the store keeps an object, after all others.
        """
        groups = self._data(collection)
        leftovers: list[str] = []
        for key, objects in groups.items():
            old = [o for o in objects if now - o.modified_at >= ABANDONED_AFTER]
            if not old:
                continue
            try:
                marker = self.find(key)
            except (Damaged, Refused):
                continue
            if marker is None and (
                len(old) < len(objects) or _was_whole([o.name for o in objects], key)
            ):
                continue
            needed = {WHOLE, *(blob.name for blob in marker.blobs)} if marker else set()
            kept = {f"{key.folder}/{name}" for name in needed}
            leftovers += [stored.name for stored in old if stored.name not in kept]
        return delete_each(self.store, [(name,) for name in leftovers])

    def sweep_packs(self, *, now: datetime) -> int:
        """Delete packs that no snapshot has needed for a week; return how many.

        Nothing is deleted while it is not sure what is needed: if a marker cannot be read, or has
        been lost.

        Raises:
            StorageError: if it is not sure, or the store keeps something (`Protected`).
        """
        needed: set[str] = set()
        whole = {
            key
            for key, objects in self._data(None).items()
            if _was_of_blocks([o.name.removeprefix(f"{key.folder}/") for o in objects])
        }
        for item in self.markers():
            if isinstance(item, Unreadable):
                raise StorageError(
                    f"{item.error.message} No packs were deleted.", hint=item.error.hint
                )
            needed.update(pack.name for pack in item.packs)
            whole.discard(item.key)
        # Another machine may have deleted some of them in the meantime.
        if still := [key for key in whole if _was_of_blocks(self.present(key))]:
            lost = min(printable(key.snapshot) for key in still)
            raise StorageError(
                f"{self.url} has lost the marker of {lost}, so no packs were deleted.",
                hint=f"Push {lost} again, or delete its folder below {DATA}/.",
            )
        return self.packs.sweep(needed, now=now)

    def _data(self, collection: str | None) -> dict[Key, list[Stored]]:
        groups: dict[Key, list[Stored]] = {}
        for stored in self.store.list(data_of(collection)):
            parsed = parse_data_name(stored.name)
            if parsed and is_blob_name(parsed[1]):
                groups.setdefault(parsed[0], []).append(stored)
        return groups

    def _read(self, name: str, *, max_bytes: int) -> bytes:
        return read_object(self.store, name, max_bytes)


def open_repository(
    url: str, variables: Mapping[str, str], *, at: datetime | None = None
) -> Repository:
    """Return the repository at a URL or a path, without contacting it; or as it was `at` a time.

    Raises:
        Refused: if this kind of store cannot be read as it was.
        SettingsError: if the URL is wrong, or a variable has an impossible value.
    """
    open_place = partial(open_store, variables=variables, at=at)
    return Repository(open_place(url), open_place)


def _order_of_dropping(name: str) -> tuple[bool, bool]:
    """First what makes data without a marker count as whole (`_was_whole`), parts last."""
    return name.startswith(f"{PARTS}/"), name != WHOLE


def _was_whole(names: Sequence[str], key: Key) -> bool:
    """Return whether data was a visible snapshot, of blocks or of an earlier version's parts."""
    own = [name.removeprefix(f"{key.folder}/") for name in names]
    if _was_of_blocks(own):
        return True
    has_manifest = any(name.startswith(f"{MANIFEST.partition('.')[0]}-") for name in own)
    has_parts = any(name.startswith(f"{PARTS}/") for name in own)
    return has_manifest and has_parts


def _was_of_blocks(own: Collection[str]) -> bool:
    """Return whether these objects of one snapshot are those of a visible one of blocks."""
    return WHOLE in own and any(name.startswith(f"{INDEX}-") for name in own)
