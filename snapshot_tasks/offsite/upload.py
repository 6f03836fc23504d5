"""Uploads one snapshot block by block; it becomes visible only once it is complete."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterable, Mapping, Sized
from datetime import UTC, datetime
from functools import cached_property

from snapshot_tasks.offsite.codec import Packer
from snapshot_tasks.offsite.index import Index
from snapshot_tasks.offsite.known import Known
from snapshot_tasks.offsite.layout import INDEX, WHOLE, Key
from snapshot_tasks.offsite.marker import Blob, Marker, Pack
from snapshot_tasks.offsite.pack_store import ABANDONED_AFTER, NOTE
from snapshot_tasks.offsite.packing import WIDTH, Packing
from snapshot_tasks.offsite.packs import PACK_BYTES, PACKS
from snapshot_tasks.offsite.repository import Repository
from snapshot_tasks.storage.base import AlreadyThere, Stored
from snapshot_tasks.system.behind import Behind
from snapshot_tasks.system.errors import Damaged, Refused, StorageError

_CHANGED = (
    "Find out what else writes or deletes files there, then run this again; only these parts will"
    " be sent."
)

_LONGEST = f"fingerprint-{'0' * 16}.json-{'0' * 8}.zst.age"


class Upload:
    """One snapshot being uploaded. Nothing of it is visible before `commit`, which comes last.

    What lies off-site already is not sent again; with `again` everything is sent, even if it seems
    to exist. `found` is the marker of an earlier push. It is None if there is none or it cannot be
    read; an unreadable one is replaced. `mended_count` is how many objects of it were missing or
    damaged.

    Raises:
        Refused: if a newer version of this project pushed this snapshot, or the store cannot hold
            its name, or not beside another one.
        StorageError: if the store does not respond.
    """

    def __init__(
        self, repository: Repository, key: Key, packer: Packer, *, again: bool = False
    ) -> None:
        self.key = key
        self.packer = packer
        self.beside: dict[str, Blob] = {}
        self.index: Blob | None = None
        self.packs: tuple[Pack, ...] = ()
        self.size_bytes = 0
        self._repository = repository
        self._again = again
        self._started = time.monotonic()
        self._whole = hashlib.sha256()
        self.mended_count = 0
        self._sent: list[int] = []
        for name in (key.marker, f"{key.folder}/{_LONGEST}"):
            repository.store.check_name(name)
        try:
            self.found = repository.find(key)
            self._replaces = self.found is not None
        except Damaged:
            self.found, self._replaces = None, True

    @property
    def url(self) -> str:
        """The URL of the repository."""
        return self._repository.url

    @property
    def sent_bytes(self) -> int:
        """How many bytes were really sent."""
        return sum(self._sent)

    @property
    def sha256(self) -> str:
        """The SHA-256 of all blocks so far, as one file."""
        return self._whole.hexdigest()

    @property
    def is_complete(self) -> bool:
        """Whether an earlier push is intact and encrypted to the same recipients."""
        if self.found is None:
            return False
        self.mended_count = len(self._lost(self.found))
        is_for_them = set(self.found.encrypted_to) == set(self.packer.recipients)
        return self.mended_count == 0 and is_for_them

    def check_found(self, sha256: str) -> None:
        """Check that an earlier push had the same bytes, and that an encrypted copy stays so.

        Raises:
            Refused: if it had other bytes, or would no longer be encrypted.
        """
        if self.found is None:
            return
        if self.found.sha256 != sha256:
            raise self._other_content()
        if self.found.encrypted_to and not self.packer.recipients:
            raise Refused(
                f"{self.key.snapshot} is encrypted in {self.url}, but no recipients are set now.",
                hint="Set QDRANT_AGE_RECIPIENTS, or use another prefix for unencrypted copies.",
            )

    def send_blocks(
        self, plains: Iterable[bytes], known: Known, *, pack_bytes: int = PACK_BYTES
    ) -> Index:
        """Send the blocks of the file, those that are not `known` to lie there; return the index.

        All packs have arrived afterwards.
        """
        with Behind(WIDTH) as behind:
            packing = Packing(
                self.packer,
                known,
                self._usable,
                write=self._write_pack,
                behind=behind,
                unused=self._unused,
                pack_bytes=pack_bytes,
            )
            for plain in plains:
                self._whole.update(plain)
                self.size_bytes += len(plain)
                packing.add(plain)
            index = packing.finish()
        self.packs = tuple(Pack(name, packing.sizes[name]) for name in index.packs)
        return index

    def send_beside(self, files: Mapping[str, bytes]) -> None:
        """Send the files next to the snapshot, by kind."""
        for kind, plain in files.items():
            self.beside[kind] = self._send(kind, plain)

    def send_index(self, index: Index) -> None:
        """Send the list of blocks."""
        self.index = self._send(INDEX, index.dump())

    def commit(self, marker: Marker) -> None:
        """Make the snapshot visible, if it is still complete.

        Raises:
            StorageError: if some of it was deleted in the meantime, or this push took days.
            Refused: if a push of other bytes was first.
        """
        if lost := self._lost(marker, anew=True):
            raise self._disappeared(lost)
        if time.monotonic() - self._started > ABANDONED_AFTER.total_seconds() / 2:
            # What was not in use when this push began may be deleted a week after that.
            raise StorageError(
                f"The push of {self.key.snapshot} has taken so long that what it relies on may have"
                f" been deleted from {self.url}.",
                hint="Run this again; what has arrived is not sent again.",
            )
        data = marker.dump()
        try:
            self._repository.store.write(self.key.marker, data, new=not self._replaces)
        except AlreadyThere:
            found = self._repository.find(self.key)
            if found is None or found.sha256 != marker.sha256:
                raise self._other_content() from None
            return
        own = self._repository.present(self.key)
        if lost := [b.name for b in marker.blobs if b.name not in own]:
            # Somebody has deleted the snapshot between the check and the marker.
            self._repository.store.delete(self.key.marker)
            raise self._disappeared(lost)
        self.note_whole(marker)

    def note_whole(self, marker: Marker) -> None:
        """Note that the snapshot was visible, so that it is not swept if its marker is lost."""
        if marker.index and WHOLE not in self._own:
            self._repository.store.write(f"{self.key.folder}/{WHOLE}", NOTE)

    def _disappeared(self, lost: Sized) -> StorageError:
        return StorageError(
            f"{len(lost)} parts of {self.key.snapshot} disappeared from {self.url}, or changed"
            " their size, during the push.",
            hint=_CHANGED,
        )

    @cached_property
    def _usable(self) -> dict[str, int]:
        """The sizes of the packs that may be relied on, by name."""
        return {} if self._again else self._repository.packs.usable()

    @cached_property
    def _noted(self) -> set[str]:
        """The objects that somebody has found damaged."""
        return self._repository.damaged()

    @cached_property
    def _unused(self) -> set[str]:
        return self._repository.packs.unused()

    @cached_property
    def _own(self) -> dict[str, Stored]:
        return self._repository.present(self.key)

    @cached_property
    def _sizes(self) -> dict[str, int]:
        """The sizes of what the marker mentions, by name."""
        return {b.name: b.stored_bytes for b in self.found.blobs} if self.found else {}

    @cached_property
    def _present(self) -> dict[str, Stored]:
        """What need not be sent: objects of the size in the marker, or that no marker mentions.

        A damaged marker tells nothing of them, and they may be as damaged.
        """
        if self._again or (self._replaces and self.found is None):
            return {}
        sizes, folder = self._sizes, self.key.folder
        return {
            name: stored
            for name, stored in self._own.items()
            if stored.size_bytes == sizes.get(name, stored.size_bytes)
            and f"{folder}/{name}" not in self._noted
        }

    def _may_go(self, name: str) -> bool:
        """Return whether somebody may be about to delete an object, as a leftover."""
        there = self._own.get(name)
        if there is None or name in self._sizes:
            return False
        return datetime.now(UTC) - there.modified_at >= ABANDONED_AFTER / 2

    def _write_pack(self, name: str, stored: bytes) -> None:
        self._repository.packs.write(name, stored)
        self._is_sound(f"{PACKS}/{name}")
        self._sent.append(len(stored))

    def _send(self, kind: str, plain: bytes) -> Blob:
        sha256 = hashlib.sha256(plain).hexdigest()
        name = self.key.beside(kind, sha256, self.packer.ending)
        if self._may_go(name):
            name = self.key.beside(kind, secrets.token_hex(32), self.packer.ending)
        there = self._present.get(name)
        stored_bytes = there.size_bytes if there else 0
        if not stored_bytes:
            packed = self.packer.pack(plain)
            self._repository.store.write(f"{self.key.folder}/{name}", packed)
            self._is_sound(f"{self.key.folder}/{name}")
            stored_bytes = len(packed)
            self._sent.append(stored_bytes)
        return Blob(name=name, size_bytes=len(plain), stored_bytes=stored_bytes, sha256=sha256)

    def _is_sound(self, name: str) -> None:
        """Take the note of damage away from an object that was just written."""
        if name in self._noted:
            self._repository.note_sound(name)

    def _lost(self, marker: Marker, *, anew: bool = False) -> list[str]:
        """Return what the snapshot needs and is not there, or not of its size."""
        own = self._repository.present(self.key) if anew else self._present
        packs = self._repository.packs.sizes() if anew and marker.packs else self._usable
        sizes = {**packs, **{name: stored.size_bytes for name, stored in own.items()}}
        needed = [(blob.name, blob.stored_bytes) for blob in marker.blobs]
        needed += [(pack.name, pack.stored_bytes) for pack in marker.packs]
        return [name for name, stored_bytes in needed if sizes.get(name) != stored_bytes]

    def _other_content(self) -> Refused:
        return Refused(
            f"{self.url} already has a different snapshot named {self.key.snapshot}.",
            hint="Nothing was changed there. Use another prefix, or find out which one is yours.",
        )
