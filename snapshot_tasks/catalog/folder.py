"""The catalogue: every snapshot in the snapshot folder, with or without a manifest."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from snapshot_tasks.catalog.journal import Journal
from snapshot_tasks.catalog.lock import folder_lock
from snapshot_tasks.catalog.manifest import MAX_MESSAGE, Manifest, dump_manifest, load_manifest
from snapshot_tasks.catalog.names import (
    FINGERPRINT_SUFFIX,
    MANIFEST_SUFFIX,
    PROOFS_SUFFIX,
    SUFFIX,
    check_collection,
    latest_name,
    parse_name,
    snapshot_names,
)
from snapshot_tasks.catalog.proofs import append_proof, last_failed_at, last_proven_at, read_proofs
from snapshot_tasks.errors import Damaged, NotFound, TaskError
from snapshot_tasks.files import (
    point_link,
    publish,
    remove_stagings,
    staging_file,
    storage_errors,
    sync_directory,
    write_text,
)
from snapshot_tasks.fingerprint import Fingerprint, Sealed
from snapshot_tasks.search_parity import Probe
from snapshot_tasks.untrusted import parse_json, printable, read_text

# 131 kB for each vector name.
MAX_FINGERPRINT_BYTES = 64 << 20
_TAKE_ONE = "Take one with `inv snapshot.create`, or name one that `inv snapshot.list` shows."


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One catalogued snapshot. Facts that only a manifest holds are None without one."""

    path: Path
    collection: str | None
    created_at: datetime
    size_bytes: int
    manifest: Manifest | None
    manifest_problem: TaskError | None = None

    @property
    def name(self) -> str:
        """The file's name, which also names the snapshot."""
        return self.path.name

    @property
    def sha256(self) -> str | None:
        """The SHA-256 the file was taken with, as far as a manifest tells."""
        return self.manifest.sha256 if self.manifest else None

    @property
    def is_safety(self) -> bool:
        """Whether it holds what a restore replaced, and so is never taken by default."""
        return self.manifest is not None and self.manifest.safety

    @cached_property
    def sealed(self) -> Sealed | None:
        """What the contents were sealed with; None when the snapshot is unsealed.

        The manifest's digest decides. The buckets in the file beside it only tell where contents
        differ, so a copy without that file verifies and restores as well.

        Raises:
            Damaged: when that file is there, and is not what the manifest sealed.
        """
        if self.manifest is None or self.manifest.fingerprint is None:
            return None
        path = _fingerprint_path(self.path)
        try:
            digest = str(self.manifest.fingerprint["digest"])
            count = int(self.manifest.fingerprint["points_count"])
            buckets = None
            if os.path.lexists(path):
                text = read_text(path, max_bytes=MAX_FINGERPRINT_BYTES)
                buckets = Fingerprint.from_json(parse_json(text))
                if buckets.digest != digest:
                    raise ValueError("it is another snapshot's")
            return Sealed(digest=digest, points_count=count, buckets=buckets)
        except (OSError, ValueError, KeyError, TypeError, ArithmeticError) as error:
            reason = printable(str(error), limit=MAX_MESSAGE)
            raise Damaged(
                f"The sealed fingerprint {printable(path.name)} is not readable: {reason}.",
                hint="Bring that file back from a copy, or take a new snapshot.",
            ) from error

    @cached_property
    def probes(self) -> tuple[Probe, ...]:
        """The searches whose answers were sealed. Raises `Damaged` when they are not readable."""
        try:
            return tuple(map(Probe.from_json, self.manifest.probes if self.manifest else ()))
        except (KeyError, TypeError, ValueError) as error:
            reason = printable(str(error), limit=MAX_MESSAGE)
            raise Damaged(
                f"The manifest of {printable(self.name)} holds a probe that is none: {reason}.",
                hint="Bring the manifest back from a copy, or take a new snapshot.",
            ) from error

    @property
    def manifest_path(self) -> Path:
        """Where its manifest stands, if it has one."""
        return _manifest_path(self.path)

    @property
    def fingerprint_path(self) -> Path:
        """Where the buckets of its seal stand, if it is sealed."""
        return _fingerprint_path(self.path)

    @property
    def proofs_path(self) -> Path:
        """Where this snapshot's proofs stand."""
        return self.path.with_name(self.path.name.removesuffix(SUFFIX) + PROOFS_SUFFIX)

    @cached_property
    def proofs(self) -> tuple[Mapping[str, Any], ...]:
        """All proofs, oldest first."""
        return read_proofs(self.proofs_path)

    @property
    def proven_at(self) -> datetime | None:
        """When a drill last succeeded with the bytes of the manifest."""
        return last_proven_at(self.proofs, self.sha256)

    @property
    def failed_at(self) -> datetime | None:
        """When its last test failed; None where that succeeded, or there was none."""
        return last_failed_at(self.proofs)

    def append_proof(self, proof: Mapping[str, Any]) -> None:
        """Append one proof. Raises `StorageError` where the folder cannot be written."""
        append_proof(self.proofs_path, proof)

    def check_manifest(self) -> None:
        """Raise what was wrong with the manifest when it was read, if anything."""
        if self.manifest_problem:
            raise self.manifest_problem


class Catalog:
    """Reads and extends one snapshot folder. Only `add` and `lock` write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def journal(self) -> Journal:
        """What runs have begun on a server; used under the lock only."""
        return Journal(self.folder)

    def lock(self, task: str) -> AbstractContextManager[None]:
        """Hold the folder for one run. Raises `Locked` at once when another run holds it."""
        return folder_lock(self.folder, task=task)

    def make_folder(self) -> None:
        """Make the folder where it is missing. Raises `StorageError` where that cannot be."""
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)

    def entries(self, collection: str | None = None) -> list[Snapshot]:
        """Return the snapshots, newest first, of one collection or of all."""
        found = [
            _load(Path(item.path))
            for item in _scan(self.folder)
            if item.name.endswith(SUFFIX) and item.is_file(follow_symlinks=False)
        ]
        wanted = [s for s in found if collection is None or s.collection == collection]
        return sorted(wanted, key=lambda s: (s.created_at, len(s.name), s.name), reverse=True)

    def collections(self) -> list[str]:
        """Return the collections that have a snapshot to restore by default.

        One whose latest pointer dangles counts too: it had one, and somebody should hear of it.
        """
        taken = {s.collection for s in self.entries() if s.collection and not s.is_safety}
        return sorted(taken | {name for item in _scan(self.folder) if (name := _pointer_of(item))})

    def newest(self, collection: str) -> Snapshot:
        """Return the newest snapshot of a collection.

        A dangling latest pointer is refused: the newest snapshot is gone, and an older one must
        not be passed off as it.

        Raises:
            NotFound: when there is none, or the latest pointer dangles.
        """
        check_collection(collection)
        self._check_pointer(self.folder / latest_name(collection))
        entries = [s for s in self.entries(collection) if not s.is_safety]
        if not entries:
            raise NotFound(f"No snapshot of {collection} lies in {self.folder}.", hint=_TAKE_ONE)
        return entries[0]

    def find(self, reference: str) -> Snapshot:
        """Return the snapshot that a path or a catalogued name refers to.

        Raises:
            NotFound: when there is no such file.
        """
        name = reference if reference.endswith(SUFFIX) else reference + SUFFIX
        for path in (Path(reference), self.folder / reference, self.folder / name):
            self._check_pointer(path)
            if os.path.isfile(path):
                return _load(path.resolve())
        raise NotFound(f"There is no snapshot {reference}.", hint=_TAKE_ONE)

    def latest_target(self, collection: str) -> Path | None:
        """Return what the latest pointer names; None without a pointer, `NotFound` if dangling."""
        link = self.folder / latest_name(collection)
        self._check_pointer(link)
        return link.resolve() if os.path.islink(link) else None

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Yield a hidden path in the folder to write a snapshot to; leftovers of killed runs go."""
        with storage_errors(self.folder):
            remove_stagings(self.folder)
            with staging_file(self.folder) as path:
                yield path

    def free_name(self, collection: str, taken_at: datetime) -> str:
        """Return a name that no snapshot, nor a manifest without its snapshot, has."""
        check_collection(collection)
        return next(
            name
            for name in snapshot_names(collection, taken_at)
            if not os.path.lexists(self.folder / name)
            and not os.path.lexists(self.folder / (name + MANIFEST_SUFFIX))
        )

    def add(
        self, staging: Path, manifest: Manifest, fingerprint: Fingerprint | None = None
    ) -> Snapshot:
        """Publish a staged file under its manifest's name, and point the latest link at it.

        What stands beside the snapshot goes first: without it that is invisible, so that at no
        moment a snapshot stands there without its manifest.
        """
        final = self.folder / manifest.snapshot
        beside = {_manifest_path(final): dump_manifest(manifest)}
        if fingerprint:
            beside[_fingerprint_path(final)] = json.dumps(fingerprint.as_json()) + "\n"
        with storage_errors(self.folder):
            try:
                for path, text in beside.items():
                    write_text(path, text)
                publish(staging, final)
            except BaseException:
                for path in beside:
                    path.unlink(missing_ok=True)
                raise
            sync_directory(self.folder)
            if not manifest.safety:
                point_link(self.folder / latest_name(manifest.collection), final.name)
        return _load(final)

    @staticmethod
    def _check_pointer(link: Path) -> None:
        if os.path.islink(link) and not os.path.exists(link):
            raise NotFound(
                f"{link.name} points at {os.readlink(link)}, which is not there.",
                hint=f"Bring that file back, or remove {link} to fall back to the newest one left.",
            )


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as items:
            return list(items)
    except FileNotFoundError:
        return []
    except OSError as error:
        with storage_errors(folder):
            raise error
        raise


def _pointer_of(item: os.DirEntry[str]) -> str | None:
    """Return the collection whose latest pointer this is, if it is one."""
    suffix = latest_name("")
    return (
        item.name.removesuffix(suffix) if item.is_symlink() and item.name.endswith(suffix) else None
    )


def _manifest_path(snapshot: Path) -> Path:
    return snapshot.with_name(snapshot.name + MANIFEST_SUFFIX)


def _fingerprint_path(snapshot: Path) -> Path:
    return snapshot.with_name(snapshot.name + FINGERPRINT_SUFFIX)


def _load(path: Path) -> Snapshot:
    manifest, problem = None, None
    try:
        manifest = load_manifest(_manifest_path(path))
    except TaskError as error:
        problem = error
    status = path.stat()
    named_collection, named_time = parse_name(path.name)
    return Snapshot(
        path=path,
        collection=manifest.collection if manifest else named_collection,
        created_at=(
            (manifest.created_at if manifest else named_time)
            or datetime.fromtimestamp(status.st_mtime, UTC)
        ),
        size_bytes=status.st_size,
        manifest=manifest,
        manifest_problem=problem,
    )
