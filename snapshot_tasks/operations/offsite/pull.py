"""Downloads a snapshot from off-site, checks all of it, and then adds it to the catalogue."""

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
from snapshot_tasks.domain.names import MANIFEST_SUFFIX, PROBES_SUFFIX, manifest_path
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.offsite.codec import Unpacker
from snapshot_tasks.offsite.layout import PROOFS
from snapshot_tasks.offsite.marker import Blob, Marker
from snapshot_tasks.offsite.repository import Repository
from snapshot_tasks.operations.batch import Batch, for_each
from snapshot_tasks.operations.offsite.assemble import MAX_LOCAL, Assembly
from snapshot_tasks.operations.offsite.listing import Remote
from snapshot_tasks.operations.offsite.sidecars import SUFFIXES
from snapshot_tasks.sealing.archive import check_archive
from snapshot_tasks.system.errors import Damaged, NotFound, Refused, StorageError, TaskError
from snapshot_tasks.system.files import NO_SPACE, sha256_of, storage_errors
from snapshot_tasks.system.progress import Progress

# Space for what else is written to this disk in the meantime.
SPARE_BYTES = 64 << 20
_HINT = "Pull another copy or an older snapshot; `inv snapshot.list --remote` lists them."


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """A snapshot that is here now; `fetched_bytes` is 0 if it was here already."""

    snapshot: Snapshot
    url: str
    fetched_bytes: int
    already: bool = False


def pull_each(
    remotes: Sequence[Remote], catalog: Catalog, unpacker: Unpacker, progress: Progress
) -> Batch[Pulled]:
    """Pull several snapshots; a failed pull does not stop the others."""
    catalog.make_folder()
    clear_partials(catalog.folder, keep={partial_name(r.marker.sha256) for r in remotes})
    return for_each(
        remotes,
        lambda remote: pull(remote, catalog, unpacker, progress),
        name=lambda remote: remote.marker.snapshot,
    )


def pull(remote: Remote, catalog: Catalog, unpacker: Unpacker, progress: Progress) -> Pulled:
    """Pull one snapshot; if a place fails, use the next place.

    Downloaded parts are kept, hidden, and the next run does not download them again.

    Raises:
        Damaged: if the off-site copy differs from what was pushed; nothing is added then.
        Refused: if another file already has this name here.
        StorageError: if no place responds, or the disk is full.
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
                progress.note(f"{error.message} Trying the next place.")
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
            f"{here} already exists and is damaged.",
            hint="Move it away and run this again to download the off-site copy.",
        )
    if sha256 != marker.sha256 or snapshot.size_bytes != marker.size_bytes:
        raise Refused(
            f"{here} already exists and differs from the off-site copy with the same name.",
            hint="Check it with `inv snapshot.verify`, or move it away to pull the off-site copy.",
        )
    return snapshot


def _pull_from(
    repository: Repository, marker: Marker, catalog: Catalog, unpacker: Unpacker, progress: Progress
) -> Pulled:
    partial = catalog.folder / partial_name(marker.sha256)
    with storage_errors(catalog.folder), own_partial(partial) as file:
        check_space(catalog.folder, marker, present=os.fstat(file.fileno()).st_blocks * 512)
        with _kept_for_later(partial, progress):
            sha256, fetched = _fetch(file, repository, marker, catalog, unpacker, progress)
            beside = {
                k: repository.fetch(marker.key, b, unpacker) for k, b in marker.beside.items()
            }
        try:
            if sha256 != marker.sha256:
                message = f"The off-site copy of {marker.snapshot} differs from what was pushed."
                raise Damaged(message, hint=_HINT)
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
    """Check that a manifest which outlived its file here records the same bytes."""
    here = load_manifest(manifest_path(catalog.folder / marker.snapshot))
    if here and here.sha256 != marker.sha256:
        raise Refused(
            f"The local manifest of {marker.snapshot} records a different SHA-256.",
            hint="The off-site copy is not the snapshot taken here. Pull another one, or find out"
            " why they differ.",
        )


@contextmanager
def _kept_for_later(partial: Path, progress: Progress) -> Iterator[None]:
    """Note that downloaded parts are kept; on a full disk delete them, to free the space."""
    try:
        yield
    except KeyboardInterrupt:
        progress.note(
            "The downloaded parts are kept, and the next pull will not download them again."
        )
        raise
    except OSError as error:
        if error.errno in NO_SPACE:
            partial.unlink()
        raise


def _fetch(
    file: BinaryIO,
    repository: Repository,
    marker: Marker,
    catalog: Catalog,
    unpacker: Unpacker,
    progress: Progress,
) -> tuple[str, int]:
    """Complete the partial file; return its SHA-256, and how many bytes were downloaded."""
    label = f"pulling {marker.snapshot} from {repository.url}"
    if marker.index is None:
        with progress.phase(label, total_bytes=marker.size_bytes) as advance:
            return _fetch_parts(file, repository, marker, unpacker, advance)
    assembly = Assembly(file, repository.index_of(marker, marker.index, unpacker))
    assembly.keep(progress)
    local = [one for one in catalog.entries(marker.collection) if not one.is_lost]
    local.sort(key=lambda one: abs(one.created_at - marker.created_at))
    assembly.copy([one.path for one in local[:MAX_LOCAL]], progress)
    with progress.phase(label, total_bytes=marker.size_bytes) as advance:
        sha256 = assembly.fetch(repository, unpacker, advance)
    return sha256, marker.index.stored_bytes + assembly.fetched_bytes


def _fetch_parts(
    file: BinaryIO,
    repository: Repository,
    marker: Marker,
    unpacker: Unpacker,
    advance: Callable[[int], None],
) -> tuple[str, int]:
    """Complete the partial file; return its SHA-256, and how many bytes were downloaded."""
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
    """Return a part, from the partial file if it is intact there, and the bytes downloaded."""
    start = file.tell()
    plain = file.read(part.size_bytes)
    if len(plain) == part.size_bytes and hashlib.sha256(plain).hexdigest() == part.sha256:
        return plain, 0
    plain = repository.fetch(marker.key, part, unpacker)
    file.seek(start)
    file.write(plain)
    return plain, part.stored_bytes


def _checked(marker: Marker, beside: dict[str, bytes]) -> dict[str, str]:
    """Return the files next to the snapshot by suffix; they must belong to this snapshot."""
    texts = {SUFFIXES[kind]: _text(data) for kind, data in beside.items() if kind in SUFFIXES}
    if MANIFEST_SUFFIX not in texts:
        return {}
    manifest = parse_manifest(texts[MANIFEST_SUFFIX], marker.snapshot + MANIFEST_SUFFIX)
    said = (manifest.snapshot, manifest.collection, manifest.sha256, manifest.size_bytes)
    if said != (marker.snapshot, marker.collection, marker.sha256, marker.size_bytes):
        raise Damaged(
            f"The off-site manifest of {marker.snapshot} belongs to another snapshot.", hint=_HINT
        )
    if manifest.probes_file:
        probes = marker.snapshot + PROBES_SUFFIX
        manifest.probes_file.parse(texts.get(PROBES_SUFFIX), probes, hint=_HINT)
    return texts


def _text(data: bytes | None) -> str:
    try:
        return (data or b"").decode("utf-8")
    except UnicodeDecodeError:
        message = "A file next to the off-site snapshot is not valid text."
        raise Damaged(message, hint=_HINT) from None


def check_space(
    folder: Path, marker: Marker, *, present: int = 0, setting: str = "QDRANT_SNAPSHOT_DIR"
) -> None:
    """Check that a snapshot fits into a folder, which `setting` chooses; so much is there already.

    Raises:
        StorageError: if it does not fit.
    """
    missing = marker.size_bytes - present
    free = shutil.disk_usage(folder).free
    if free < missing + SPARE_BYTES:
        raise StorageError(
            f"{marker.snapshot} needs {missing:,} more bytes in {folder}, but only {free:,} are"
            " free.",
            hint=f"Free space there, or choose another folder with {setting}.",
        )
