"""Putting one snapshot into a repository: part by part, visible only once all of it is there."""

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
    """One snapshot on its way. Nothing of it is visible before `commit`, which comes last.

    An object's name says what it contains, so what is there already is not sent again; with `again`
    all of it is, even if it seems to be there. `found` is the marker of an earlier push: None where
    there is none, and also where it is unreadable, since it is replaced then.

    Raises:
        Refused: when a newer version of this project pushed this snapshot.
        StorageError: when the store does not answer.
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
        """Where it goes."""
        return self._repository.url

    @property
    def parts(self) -> tuple[Blob, ...]:
        """The parts that were sent, or were there already, in order."""
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
        """Insist that an earlier push was of the same bytes, and stays encrypted if it was.

        Raises:
            Refused: when it was not, or would not.
        """
        if self.found is None:
            return
        if self.found.sha256 != sha256:
            raise self._other_content()
        if self.found.encrypted_to and not self.packer.recipients:
            raise Refused(
                f"{self.key.snapshot} is encrypted in {self.url}, and no recipient is set now.",
                hint="Set QDRANT_AGE_RECIPIENTS; what may be in the clear goes to another prefix.",
            )

    def send_part(self, plain: bytes) -> None:
        """Send the next part of the file."""
        self._whole.update(plain)
        digest = hashlib.sha256(plain).hexdigest()
        name = self.key.part(len(self._parts), digest, self.packer.ending)
        self._parts.append(self._send(name, plain, digest))

    def send_beside(self, files: Mapping[str, bytes]) -> None:
        """Send what belongs beside the file, by kind. `Repository.sweep` needs the parts first."""
        for kind, plain in files.items():
            digest = hashlib.sha256(plain).hexdigest()
            name = self.key.beside(kind, digest, self.packer.ending)
            self.beside[kind] = self._send(name, plain, digest)

    def commit(self, marker: Marker) -> None:
        """Make the snapshot visible, if all of it is still there.

        Raises:
            StorageError: when some of it was deleted meanwhile.
            Refused: when another push of other bytes was first.
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
        """What need not be sent: it has the size that the marker says, or no marker mentions it."""
        if self.found and self._again:
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
        lost = [blob.name for blob in marker.blobs if blob.name not in present]
        if lost:
            raise StorageError(
                f"{self.url} lost {len(lost)} parts of {self.key.snapshot} during the push.",
                hint="See who else deletes there, then run this again: only these are sent.",
            )

    def _other_content(self) -> Refused:
        return Refused(
            f"{self.url} holds another snapshot under the name {self.key.snapshot}.",
            hint="Nothing was changed there. Use another prefix, or find out which one is yours.",
        )
