"""One catalogued snapshot: its file, and what stands beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from snapshot_tasks.catalog.proofs import append_proof, last_failed_at, last_proven_at, read_proofs
from snapshot_tasks.domain.fingerprint import Fingerprint, Sealed
from snapshot_tasks.domain.manifest import MAX_MESSAGE, Manifest, load_manifest
from snapshot_tasks.domain.names import (
    FINGERPRINT_SUFFIX,
    MANIFEST_SUFFIX,
    PIN_SUFFIX,
    PROOFS_SUFFIX,
    SUFFIX,
    parse_name,
)
from snapshot_tasks.domain.search_parity import Probe
from snapshot_tasks.system.errors import Damaged, TaskError
from snapshot_tasks.system.files import storage_errors, write_text
from snapshot_tasks.system.untrusted import parse_json, printable, read_text

# 131 kB for each vector name.
MAX_FINGERPRINT_BYTES = 64 << 20
MAX_PIN_BYTES = 64 << 10


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
    def has_its_size(self) -> bool:
        """Whether the file is as long as its manifest tells; nothing tells it without one."""
        return self.manifest is not None and self.size_bytes == self.manifest.size_bytes

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
        if self.manifest is None or self.manifest.seal is None:
            return None
        seal = self.manifest.seal
        path = fingerprint_path(self.path)
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
    def proofs_path(self) -> Path:
        """Where this snapshot's proofs stand."""
        return _proofs_path(self.path)

    @cached_property
    def proofs(self) -> tuple[Mapping[str, Any], ...]:
        """All proofs, oldest first."""
        return read_proofs(self.proofs_path)

    @property
    def proven_at(self) -> datetime | None:
        """When a drill last succeeded with the bytes of the manifest."""
        return last_proven_at(self.proofs, self.sha256)

    def append_proof(self, proof: Mapping[str, Any]) -> None:
        """Append one proof. Raises `StorageError` where the folder cannot be written."""
        append_proof(self.proofs_path, proof)

    @property
    def failed_at(self) -> datetime | None:
        """When its last test failed; None where that succeeded, or there was none."""
        return last_failed_at(self.proofs)

    @property
    def manifest_path(self) -> Path:
        """Where its manifest stands, if it has one."""
        return manifest_path(self.path)

    @property
    def fingerprint_path(self) -> Path:
        """Where the buckets of its seal stand, if it is sealed."""
        return fingerprint_path(self.path)

    @property
    def pin_path(self) -> Path:
        """Where the note stands that keeps this snapshot from being pruned."""
        return _pin_path(self.path)

    @cached_property
    def pin(self) -> str | None:
        """The note it is pinned with, which may be empty; None where it is not pinned.

        A pin that cannot be read is one all the same: it only ever keeps.
        """
        if not os.path.lexists(self.pin_path):
            return None
        try:
            return str(parse_json(read_text(self.pin_path, max_bytes=MAX_PIN_BYTES))["note"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return ""

    def set_pin(self, note: str) -> None:
        """Keep it from being pruned. Raises `StorageError` where the folder cannot be written."""
        with storage_errors(self.path.parent):
            write_text(self.pin_path, json.dumps({"note": note}) + "\n")
        self.__dict__.pop("pin", None)

    def remove_pin(self) -> None:
        """Let it be pruned again. Raises `StorageError` where the folder cannot be written."""
        with storage_errors(self.path.parent):
            self.pin_path.unlink(missing_ok=True)
        self.__dict__.pop("pin", None)

    def check_manifest(self) -> None:
        """Raise what was wrong with the manifest when it was read, if anything."""
        if self.manifest_problem:
            raise self.manifest_problem


def load_snapshot(path: Path) -> Snapshot:
    """Return the snapshot whose file this is, with whatever stands beside it."""
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
    )


def manifest_path(snapshot: Path) -> Path:
    """Return where the manifest of a snapshot's file stands."""
    return snapshot.with_name(snapshot.name + MANIFEST_SUFFIX)


def fingerprint_path(snapshot: Path) -> Path:
    """Return where the sealed fingerprint of a snapshot's file stands."""
    return snapshot.with_name(snapshot.name + FINGERPRINT_SUFFIX)


def beside(snapshot: Path) -> tuple[Path, ...]:
    """Return all that may stand beside a snapshot's file, and goes with it."""
    return (
        manifest_path(snapshot),
        fingerprint_path(snapshot),
        _proofs_path(snapshot),
        _pin_path(snapshot),
    )


def _proofs_path(snapshot: Path) -> Path:
    return snapshot.with_name(snapshot.name.removesuffix(SUFFIX) + PROOFS_SUFFIX)


def _pin_path(snapshot: Path) -> Path:
    return snapshot.with_name(snapshot.name + PIN_SUFFIX)
