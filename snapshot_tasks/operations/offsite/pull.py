"""Bring a snapshot back from off-site: every part checked, and catalogued only once it is whole."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from snapshot_tasks.catalog.adopt import adopt, follow_link
from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.catalog.load import load_manifest, load_snapshot
from snapshot_tasks.catalog.partial import clear_partials, own_partial, partial_name
from snapshot_tasks.catalog.pins import set_pin
from snapshot_tasks.domain.manifest import parse_manifest
from snapshot_tasks.domain.names import FINGERPRINT_SUFFIX, MANIFEST_SUFFIX, manifest_path
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.offsite.codec import Unpacker
from snapshot_tasks.offsite.layout import FINGERPRINT, MANIFEST, PROOFS
from snapshot_tasks.offsite.marker import Blob, Marker
from snapshot_tasks.offsite.repository import Repository
from snapshot_tasks.operations.batch import Batch, for_each
from snapshot_tasks.operations.offsite.listing import Remote
from snapshot_tasks.sealing.archive import check_archive
from snapshot_tasks.system.errors import Damaged, NotFound, Refused, StorageError, TaskError
from snapshot_tasks.system.files import NO_SPACE, sha256_of, storage_errors
from snapshot_tasks.system.progress import Progress

SUFFIXES = {MANIFEST: MANIFEST_SUFFIX, FINGERPRINT: FINGERPRINT_SUFFIX}
# What else is written on this disk meanwhile.
SPARE_BYTES = 64 << 20
_HINT = "Pull from another copy, or an older snapshot: `inv snapshot.list --remote` shows them."


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """A snapshot that is here now; `fetched_bytes` is what it took, 0 when it was here already."""

    snapshot: Snapshot
    url: str
    fetched_bytes: int
    already: bool = False


def pull_each(
    remotes: Sequence[Remote], catalog: Catalog, unpacker: Unpacker, progress: Progress
) -> Batch[Pulled]:
    """Pull several snapshots; one that fails stops no other."""
    catalog.make_folder()
    clear_partials(catalog.folder, keep={partial_name(r.marker.sha256) for r in remotes})
    return for_each(
        remotes,
        lambda remote: pull(remote, catalog, unpacker, progress),
        name=lambda remote: remote.marker.snapshot,
    )


def pull(remote: Remote, catalog: Catalog, unpacker: Unpacker, progress: Progress) -> Pulled:
    """Pull one snapshot, from the next place where one fails.

    What has arrived is kept, hidden, and not fetched again by the next run.

    Raises:
        Damaged: when what is off-site is not what was pushed; nothing is catalogued then.
        Refused: when another file has this name here.
        StorageError: when no place answers, or the disk is full.
    """
    marker = remote.marker
    here = catalog.folder / marker.snapshot
    if os.path.lexists(here):
        snapshot = _same(catalog, here, marker, progress)
        with catalog.lock("snapshot.pull"):
            follow_link(catalog, snapshot)
        return Pulled(snapshot=snapshot, url="", fetched_bytes=0, already=True)
    failures: list[TaskError] = []
    for repository in remote.repositories:
        try:
            return _pull_from(repository, remote.marker, catalog, unpacker, progress)
        except (Damaged, StorageError, NotFound) as error:
            failures.append(error)
            if repository is not remote.repositories[-1]:
                progress.note(f"{error.message} Going on with the next place.")
    raise failures[-1]


def _same(catalog: Catalog, here: Path, marker: Marker, progress: Progress) -> Snapshot:
    snapshot = catalog.find(str(here))
    sha256 = snapshot.sha256
    recorded = sha256
    if snapshot.manifest_problem is None:
        with progress.phase("checking the file", total_bytes=snapshot.size_bytes) as advance:
            sha256 = sha256_of(snapshot.path, advance=advance)
    if recorded == marker.sha256 != sha256:
        raise Damaged(
            f"{here} already exists here and is damaged.",
            hint="Move it away, and run this again: the copy off-site takes its place.",
        )
    if sha256 != marker.sha256 or snapshot.size_bytes != marker.size_bytes:
        raise Refused(
            f"{here} already exists here, and is not what is off-site under this name.",
            hint="See what it is with `inv snapshot.verify`; move it away to pull the other.",
        )
    return snapshot


def _pull_from(
    repository: Repository, marker: Marker, catalog: Catalog, unpacker: Unpacker, progress: Progress
) -> Pulled:
    partial = catalog.folder / partial_name(marker.sha256)
    with storage_errors(catalog.folder), own_partial(partial) as file:
        _check_space(catalog.folder, marker, file)
        with _kept_for_later(partial, progress):
            label = f"pulling {marker.snapshot} from {repository.url}"
            with progress.phase(label, total_bytes=marker.size_bytes) as advance:
                sha256, fetched = _fetch_parts(file, repository, marker, unpacker, advance)
            beside = {
                k: repository.fetch(marker.key, b, unpacker) for k, b in marker.beside.items()
            }
        try:
            if sha256 != marker.sha256:
                raise Damaged(f"{marker.snapshot} is not what was pushed.", hint=_HINT)
            _check_structure(partial, marker)
            texts = _checked(marker, beside)
        except Damaged:
            partial.unlink()
            raise
        with catalog.lock("snapshot.pull"):
            if os.path.lexists(catalog.folder / marker.snapshot):
                raise Refused(
                    f"{marker.snapshot} appeared in this folder during the pull.",
                    hint="Run this again.",
                )
            _check_record(catalog, marker)
            snapshot = adopt(catalog, partial, marker.snapshot, texts, _text(beside.get(PROOFS)))
            if marker.pinned and snapshot.pin is None:
                set_pin(snapshot, "pinned off-site")
                snapshot = load_snapshot(snapshot.path)
    return Pulled(snapshot=snapshot, url=repository.url, fetched_bytes=fetched)


def _check_record(catalog: Catalog, marker: Marker) -> None:
    """Insist that a manifest which has outlived its file here is about the same bytes."""
    here = load_manifest(manifest_path(catalog.folder / marker.snapshot))
    if here and here.sha256 != marker.sha256:
        raise Refused(
            f"The local manifest of {marker.snapshot} records a different SHA-256.",
            hint="What is off-site is not what was taken here. Pull another, or find out why.",
        )


@contextmanager
def _kept_for_later(partial: Path, progress: Progress) -> Iterator[None]:
    """Say that what has arrived is kept; on a full disk it is not: others need the room."""
    try:
        yield
    except KeyboardInterrupt:
        progress.note("What has arrived is kept, hidden, and not fetched again by the next pull.")
        raise
    except OSError as error:
        if error.errno in NO_SPACE:
            partial.unlink()
        raise


def _fetch_parts(
    file: BinaryIO,
    repository: Repository,
    marker: Marker,
    unpacker: Unpacker,
    advance: Callable[[int], None],
) -> tuple[str, int]:
    """Bring the partial file to its end; return its SHA-256, and what that took to fetch."""
    fetched, whole = 0, hashlib.sha256()
    for part in marker.parts:
        plain, stored_bytes = _part(file, repository, marker, part, unpacker)
        whole.update(plain)
        fetched += stored_bytes
        advance(len(plain))
    file.truncate(marker.size_bytes)
    file.flush()
    return whole.hexdigest(), fetched


def _check_structure(partial: Path, marker: Marker) -> None:
    try:
        check_archive(partial)
    except Damaged as error:
        raise Damaged(error.message.replace(partial.name, marker.snapshot), hint=_HINT) from error


def _part(
    file: BinaryIO, repository: Repository, marker: Marker, part: Blob, unpacker: Unpacker
) -> tuple[bytes, int]:
    """Return a part, from the partial file where it is there whole, and what it took to fetch."""
    start = file.tell()
    plain = file.read(part.size_bytes)
    if len(plain) == part.size_bytes and hashlib.sha256(plain).hexdigest() == part.sha256:
        return plain, 0
    plain = repository.fetch(marker.key, part, unpacker)
    file.seek(start)
    file.write(plain)
    return plain, part.stored_bytes


def _checked(marker: Marker, beside: dict[str, bytes]) -> dict[str, str]:
    """Return what goes beside the snapshot by its suffix; it must be that of this snapshot."""
    texts = {SUFFIXES[kind]: _text(data) for kind, data in beside.items() if kind in SUFFIXES}
    if MANIFEST_SUFFIX not in texts:
        return {}
    manifest = parse_manifest(texts[MANIFEST_SUFFIX], marker.snapshot + MANIFEST_SUFFIX)
    said = (manifest.snapshot, manifest.collection, manifest.sha256, manifest.size_bytes)
    if said != (marker.snapshot, marker.collection, marker.sha256, marker.size_bytes):
        raise Damaged(
            f"The off-site manifest of {marker.snapshot} is another snapshot's.", hint=_HINT
        )
    return texts


def _text(data: bytes | None) -> str:
    try:
        return (data or b"").decode("utf-8")
    except UnicodeDecodeError:
        raise Damaged("What is beside the snapshot off-site is not text.", hint=_HINT) from None


def _check_space(folder: Path, marker: Marker, file: BinaryIO) -> None:
    missing = marker.size_bytes - os.fstat(file.fileno()).st_size
    free = shutil.disk_usage(folder).free
    if free < missing + SPARE_BYTES:
        raise StorageError(
            f"{marker.snapshot} takes {missing:,} more bytes in {folder}; {free:,} are free.",
            hint="Free space there, or choose another folder with QDRANT_SNAPSHOT_DIR.",
        )
