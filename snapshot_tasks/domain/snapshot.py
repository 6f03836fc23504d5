"""One catalogued snapshot: its file, and the files that belong to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from snapshot_tasks.domain.fingerprint import Sealed
from snapshot_tasks.domain.index_counts import IndexCount
from snapshot_tasks.domain.manifest import MAX_MESSAGE, Manifest
from snapshot_tasks.domain.names import (
    fingerprint_path,
    manifest_path,
    pin_path,
    probes_path,
    proofs_path,
)
from snapshot_tasks.domain.proof import (
    Bytes,
    Proof,
    Verdict,
    last_failed_at,
    last_passed_at,
)
from snapshot_tasks.domain.search_parity import Probe
from snapshot_tasks.domain.shards import ShardFacts
from snapshot_tasks.system.errors import Damaged, TaskError
from snapshot_tasks.system.untrusted import printable

# A set of files that is copied gets its times in any order.
COPIED_WITHIN = timedelta(seconds=60)
RENAME = "Give it that name again, with all its files, or delete the copy."


class Beside(Protocol):
    """The files that belong to a snapshot file; the catalogue reads each one on demand."""

    @property
    def proofs(self) -> tuple[Proof, ...]:
        """All proofs, oldest first."""

    @property
    def pin(self) -> str | None:
        """The note of its pin, which may be empty; None if it is not pinned."""

    @property
    def sealed(self) -> Sealed | None:
        """The seal of the contents. Raises `Damaged` if it cannot be read."""

    @property
    def probes(self) -> tuple[Any, ...]:
        """The searches in the file next to it. Raises `Damaged` if it is missing or changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """No other files: no proof, no pin, no seal."""

    proofs: tuple[Proof, ...] = ()
    pin: str | None = None
    sealed: Sealed | None = None
    probes: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One catalogued snapshot. Facts that come only from a manifest are None without one.

    If it `is_lost`, only its manifest and a link to its file are left.
    """

    path: Path
    collection: str | None
    created_at: datetime
    size_bytes: int
    manifest: Manifest | None
    manifest_problem: TaskError | None = None
    changed_at: datetime | None = None
    catalogued_at: datetime | None = None
    is_lost: bool = False
    beside: Beside = field(default=Nothing(), repr=False, compare=False)

    @property
    def name(self) -> str:
        """The file's name, which also names the snapshot."""
        return self.path.name

    @property
    def sha256(self) -> str | None:
        """The SHA-256 of the file when it was taken; None without a manifest."""
        return self.manifest.sha256 if self.manifest else None

    @property
    def has_its_size(self) -> bool:
        """Whether the file is as long as its manifest states."""
        return self.manifest is not None and self.size_bytes == self.manifest.size_bytes

    @property
    def recorded_name(self) -> str | None:
        """The name in the manifest if it is another one: a copy of a set, or a renamed one."""
        manifest = self.manifest
        return manifest.snapshot if manifest and manifest.snapshot != self.name else None

    @property
    def renamed(self) -> str:
        """Words for a name that is not the recorded one; empty if it is. `RENAME` is the remedy."""
        recorded = self.recorded_name
        return f"{self.name} was taken as {recorded}: it is a copy, or was renamed" * bool(recorded)

    @property
    def is_whole(self) -> bool:
        """Whether nothing says that the file is shorter or longer than it was."""
        return self.manifest is None or self.has_its_size

    @property
    def is_rewritten(self) -> bool:
        """Whether the file was written to after its manifest, and its bytes not checked since.

        `cp` to the latest link does that: it writes to the file that the link names.
        """
        changed, catalogued = self.changed_at, self.catalogued_at
        if changed is None or catalogued is None or changed - catalogued <= COPIED_WITHIN:
            return False
        return not any(p.sha256 == self.sha256 and p.confirms(changed) for p in self.proofs)

    @property
    def rewritten(self) -> str:
        """Words for a file that is rewritten; empty if it is not. `verify` is the remedy."""
        return f"{self.name} was written to after it was catalogued" * self.is_rewritten

    @property
    def is_safety(self) -> bool:
        """Whether it contains a collection that a restore replaced; it is never the default."""
        return self.manifest is not None and self.manifest.safety

    @property
    def sealed(self) -> Sealed | None:
        """The seal of the contents; None if the snapshot is not sealed.

        Raises:
            Damaged: if the fingerprint file does not match the seal in the manifest.
        """
        return self.beside.sealed

    @property
    def probes(self) -> tuple[Probe, ...]:
        """The searches whose results were recorded. Raises `Damaged` if they cannot be read."""
        recorded = self.beside.probes
        with self._readable("search probe"):
            return tuple(map(Probe.from_json, recorded))

    @property
    def shards(self) -> tuple[ShardFacts, ...]:
        """The shards that a cluster's snapshot was taken from, one by one; else none."""
        shard_set = self.manifest.shard_set if self.manifest else None
        return shard_set.shards if shard_set else ()

    @property
    def index_counts(self) -> tuple[IndexCount, ...]:
        """What filters on payload indexes must find. Raises `Damaged` if it cannot be read."""
        recorded = self.manifest.index_counts if self.manifest else ()
        with self._readable("count of a payload index"):
            return tuple(map(IndexCount.from_json, recorded))

    @property
    def proofs(self) -> tuple[Proof, ...]:
        """All proofs, oldest first."""
        return self.beside.proofs

    @property
    def is_sealed(self) -> bool:
        """Whether a fingerprint of its points was recorded when it was taken, not at an import."""
        manifest = self.manifest
        return manifest is not None and manifest.seal is not None and not manifest.imported

    @property
    def is_imported(self) -> bool:
        """Whether another tool made it, and its manifest was made when it was imported."""
        return self.manifest is not None and self.manifest.imported

    @property
    def taken_with(self) -> str | None:
        """The version of Qdrant that made it; None if that is unknown."""
        return self.manifest.taken_with if self.manifest else None

    @property
    def bytes(self) -> Bytes:
        """What is known of the file's bytes without reading them."""
        return Bytes(
            sha256=self.sha256,
            sealed=self.is_sealed,
            size_bytes=self.size_bytes,
            changed_at=self.changed_at,
        )

    @property
    def proven_at(self) -> datetime | None:
        """When a drill last proved these bytes; only a sealed snapshot is ever proven."""
        return last_passed_at(self.proofs, self.bytes, (Verdict.PROVEN,))

    @property
    def restored_at(self) -> datetime | None:
        """When a drill of these bytes last passed, also without a seal to compare with."""
        return last_passed_at(self.proofs, self.bytes)

    @property
    def verdict(self) -> Verdict | None:
        """What its last test showed; None if there was none, or it was of other bytes."""
        if self.failed_at is not None:
            return Verdict.NOT_PROVEN
        if self.proven_at is not None:
            return Verdict.PROVEN
        return Verdict.RESTORES if self.restored_at is not None else None

    @property
    def failed_at(self) -> datetime | None:
        """When its last test failed; None if that passed, or there was none."""
        return last_failed_at(self.proofs)

    @property
    def last_restore_seconds(self) -> float | None:
        """How long the last test restore took until every point was there; None if unknown."""
        known = (proof.restore_seconds for proof in reversed(self.proofs))
        return next((seconds for seconds in known if seconds is not None), None)

    @property
    def pin(self) -> str | None:
        """The note of its pin, which may be empty; None if it is not pinned."""
        return self.beside.pin

    @property
    def manifest_path(self) -> Path:
        """The path of its manifest, even if there is none."""
        return manifest_path(self.path)

    @property
    def fingerprint_path(self) -> Path:
        """The path of the buckets of its seal, if it is sealed."""
        return fingerprint_path(self.path)

    @property
    def probes_path(self) -> Path:
        """The path of the searches recorded with it, if there are any."""
        return probes_path(self.path)

    @property
    def proofs_path(self) -> Path:
        """The path of its proofs."""
        return proofs_path(self.path)

    @property
    def pin_path(self) -> Path:
        """The path of the note that keeps it from being pruned."""
        return pin_path(self.path)

    def check_manifest(self) -> None:
        """Raise the error of reading the manifest, if there was one."""
        if self.manifest_problem:
            raise self.manifest_problem

    @contextmanager
    def _readable(self, what: str) -> Iterator[None]:
        try:
            yield
        except (KeyError, TypeError, ValueError) as error:
            reason = printable(str(error), limit=MAX_MESSAGE)
            raise Damaged(
                f"The manifest of {printable(self.name)} contains an invalid {what}: {reason}.",
                hint="Restore the manifest from a copy, or take a new snapshot.",
            ) from error
