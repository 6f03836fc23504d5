"""Read a snapshot: its manifest at once, all other files beside it when they are asked for."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from snapshot_tasks.catalog.pins import read_pin
from snapshot_tasks.catalog.proofs import read_proofs
from snapshot_tasks.domain.fingerprint import Fingerprint, Sealed
from snapshot_tasks.domain.manifest import MAX_MESSAGE, Manifest, parse_manifest, unreadable
from snapshot_tasks.domain.names import (
    fingerprint_path,
    manifest_path,
    parse_name,
    pin_path,
    proofs_path,
)
from snapshot_tasks.domain.proof import Proof
from snapshot_tasks.domain.seal import Seal
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.system.errors import Damaged, TaskError
from snapshot_tasks.system.reading import read_text
from snapshot_tasks.system.untrusted import parse_json, printable

MAX_MANIFEST_BYTES = 16 << 20
# 131 kB for each vector name.
MAX_FINGERPRINT_BYTES = 64 << 20


def load_snapshot(path: Path) -> Snapshot:
    """Return the snapshot whose file this is, with the files beside it."""
    manifest, problem = None, None
    try:
        manifest = load_manifest(manifest_path(path))
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
        beside=BesideFile(path, manifest.seal if manifest else None),
    )


def load_manifest(path: Path) -> Manifest | None:
    """Read a manifest; None when there is no such file.

    Raises:
        Refused: for a newer schema.
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
    """The files beside a snapshot's; each is read once, when it is first asked for."""

    def __init__(self, file: Path, seal: Seal | None) -> None:
        self._file = file
        self._seal = seal

    @cached_property
    def proofs(self) -> tuple[Proof, ...]:
        """All proofs, oldest first."""
        return read_proofs(proofs_path(self._file))

    @cached_property
    def pin(self) -> str | None:
        """The note of its pin; None where it is not pinned."""
        return read_pin(pin_path(self._file))

    @cached_property
    def sealed(self) -> Sealed | None:
        """What the contents were sealed with. Raises `Damaged` where that cannot be read."""
        return _sealed(self._seal, fingerprint_path(self._file)) if self._seal else None


def _sealed(seal: Seal, path: Path) -> Sealed:
    """Return a seal with its buckets, where they are there.

    The manifest's digest decides. The buckets only tell where contents differ, so a copy without
    them verifies and restores as well.
    """
    try:
        if not seal.digest or seal.points_count is None:
            raise ValueError("the manifest has lost its digest or its number of points")
        buckets = None
        if os.path.lexists(path):
            text = read_text(path, max_bytes=MAX_FINGERPRINT_BYTES)
            buckets = Fingerprint.from_json(parse_json(text))
            if buckets.digest != seal.digest:
                raise ValueError("it is another snapshot's")
        return Sealed(digest=seal.digest, points_count=seal.points_count, buckets=buckets)
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError) as error:
        reason = printable(str(error), limit=MAX_MESSAGE)
        raise Damaged(
            f"The sealed fingerprint {printable(path.name)} is not readable: {reason}.",
            hint="Bring that file back from a copy, or take a new snapshot.",
        ) from error
