"""Adds proofs from another machine to those of a copy off-site."""

from __future__ import annotations

from dataclasses import replace

from snapshot_tasks.domain.proof import parse_proofs
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.offsite.codec import Packer, Unpacker
from snapshot_tasks.offsite.layout import PROOFS
from snapshot_tasks.offsite.marker import Marker
from snapshot_tasks.offsite.repository import Repository
from snapshot_tasks.offsite.upload import Upload
from snapshot_tasks.operations.offsite.sidecars import beside_of, dates_of
from snapshot_tasks.system.errors import Refused, StorageError

ATTEMPTS = 5
_AGAIN = "Run the test again when nothing else writes to it."


def return_proofs(
    snapshot: Snapshot, tested: Marker, repository: Repository, unpacker: Unpacker
) -> Marker:
    """Add the proofs of a pulled snapshot to those off-site; return the marker that has them.

    Stores have no transactions, so what is there is read again before and after writing, and added
    again if another machine has written in between. `tested` is the marker that was pulled by; the
    proofs are encrypted to the recipients in it.

    Raises:
        Refused: if the copy was deleted or replaced in the meantime.
        StorageError: if the place cannot be written.
    """
    for _ in range(ATTEMPTS):
        upload = Upload(repository, tested.key, Packer(tested.encrypted_to))
        found = upload.found
        if found is None or found.sha256 != tested.sha256:
            raise Refused(
                f"{tested.snapshot} was deleted or replaced in {repository.url} during the test.",
                hint="`inv snapshot.list --remote` lists what is there.",
            )
        marker = with_proofs(found, snapshot, upload, repository, unpacker)
        if marker == found:
            return found
        if repository.find(tested.key) == found:
            upload.commit(marker)
            if repository.find(tested.key) == marker:
                return marker
    raise StorageError(
        f"{tested.snapshot} in {repository.url} changes all the time.",
        hint=_AGAIN,
    )


def with_proofs(
    found: Marker, snapshot: Snapshot, upload: Upload, repository: Repository, unpacker: Unpacker
) -> Marker:
    """Send the local proofs together with those off-site; return the marker that has both.

    Raises:
        Damaged, SettingsError: if those off-site cannot be read.
    """
    here = beside_of(snapshot).get(PROOFS, b"").decode("utf-8", "replace")
    blob = found.beside.get(PROOFS)
    there = repository.fetch(found.key, blob, unpacker).decode("utf-8", "replace") if blob else ""
    text = _merged(there, here)
    if text == there:
        return found
    upload.send_beside({PROOFS: text.encode()})
    beside = {**found.beside, **upload.beside}
    return replace(found, beside=beside, **dates_of(snapshot, parse_proofs(text)))


def _merged(there: str, here: str) -> str:
    """Return the lines that are there, and after them those that are only here."""
    known = there.split("\n") if there else []
    have = set(known)
    added = [line for line in here.split("\n") if line.strip() and line not in have]
    return "\n".join([*filter(None, known), *added]) + "\n" if added else there
