"""Copy a snapshot off-site: part by part, and visible there only once all of it has arrived."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.offsite.codec import Packer
from snapshot_tasks.offsite.layout import PROOFS, Key
from snapshot_tasks.offsite.marker import PART_BYTES, Blob, Marker
from snapshot_tasks.offsite.repository import Repository
from snapshot_tasks.operations.offsite.sidecars import (
    beside_of,
    failed_at,
    marker_of,
    proven_at,
    send_beside,
)
from snapshot_tasks.sealing.archive import check_archive
from snapshot_tasks.storage.base import AlreadyThere, Stored
from snapshot_tasks.system.errors import Damaged, NotFound, Refused, StorageError, TaskError
from snapshot_tasks.system.files import sha256_of
from snapshot_tasks.system.progress import Clock, Progress

PUSHED, REFRESHED, THERE = "pushed", "proofs brought up to date", "already there"
_DAMAGED = "Push an older one, or bring this file back; `inv snapshot.verify` tells more."


@dataclass(frozen=True, slots=True, kw_only=True)
class PushRequest:
    """What to push. `collection` is for a file of which nothing tells which one it holds.

    `pinned` tells those who prune off-site that it is to stay; a pin that another machine has set
    stays. `again` sends everything anew, where what lies there is damaged, or pinned no more.
    """

    snapshot: Snapshot
    packer: Packer
    collection: str | None = None
    pinned: bool = False
    again: bool = False
    part_bytes: int = PART_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What a push has come to, and where. `sent_bytes` is what it took over the line."""

    snapshot: Snapshot
    url: str
    outcome: str
    marker: Marker
    sent_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PushResult:
    """What was pushed where, and the error of each that failed, by snapshot and place."""

    pushed: tuple[Pushed, ...]
    errors: tuple[tuple[str, TaskError], ...]


def push_each(
    requests: list[PushRequest], repositories: list[Repository], progress: Progress, *, clock: Clock
) -> PushResult:
    """Push several snapshots to several places; one that fails stops no other.

    Then what killed pushes of these collections have left there for long is swept.
    """
    pushed: list[Pushed] = []
    errors: list[tuple[str, TaskError]] = []
    for repository in repositories:
        for request in requests:
            try:
                pushed.append(push(request, repository, progress))
            except TaskError as error:
                errors.append((f"{request.snapshot.name} to {repository.url}", error))
        for collection in sorted({p.marker.collection for p in pushed if p.url == repository.url}):
            try:
                repository.sweep(now=clock(), collection=collection)
            except TaskError as error:
                progress.note(f"What a killed push has left there stays: {error.message}")
    return PushResult(pushed=tuple(pushed), errors=tuple(errors))


def push(request: PushRequest, repository: Repository, progress: Progress) -> Pushed:
    """Push one snapshot. What lies there already of it is not sent again.

    Raises:
        Damaged: when the local file is not what was taken; nothing becomes visible then.
        Refused: when another file lies there under this name.
        StorageError: when the store does not take it, or the file cannot be read.
    """
    snapshot = request.snapshot
    snapshot.check_manifest()
    key = _key(request)
    try:
        try:
            found = repository.find(key)
        except Damaged:
            # A marker that is not readable is as good as none, and is replaced.
            return _push_anew(
                request, repository, key, repository.present(key), progress, replacing=True
            )
        if found is None:
            return _push_anew(request, repository, key, repository.present(key), progress)
        _check_same(request, repository, found, progress)
        if found.encrypted_to and not request.packer.recipients:
            raise Refused(
                f"{key.snapshot} is encrypted in {repository.url}, and no recipient is set now.",
                hint="Set QDRANT_AGE_RECIPIENTS; what may be in the clear goes to another prefix.",
            )
        present = {} if request.again else _sound(repository.present(key), found)
        if _is_whole(found, present) and set(found.encrypted_to) == set(request.packer.recipients):
            return _refresh(request, repository, found, present)
        # Something of it is lost there, or it is to be encrypted to others by now.
        return _push_anew(request, repository, key, present, progress, replacing=True)
    except OSError as error:
        raise StorageError(
            f"{snapshot.path} cannot be read: {error.strerror}.",
            hint="Make it readable for this user.",
        ) from error


def _key(request: PushRequest) -> Key:
    collection = request.snapshot.collection or request.collection
    if not collection:
        raise NotFound(
            f"Nothing tells which collection {request.snapshot.name} holds.",
            hint="Name it with `--collection NAME`.",
        )
    return Key(collection=collection, snapshot=request.snapshot.name)


def _push_anew(
    request: PushRequest,
    repository: Repository,
    key: Key,
    present: Mapping[str, Stored],
    progress: Progress,
    *,
    replacing: bool = False,
) -> Pushed:
    snapshot = request.snapshot
    if snapshot.manifest is None:
        # Nothing else tells that it is whole.
        check_archive(snapshot.path)
    label = f"pushing {snapshot.name} to {repository.url}"
    with progress.phase(label, total_bytes=snapshot.size_bytes) as advance:
        parts, sha256 = _send_parts(request, repository, key, present, advance)
    if snapshot.sha256 not in (None, sha256):
        raise Damaged(
            f"{snapshot.name} is damaged: sha256 is {sha256}, recorded was {snapshot.sha256}.",
            hint=_DAMAGED,
        )
    beside = send_beside(request.packer, repository, key, present, beside_of(snapshot))
    marker = marker_of(snapshot, key, sha256, parts, beside, request.packer, pinned=request.pinned)
    _check_all_there(marker, repository)
    try:
        repository.commit(marker, new=not replacing)
    except AlreadyThere:
        # Another run has pushed it meanwhile.
        found = repository.find(key)
        if found is None or found.sha256 != sha256:
            raise _other_content(snapshot, repository) from None
    sent = sum(b.stored_bytes for b in marker.blobs if b.name not in present)
    return Pushed(
        snapshot=snapshot, url=repository.url, outcome=PUSHED, marker=marker, sent_bytes=sent
    )


def _send_parts(
    request: PushRequest,
    repository: Repository,
    key: Key,
    present: Mapping[str, Stored],
    advance: Callable[[int], None],
) -> tuple[tuple[Blob, ...], str]:
    """Send the parts that are missing; return all, and the SHA-256 of what was read."""
    whole = hashlib.sha256()
    parts = []
    for number, plain in enumerate(_chunks(request)):
        whole.update(plain)
        name = key.part(number, hashlib.sha256(plain).hexdigest(), request.packer.ending)
        parts.append(repository.send(key, name, plain, request.packer, present))
        advance(len(plain))
    return tuple(parts), whole.hexdigest()


def _chunks(request: PushRequest) -> Iterator[bytes]:
    with request.snapshot.path.open("rb") as file:
        while plain := file.read(request.part_bytes):
            yield plain


def _check_all_there(marker: Marker, repository: Repository) -> None:
    """Refuse to make visible what is not whole: somebody may have deleted parts meanwhile."""
    present = repository.present(marker.key)
    lost = [blob.name for blob in marker.blobs if blob.name not in present]
    if lost:
        raise StorageError(
            f"{repository.url} lost {len(lost)} parts of {marker.snapshot} during the push.",
            hint="See who else deletes there, then run this again: only these are sent.",
        )


def _sound(present: Mapping[str, Stored], found: Marker) -> dict[str, Stored]:
    """Return what lies there as the marker says, and what no marker tells of."""
    sizes = {blob.name: blob.stored_bytes for blob in found.blobs}
    return {n: s for n, s in present.items() if s.size_bytes == sizes.get(n, s.size_bytes)}


def _is_whole(found: Marker, present: Mapping[str, Stored]) -> bool:
    return all(blob.name in present for blob in found.blobs)


def _check_same(
    request: PushRequest, repository: Repository, found: Marker, progress: Progress
) -> None:
    snapshot, sha256 = request.snapshot, request.snapshot.sha256
    if sha256 is None:
        with progress.phase("checking the file", total_bytes=snapshot.size_bytes) as advance:
            sha256 = sha256_of(snapshot.path, advance=advance)
    if sha256 != found.sha256:
        raise _other_content(snapshot, repository)


def _refresh(
    request: PushRequest, repository: Repository, found: Marker, present: Mapping[str, Stored]
) -> Pushed:
    """Send the proofs where there are more by now, and tell whether it is pinned.

    Proofs are only ever appended to: the longer file has all that the shorter one has.
    """
    snapshot = request.snapshot
    here = beside_of(snapshot)
    known = found.beside.get(PROOFS)
    marker, sent = replace(found, pinned=found.pinned or request.pinned), 0
    if PROOFS in here and _goes_on(here[PROOFS], known):
        proofs = send_beside(request.packer, repository, found.key, present, {PROOFS: here[PROOFS]})
        sent = proofs[PROOFS].stored_bytes
        marker = replace(
            marker,
            beside={**found.beside, **proofs},
            proven_at=proven_at(snapshot),
            failed_at=failed_at(snapshot),
        )
    if marker != found:
        _check_all_there(marker, repository)
        repository.commit(marker, new=False)
    return Pushed(
        snapshot=snapshot,
        url=repository.url,
        outcome=THERE if marker == found else REFRESHED,
        marker=marker,
        sent_bytes=sent,
    )


def _goes_on(here: bytes, known: Blob | None) -> bool:
    """Say whether these proofs are those that lie there, and more: not another machine's."""
    if known is None:
        return True
    start = here[: known.size_bytes]
    return len(here) > len(start) and hashlib.sha256(start).hexdigest() == known.sha256


def _other_content(snapshot: Snapshot, repository: Repository) -> Refused:
    return Refused(
        f"{repository.url} holds another snapshot under the name {snapshot.name}.",
        hint="Nothing was changed there. Use another prefix, or find out which one is yours.",
    )
