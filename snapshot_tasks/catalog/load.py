"""Reads a snapshot: its manifest at once, its other files on demand."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from snapshot_tasks.catalog.pins import read_pin
from snapshot_tasks.catalog.proofs import read_proofs
from snapshot_tasks.domain.fingerprint import Fingerprint, Sealed
from snapshot_tasks.domain.manifest import MAX_MESSAGE, Manifest, parse_manifest, unreadable
from snapshot_tasks.domain.names import (
    fingerprint_path,
    manifest_path,
    parse_name,
    pin_path,
    probes_path,
    proofs_path,
)
from snapshot_tasks.domain.probes_file import ProbesFile
from snapshot_tasks.domain.probes_file import unreadable as unreadable_probes
from snapshot_tasks.domain.proof import Proof
from snapshot_tasks.domain.seal import Seal
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.system.errors import Damaged, NotFound, Refused, TaskError
from snapshot_tasks.system.reading import read_text
from snapshot_tasks.system.untrusted import parse_json, printable

MAX_MANIFEST_BYTES = 16 << 20
# 131 kB for each vector name.
MAX_FINGERPRINT_BYTES = 64 << 20
MAX_PROBES_BYTES = 16 << 20


def load_snapshot(path: Path) -> Snapshot:
    """Return the snapshot of a file, with the file's manifest and other files."""
    manifest, problem = None, None
    try:
        manifest = load_manifest(manifest_path(path))
    except TaskError as error:
        problem = error
    status = path.lstat()
    is_link = stat.S_ISLNK(status.st_mode)
    # A disk that is not mounted, or not readable, or a link to itself.
    lost = is_link and not os.path.isfile(path)
    if lost:
        problem = _lost(path)
    elif is_link:
        status = path.stat()
        if manifest is None and problem is None:
            problem = _elsewhere(path)
    changed_at = datetime.fromtimestamp(status.st_mtime, UTC)
    named = (manifest.collection, manifest.created_at) if manifest else parse_name(path.name)
    return Snapshot(
        path=path,
        collection=named[0],
        created_at=named[1] or changed_at,
        size_bytes=0 if lost else status.st_size,
        manifest=manifest,
        manifest_problem=problem,
        changed_at=changed_at,
        catalogued_at=_changed_at(manifest_path(path)) if manifest else None,
        is_lost=lost,
        beside=BesideFile(path, manifest),
    )


def _changed_at(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (OSError, ValueError, OverflowError):
        return None


def _lost(path: Path) -> NotFound:
    """Return the error for a link to a file that is gone, such as one on a disk not mounted."""
    target = printable(os.readlink(path))
    return NotFound(
        f"{printable(path.name)} points to {target}, which does not exist or cannot be reached.",
        hint=f"Mount its disk or restore that file, or remove {path} to use an older snapshot.",
    )


def _elsewhere(path: Path) -> Refused | None:
    """Return the error for a link whose snapshot has its manifest elsewhere, if it has one."""
    target = path.resolve()
    if not os.path.lexists(manifest_path(target)):
        return None
    return Refused(
        f"{printable(path.name)} is a link, but its manifest is not beside it.",
        hint=f"Move the other files of the snapshot from {target.parent} to {path.parent}.",
    )


def load_manifest(path: Path) -> Manifest | None:
    """Read a manifest; None if there is no such file.

    Raises:
        Refused: if it has a newer schema.
        Damaged: if it is not a manifest.
    """
    try:
        text = read_text(path, max_bytes=MAX_MANIFEST_BYTES)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise unreadable(path.name, error) from error
    return parse_manifest(text, path.name)


class BesideFile:
    """The other files of a snapshot; each is read once, when it is first needed."""

    def __init__(self, file: Path, manifest: Manifest | None) -> None:
        self._file = file
        self._manifest = manifest

    @cached_property
    def proofs(self) -> tuple[Proof, ...]:
        """All proofs, oldest first."""
        return read_proofs(proofs_path(self._file))

    @cached_property
    def pin(self) -> str | None:
        """The note of its pin; None if it is not pinned."""
        return read_pin(pin_path(self._file))

    @cached_property
    def sealed(self) -> Sealed | None:
        """The seal of the contents. Raises `Damaged` if it cannot be read."""
        seal = self._manifest.seal if self._manifest else None
        return _sealed(seal, fingerprint_path(self._file)) if seal else None

    @cached_property
    def probes(self) -> tuple[Any, ...]:
        """The recorded searches. Raises `Damaged` if their file is missing or changed."""
        if self._manifest is None:
            return ()
        if self._manifest.probes_file is None:
            return self._manifest.probes
        return _probes(self._manifest.probes_file, probes_path(self._file))


def _probes(recorded: ProbesFile, path: Path) -> tuple[Any, ...]:
    text = None
    try:
        if os.path.lexists(path):
            text = read_text(path, max_bytes=MAX_PROBES_BYTES)
    except (OSError, ValueError) as error:
        raise unreadable_probes(path.name, str(error)) from error
    return recorded.parse(text, path.name)


def _sealed(seal: Seal, path: Path) -> Sealed:
    """Return a seal, with its buckets if they exist.

    The digest in the manifest decides. The buckets only show where contents differ, so a copy
    without them can be verified and restored as well.
    """
    try:
        if not seal.digest or seal.points_count is None:
            raise ValueError("the manifest has no digest or no number of points")
        buckets = None
        if os.path.lexists(path):
            text = read_text(path, max_bytes=MAX_FINGERPRINT_BYTES)
            buckets = Fingerprint.from_json(parse_json(text))
            if buckets.digest != seal.digest:
                raise ValueError("it belongs to another snapshot")
        return Sealed(digest=seal.digest, points_count=seal.points_count, buckets=buckets)
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError) as error:
        reason = printable(str(error), limit=MAX_MESSAGE)
        raise Damaged(
            f"The sealed fingerprint {printable(path.name)} cannot be read: {reason}.",
            hint="Restore that file from a copy, or take a new snapshot.",
        ) from error
