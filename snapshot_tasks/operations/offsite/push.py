"""Copies a snapshot off-site block by block; it becomes visible only once it is complete."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from snapshot_tasks.domain.snapshot import RENAME, Snapshot
from snapshot_tasks.offsite.codec import Packer, Unpacker
from snapshot_tasks.offsite.layout import PROOFS, Key
from snapshot_tasks.offsite.marker import Blob, Marker
from snapshot_tasks.offsite.packs import PACK_BYTES
from snapshot_tasks.offsite.repository import Repository
from snapshot_tasks.offsite.upload import Upload
from snapshot_tasks.operations.batch import Batch, for_each
from snapshot_tasks.operations.offsite.recall import recall
from snapshot_tasks.operations.offsite.return_proofs import with_proofs
from snapshot_tasks.operations.offsite.sidecars import beside_of, dates_of, marker_of
from snapshot_tasks.sealing.archive import check_archive
from snapshot_tasks.sealing.blocks import cut
from snapshot_tasks.system.errors import Damaged, NotFound, Refused, SettingsError, StorageError
from snapshot_tasks.system.files import sha256_of
from snapshot_tasks.system.progress import Clock, Progress

PUSHED, REFRESHED, THERE = "pushed", "proofs brought up to date", "already there"
_DAMAGED = (
    "Push an older snapshot, or restore this file from a copy; `inv snapshot.verify` shows details."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PushRequest:
    """What to push. `collection` is for a file without a record of its collection.

    `pinned` protects the copy from pruning off-site; a pin set by another machine stays. `again`
    sends everything again, if the copy there is damaged, or removes its pin. What this machine
    knows of the places is kept in the folder `cache`; `unpacker` reads it from them where it can.
    """

    snapshot: Snapshot
    packer: Packer
    unpacker: Unpacker = field(default_factory=Unpacker)
    cache: Path | None = None
    collection: str | None = None
    pinned: bool = False
    again: bool = False
    pack_bytes: int = PACK_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """The outcome of a push, and where. `sent_bytes` is what was actually sent.

    `mended_count` is how many objects of an earlier push were missing or damaged there.
    """

    snapshot: Snapshot
    url: str
    outcome: str
    marker: Marker
    sent_bytes: int
    mended_count: int = 0

    @property
    def is_sent(self) -> bool:
        """Whether this run pushed the snapshot, because it was missing or incomplete there."""
        return self.outcome == PUSHED


def push_each(
    requests: Sequence[PushRequest],
    repositories: Sequence[Repository],
    progress: Progress,
    *,
    clock: Clock,
) -> Batch[Pushed]:
    """Push several snapshots to several places; a failed push does not stop the others.

    Then remove old leftovers of killed pushes of these collections.
    """
    pairs = [(repository, request) for repository in repositories for request in requests]
    batch = for_each(
        pairs,
        lambda pair: push(pair[1], pair[0], progress),
        name=lambda pair: f"{pair[1].snapshot.name} to {pair[0].url}",
    )
    for repository in repositories:
        _sweep(repository, batch.results, progress, now=clock())
    return batch


def _sweep(
    repository: Repository, pushed: Sequence[Pushed], progress: Progress, *, now: datetime
) -> None:
    swept = for_each(
        sorted({one.marker.collection for one in pushed if one.url == repository.url}),
        lambda collection: repository.sweep(now=now, collection=collection),
        name=lambda collection: collection,
    )
    for failure in swept.failures:
        progress.note(f"Could not clean up after an interrupted push: {failure.error.message}")


def push(request: PushRequest, repository: Repository, progress: Progress) -> Pushed:
    """Push one snapshot. Blocks that are already there are not sent again.

    Raises:
        Damaged: if the local file differs from what was taken; nothing becomes visible then.
        Refused: if another file has this name there, or it was taken under another name.
        StorageError: if the store does not accept it, or the file cannot be read.
    """
    snapshot = request.snapshot
    snapshot.check_manifest()
    _refuse_renamed(snapshot)
    try:
        upload = Upload(repository, _key(request), request.packer, again=request.again)
        if upload.found:
            upload.check_found(snapshot.sha256 or _hashed(snapshot, progress))
            if upload.is_complete:
                return _refresh(request, repository, upload, upload.found)
        return _push_anew(request, repository, upload, progress)
    except OSError as error:
        raise StorageError(
            f"{snapshot.path} cannot be read: {error.strerror}.",
            hint="Make it readable for this user.",
        ) from error


def _refuse_renamed(snapshot: Snapshot) -> None:
    """Refuse a copied or renamed set: a pull would not accept its manifest under this name."""
    if snapshot.renamed:
        raise Refused(f"{snapshot.renamed}.", hint=RENAME)


def _key(request: PushRequest) -> Key:
    collection = request.snapshot.collection or request.collection
    if not collection:
        raise NotFound(
            f"The collection of {request.snapshot.name} is unknown.",
            hint="Pass it with `--collection NAME`.",
        )
    return Key(collection=collection, snapshot=request.snapshot.name)


def _hashed(snapshot: Snapshot, progress: Progress) -> str:
    with progress.phase("checking the file", total_bytes=snapshot.size_bytes) as advance:
        return sha256_of(snapshot.path, advance=advance)


def _push_anew(
    request: PushRequest, repository: Repository, upload: Upload, progress: Progress
) -> Pushed:
    snapshot = request.snapshot
    if snapshot.manifest is None:
        # Nothing else shows whether the file is complete.
        check_archive(snapshot.path)
    known = recall(repository, upload.key, request.packer, request.unpacker, request.cache)
    label = f"pushing {snapshot.name} to {upload.url}"
    with progress.phase(label, total_bytes=snapshot.size_bytes) as advance:
        index = upload.send_blocks(
            _blocks(snapshot.path, advance), known, pack_bytes=request.pack_bytes
        )
    if snapshot.sha256 not in (None, upload.sha256):
        raise Damaged(
            f"{snapshot.name} is damaged: its SHA-256 is {upload.sha256}, but"
            f" {snapshot.sha256} was recorded.",
            hint=_DAMAGED,
        )
    upload.send_beside(beside_of(snapshot))
    upload.send_index(index)
    marker = marker_of(snapshot, upload, pinned=request.pinned)
    upload.commit(marker)
    return _pushed(snapshot, upload, PUSHED, marker)


def _blocks(path: Path, advance: Callable[[int], None]) -> Iterator[bytes]:
    with path.open("rb") as file, path.open("rb") as headers:
        for _, size in cut(headers):
            plain = file.read(size)
            yield plain
            advance(len(plain))


def _refresh(request: PushRequest, repository: Repository, upload: Upload, found: Marker) -> Pushed:
    """Send the proofs if there are new ones, and update the pin.

    Proofs are only ever appended, so a longer file of the same machine contains the shorter one.
    Those of other machines stay; where they cannot be read, none are added to them.
    """
    snapshot = request.snapshot
    proofs = beside_of(snapshot).get(PROOFS)
    marker = replace(found, pinned=found.pinned or request.pinned)
    if proofs is not None and _goes_on(proofs, found.beside.get(PROOFS)):
        upload.send_beside({PROOFS: proofs})
        beside = {**found.beside, **upload.beside}
        marker = replace(marker, beside=beside, **dates_of(snapshot))
    elif proofs is not None and not _is_there(proofs, found.beside[PROOFS]):
        with suppress(Damaged, SettingsError):
            marker = with_proofs(marker, snapshot, upload, repository, request.unpacker)
    if marker == found:
        upload.note_whole(found)
        return _pushed(snapshot, upload, THERE, found)
    upload.commit(marker)
    return _pushed(snapshot, upload, REFRESHED, marker)


def _goes_on(here: bytes, known: Blob | None) -> bool:
    """Return whether these proofs extend the ones off-site, so are not from another machine."""
    if known is None:
        return True
    start = here[: known.size_bytes]
    return len(here) > len(start) and hashlib.sha256(start).hexdigest() == known.sha256


def _is_there(here: bytes, known: Blob) -> bool:
    return hashlib.sha256(here).hexdigest() == known.sha256


def _pushed(snapshot: Snapshot, upload: Upload, outcome: str, marker: Marker) -> Pushed:
    return Pushed(
        snapshot=snapshot,
        url=upload.url,
        outcome=outcome,
        marker=marker,
        sent_bytes=upload.sent_bytes,
        mended_count=upload.mended_count,
    )
