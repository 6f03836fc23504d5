"""Uploads one snapshot part by part; it becomes visible only once it is complete."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property

from snapshot_tasks.offsite.codec import Packer
from snapshot_tasks.offsite.layout import Key
from snapshot_tasks.offsite.marker import Blob, Marker
from snapshot_tasks.offsite.repository import Repository
from snapshot_tasks.storage.base import AlreadyThere, Stored
from snapshot_tasks.system.errors import Damaged, Refused, StorageError


class Upload:
    """One snapshot being uploaded. Nothing of it is visible before `commit`, which comes last.

    An object's name identifies its contents, so objects that exist already are not sent again; with
    `again` everything is sent, even if it seems to exist. `found` is the marker of an earlier push.
    It is None if there is none or it cannot be read; an unreadable one is replaced.

    Raises:
        Refused: if a newer version of this project pushed this snapshot.
        StorageError: if the store does not respond.
    """

    def __init__(
        self, repository: Repository, key: Key, packer: Packer, *, again: bool = False
    ) -> None:
        self.key = key
        self.packer = packer
        self.beside: dict[str, Blob] = {}
        self.sent_bytes = 0
        self._repository = repository
        self._again = again
        self._parts: list[Blob] = []
        self._whole = hashlib.sha256()
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
    def parts(self) -> tuple[Blob, ...]:
        """The parts that were sent or existed already, in order."""
        return tuple(self._parts)

    @property
    def sha256(self) -> str:
        """The SHA-256 of all parts so far, as one file."""
        return self._whole.hexdigest()

    @property
    def is_complete(self) -> bool:
        """Whether an earlier push is intact and encrypted to the same recipients."""
        found = self.found
        return (
            found is not None
            and all(blob.name in self._present for blob in found.blobs)
            and set(found.encrypted_to) == set(self.packer.recipients)
        )

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

    def send_part(self, plain: bytes) -> None:
        """Send the next part of the file."""
        self._whole.update(plain)
        digest = hashlib.sha256(plain).hexdigest()
        name = self.key.part(len(self._parts), digest, self.packer.ending)
        self._parts.append(self._send(name, plain, digest))

    def send_beside(self, files: Mapping[str, bytes]) -> None:
        """Send the files next to the snapshot, by kind. `Repository.sweep` needs parts first."""
        for kind, plain in files.items():
            digest = hashlib.sha256(plain).hexdigest()
            name = self.key.beside(kind, digest, self.packer.ending)
            self.beside[kind] = self._send(name, plain, digest)

    def commit(self, marker: Marker) -> None:
        """Make the snapshot visible, if it is still complete.

        Raises:
            StorageError: if some of it was deleted in the meantime.
            Refused: if a push of other bytes was first.
        """
        self._check_all_there(marker)
        data = marker.dump()
        try:
            self._repository.store.write(self.key.marker, data, new=not self._replaces)
        except AlreadyThere:
            found = self._repository.find(self.key)
            if found is None or found.sha256 != marker.sha256:
                raise self._other_content() from None

    @cached_property
    def _present(self) -> dict[str, Stored]:
        """What need not be sent: objects of the size in the marker, or that no marker mentions."""
        if self._again:
            return {}
        present = self._repository.present(self.key)
        sizes = {b.name: b.stored_bytes for b in self.found.blobs} if self.found else {}
        return {n: s for n, s in present.items() if s.size_bytes == sizes.get(n, s.size_bytes)}

    def _send(self, name: str, plain: bytes, sha256: str) -> Blob:
        there = self._present.get(name)
        stored_bytes = there.size_bytes if there else 0
        if not stored_bytes:
            packed = self.packer.pack(plain)
            self._repository.store.write(f"{self.key.folder}/{name}", packed)
            stored_bytes = len(packed)
            self.sent_bytes += stored_bytes
        return Blob(name=name, size_bytes=len(plain), stored_bytes=stored_bytes, sha256=sha256)

    def _check_all_there(self, marker: Marker) -> None:
        present = self._repository.present(self.key)
        sizes = {name: stored.size_bytes for name, stored in present.items()}
        lost = [blob.name for blob in marker.blobs if sizes.get(blob.name) != blob.stored_bytes]
        if lost:
            raise StorageError(
                f"{len(lost)} parts of {self.key.snapshot} disappeared from {self.url}, or changed"
                " their size, during the push.",
                hint="Find out what else writes or deletes files there, then run this again; only"
                " these parts will be sent.",
            )

    def _other_content(self) -> Refused:
        return Refused(
            f"{self.url} already has a different snapshot named {self.key.snapshot}.",
            hint="Nothing was changed there. Use another prefix, or find out which one is yours.",
        )
