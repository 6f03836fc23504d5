"""One store with our layout in it: what is there, fetched, dropped and swept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from snapshot_tasks.offsite.codec import OVERHEAD_BYTES, Unpacker
from snapshot_tasks.offsite.layout import (
    MANIFEST,
    PARTS,
    Key,
    data_of,
    is_blob_name,
    markers_of,
    parse_data_name,
    parse_marker_name,
)
from snapshot_tasks.offsite.marker import MAX_MARKER_BYTES, Blob, Marker, parse_marker
from snapshot_tasks.storage.base import Store, Stored
from snapshot_tasks.system.errors import Damaged, NotFound, Refused, TaskError
from snapshot_tasks.system.untrusted import printable

# What has no marker after so long belongs to no push that still runs.
ABANDONED_AFTER = timedelta(days=7)
_HINT = (
    "Pull an older one or another copy; `inv snapshot.push --again` repairs it from a sound file."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A marker that cannot be used, and why."""

    key: Key
    error: TaskError


@dataclass(frozen=True, slots=True)
class Repository:
    """A store of pushed snapshots."""

    store: Store

    @property
    def url(self) -> str:
        """Where it is."""
        return self.store.url

    def markers(self, collection: str | None = None) -> Iterator[Marker | Unreadable]:
        """Yield what is there, of one collection or of all, in no order.

        Raises:
            StorageError: when the store does not answer.
        """
        for stored in self.store.list(markers_of(collection)):
            key = parse_marker_name(stored.name)
            if key is None:
                continue
            try:
                marker = self.find(key)
            except (Damaged, Refused) as error:
                yield Unreadable(key=key, error=error)
                continue
            if marker:
                yield marker

    def find(self, key: Key) -> Marker | None:
        """Return the marker of a snapshot; None when it was not pushed, or not to its end.

        Raises:
            Damaged: when it is not readable.
            Refused: when a newer version wrote it.
        """
        try:
            data = self._read(key.marker, max_bytes=MAX_MARKER_BYTES)
        except NotFound:
            return None
        return parse_marker(data, key)

    def present(self, key: Key) -> dict[str, Stored]:
        """Return what is there of a snapshot, by name below its folder."""
        prefix = f"{key.folder}/"
        listed = self.store.list(key.folder)
        return {s.name.removeprefix(prefix): s for s in listed if s.name.startswith(prefix)}

    def fetch(self, key: Key, blob: Blob, unpacker: Unpacker) -> bytes:
        """Return the plain bytes of one object, which are those that were sent.

        Raises:
            Damaged: when they are not, or it is gone.
        """
        try:
            stored = self._read(
                f"{key.folder}/{blob.name}", max_bytes=blob.size_bytes + OVERHEAD_BYTES
            )
        except NotFound:
            raise Damaged(
                f"{printable(key.snapshot)} is incomplete in {self.url}: {blob.name} is gone.",
                hint=_HINT,
            ) from None
        plain = unpacker.unpack(blob.name, stored, max_bytes=blob.size_bytes)
        if len(plain) != blob.size_bytes or hashlib.sha256(plain).hexdigest() != blob.sha256:
            raise Damaged(
                f"{printable(key.snapshot)} is damaged in {self.url}: {blob.name} is not what was"
                " pushed.",
                hint=_HINT,
            )
        return plain

    def drop(self, key: Key) -> None:
        """Delete a snapshot. The marker goes first, so that half of one is never seen.

        Raises:
            Protected: when the store keeps something; what it keeps without a marker is swept when
                it no longer does.
        """
        self.store.delete(key.marker)
        # What is beside the parts goes first: with a manifest, what has no marker is never swept.
        for name in sorted(self.present(key), key=lambda name: name.startswith(f"{PARTS}/")):
            self.store.delete(f"{key.folder}/{name}")
        # A push in between has made visible what is gone now.
        self.store.delete(key.marker)

    def sweep(self, *, now: datetime, collection: str | None = None) -> int:
        """Delete pushed data that no marker refers to and nobody has added to for long.

        A manifest comes last, and goes first: where one is, all of a snapshot is, and only its
        marker was lost. That is left alone, and so is what bears other names than ours. Returns how
        many objects went.
        """
        groups: dict[Key, list[Stored]] = {}
        for stored in self.store.list(data_of(collection)):
            parsed = parse_data_name(stored.name)
            if parsed and is_blob_name(parsed[1]):
                groups.setdefault(parsed[0], []).append(stored)
        swept = 0
        for key, objects in groups.items():
            old = [o for o in objects if now - o.modified_at >= ABANDONED_AFTER]
            if not old:
                continue
            try:
                marker = self.find(key)
            except (Damaged, Refused):
                continue
            if marker is None and (len(old) < len(objects) or _was_whole(key, objects)):
                continue
            kept = {f"{key.folder}/{blob.name}" for blob in marker.blobs} if marker else set()
            for stored in old:
                if stored.name not in kept:
                    self.store.delete(stored.name)
                    swept += 1
        return swept

    def _read(self, name: str, *, max_bytes: int) -> bytes:
        data = bytearray()
        for chunk in self.store.read(name):
            data += chunk
            if len(data) > max_bytes:
                raise Damaged(f"{name} in {self.url} is larger than it may be.", hint=_HINT)
        return bytes(data)


def _was_whole(key: Key, objects: Sequence[Stored]) -> bool:
    stem = f"{key.folder}/{MANIFEST.partition('.')[0]}-"
    return any(stored.name.startswith(stem) for stored in objects)
