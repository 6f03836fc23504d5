"""The files that go off-site with the snapshot: manifest, fingerprint, proofs, and the marker."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict

from snapshot_tasks.catalog.proofs import MAX_PROOFS_BYTES
from snapshot_tasks.domain.names import FINGERPRINT_SUFFIX, MANIFEST_SUFFIX, PROBES_SUFFIX
from snapshot_tasks.domain.proof import PASSED, Proof, Verdict, last_failed_at, last_passed_at
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.offsite.layout import FINGERPRINT, MANIFEST, PROBES, PROOFS
from snapshot_tasks.offsite.marker import MAX_BESIDE_BYTES, Marker
from snapshot_tasks.offsite.upload import Upload
from snapshot_tasks.system.errors import Damaged
from snapshot_tasks.system.reading import read_end

# The files that a snapshot has from the start; proofs are added later.
SUFFIXES = {
    MANIFEST: MANIFEST_SUFFIX,
    FINGERPRINT: FINGERPRINT_SUFFIX,
    PROBES: PROBES_SUFFIX,
}
_DAMAGED = "Restore that file from a copy; `inv snapshot.show` shows details."


class Dates(TypedDict):
    """When a snapshot was proven, when it last restored, and when it failed if nothing since has.

    A restore counts without a seal to compare with, too.
    """

    proven_at: datetime | None
    restored_at: datetime | None
    failed_at: datetime | None


def beside_of(snapshot: Snapshot) -> dict[str, bytes]:
    """Return the files next to a local snapshot, by their kind off-site.

    Raises:
        Damaged: if one is missing or changed that the manifest identifies.
    """
    files = {}
    for kind, suffix in SUFFIXES.items():
        path = snapshot.path.with_name(snapshot.name + suffix)
        if snapshot.manifest and kind == MANIFEST and not path.is_file():
            raise Damaged(f"{path.name} disappeared during the push.", hint=_DAMAGED)
        if snapshot.manifest and path.is_file():
            data = path.read_bytes()
            if len(data) > MAX_BESIDE_BYTES:
                raise Damaged(f"{path.name} is larger than such a file can be.", hint=_DAMAGED)
            files[kind] = data
    if snapshot.manifest and snapshot.manifest.probes_file:
        _ = snapshot.beside.probes
    if snapshot.proofs:
        files[PROOFS] = read_end(snapshot.proofs_path, max_bytes=MAX_PROOFS_BYTES).encode()
    return files


def marker_of(snapshot: Snapshot, upload: Upload, *, pinned: bool) -> Marker:
    """Return the marker that makes the uploaded blocks a snapshot."""
    manifest = snapshot.manifest
    return Marker(
        snapshot=upload.key.snapshot,
        collection=upload.key.collection,
        created_at=snapshot.created_at,
        size_bytes=upload.size_bytes,
        sha256=upload.sha256,
        index=upload.index,
        packs=upload.packs,
        beside=dict(upload.beside),
        points_count=manifest.points_count if manifest else None,
        qdrant_version=snapshot.taken_with,
        **dates_of(snapshot),
        label=manifest.label if manifest else None,
        pinned=pinned,
        safety=snapshot.is_safety,
        encrypted_to=upload.packer.recipients,
    )


def dates_of(snapshot: Snapshot, proofs: Sequence[Proof] | None = None) -> Dates:
    """Return what its proofs say, or these, which may be from several machines.

    Proofs of other bytes under this name do not count.
    """
    known = snapshot.proofs if proofs is None else proofs
    of_these = tuple(p for p in known if p.sha256 in (None, snapshot.sha256))
    return Dates(
        proven_at=last_passed_at(of_these, snapshot.bytes, (Verdict.PROVEN,)),
        restored_at=last_passed_at(of_these, snapshot.bytes, PASSED),
        failed_at=last_failed_at(of_these),
    )
