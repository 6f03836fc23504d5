"""Is this file unchanged since it was taken?"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from snapshot_tasks.domain.findings import Finding, Status, fail, failed, warn
from snapshot_tasks.domain.manifest import Manifest
from snapshot_tasks.domain.proof import BYTES, CONTENT, SOURCE, VERIFY, Proof
from snapshot_tasks.domain.snapshot import RENAME, Snapshot
from snapshot_tasks.sealing.archive import UNPACK, ArchiveSummary, WholeStorage, check_archive
from snapshot_tasks.sealing.unpack import point_of_the_future
from snapshot_tasks.system.errors import ContentsDiffer, Damaged, Refused, StorageError, TaskError
from snapshot_tasks.system.files import sha256_of
from snapshot_tasks.system.progress import Clock, Progress

_DIFFER_HINT = (
    "If the points were written since then, take a new snapshot. Any other difference is a problem."
)
_ONE_NODE = (
    "It is not a backup of the whole collection. Take one with `inv snapshot.create`, with every"
    " node in QDRANT_CLUSTER_URLS."
)
REPLICAS, KIND = "replicas", "kind"
# About the live collection, and not about the file.
LIVE_REPLICAS = "live replicas"
_FUTURE = "Qdrant would confirm later writes to it, but drop them. Use an older snapshot."
_HINT = "Do not restore it. Use an older one from `inv snapshot.list`, or an off-site copy."


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The findings about one file, its current SHA-256, and how long checking it took."""

    snapshot: Snapshot
    findings: tuple[Finding, ...]
    sha256: str
    seconds: float
    level: str = BYTES

    @property
    def error(self) -> TaskError | None:
        """The error that these findings amount to, if any."""
        wrong = failed(self.findings)
        if not wrong:
            return None
        reasons = "; ".join(f.message for f in wrong)
        if all(f.check == REPLICAS for f in wrong):
            return Refused(reasons + ".", hint=_ONE_NODE)
        if all(f.check == KIND for f in wrong):
            return Refused(reasons + ".", hint=wrong[0].remedy)
        if all(f.check in (CONTENT, SOURCE, "contents", LIVE_REPLICAS) for f in wrong):
            return ContentsDiffer(f"{self.snapshot.name}: {reasons}.", hint=_DIFFER_HINT)
        hint = UNPACK if any(f.remedy == UNPACK for f in wrong) else _HINT
        return Damaged(f"{self.snapshot.name} is damaged: {reasons}.", hint=hint)

    def proof(self, clock: Clock) -> Proof:
        """Return the line for the snapshot's proofs."""
        return Proof.from_json(
            {
                "at": clock().isoformat(),
                "kind": VERIFY,
                "level": self.level,
                "ok": self.error is None,
                "sha256": self.sha256,
                "changed_at": _isoformat(self.snapshot.changed_at),
                "seconds": round(self.seconds, 3),
                "findings": [f.as_json() for f in self.findings],
            }
        )


def _isoformat(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def verify(snapshot: Snapshot, progress: Progress) -> Verification:
    """Read every byte of the file; compare size, SHA-256 and structure with what was recorded.

    Raises:
        Refused: if the manifest has a newer schema.
        Damaged: if the manifest is unreadable.
        StorageError: if the file cannot be read.
    """
    snapshot.check_manifest()
    start = time.monotonic()
    with (
        _readable(snapshot),
        progress.phase("checking the file", total_bytes=snapshot.size_bytes) as advance,
    ):
        sha256 = sha256_of(snapshot.path, advance=advance)
        findings = _findings(snapshot, sha256)
    return Verification(
        snapshot=snapshot, findings=findings, sha256=sha256, seconds=time.monotonic() - start
    )


def sha256_to_find(snapshot: Snapshot, progress: Progress) -> str:
    """Return the SHA-256 that Qdrant must find in a file before it restores it.

    For a catalogued file this is the recorded one. Qdrant hashes what it reads, so hashing the file
    here as well would take longer and add nothing. Manifest, size and structure are still checked.

    Raises:
        Damaged: if the file has changed in a way that shows without hashing it.
        Refused, StorageError: as `verify`.
    """
    snapshot.check_manifest()
    if snapshot.manifest is None:
        return verified(snapshot, progress).sha256
    recorded = snapshot.manifest.sha256
    with _readable(snapshot), progress.phase("checking the file's structure"):
        findings = tuple(f for f in _findings(snapshot, recorded) if f.check != "sha256")
    return _sound(
        Verification(snapshot=snapshot, findings=findings, sha256=recorded, seconds=0.0)
    ).sha256


def verified(snapshot: Snapshot, progress: Progress) -> Verification:
    """Return the verification of an intact file.

    Raises:
        Refused: if it is only one node's part of a collection.
        Damaged: for any other file that is not as it was taken.
    """
    return _sound(verify(snapshot, progress))


def check_point_versions(snapshot: Snapshot) -> Iterator[Finding]:
    """No point has a version from the future: a server shows it, but drops every later write to it.

    A drill cannot see that in a restored collection, because it writes no points. The file must
    have passed `verify`.
    """
    if reason := point_of_the_future(snapshot.path):
        yield fail("point versions", reason, _FUTURE)


def sha256_to_restore(snapshot: Snapshot, progress: Progress) -> str:
    """Return the SHA-256 of an intact file whose points would keep later writes.

    Raises:
        Damaged: if it is not intact, or has a point that would lose every later write to it.
        Refused, StorageError: as `verified`.
    """
    sha256 = verified(snapshot, progress).sha256
    refuse_points_of_the_future(snapshot)
    return sha256


def refuse_points_of_the_future(snapshot: Snapshot) -> None:
    """Raise `Damaged` if the file has a point that would lose every later write to it."""
    with _readable(snapshot):
        for future in check_point_versions(snapshot):
            raise Damaged(f"{snapshot.name}: {future.message}.", hint=future.remedy)


def _sound(verification: Verification) -> Verification:
    if verification.error:
        raise verification.error
    return verification


@contextmanager
def _readable(snapshot: Snapshot) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"Cannot read {snapshot.path}: {error.strerror}.",
            hint="Give this user permission to read it.",
        ) from error


def _findings(snapshot: Snapshot, sha256: str) -> tuple[Finding, ...]:
    return (*_against_manifest(snapshot, sha256), _structure(snapshot))


def _against_manifest(snapshot: Snapshot, sha256: str) -> tuple[Finding, ...]:
    manifest = snapshot.manifest
    if manifest is None:
        message = "no manifest, so size and checksum cannot be compared"
        return (Finding(check="manifest", status=Status.WARN, message=message),)
    size = _expect("size", f"{manifest.size_bytes:,} bytes", f"{snapshot.size_bytes:,} bytes")
    findings = (size, _expect("sha256", manifest.sha256, sha256))
    return (*findings, *_name(snapshot), *_description(manifest), *_searches(snapshot))


def _name(snapshot: Snapshot) -> Iterator[Finding]:
    """The manifest is that of this file; another name means a copied or renamed set."""
    if snapshot.renamed:
        yield warn("name", snapshot.renamed, RENAME)


def _description(manifest: Manifest) -> Iterator[Finding]:
    sealed = manifest.seal.description if manifest.seal else None
    if sealed not in (None, manifest.description):
        message = "config, aliases or counts in the manifest differ from what was sealed"
        yield Finding(check="description", status=Status.FAIL, message=message)


def _searches(snapshot: Snapshot) -> Iterator[Finding]:
    """The recorded searches are those that the manifest identifies; a lost file harms no point."""
    try:
        _ = snapshot.beside.probes
    except Damaged as error:
        told = fail if os.path.lexists(snapshot.probes_path) else warn
        yield told("searches", error.message.rstrip("."), error.hint)


def _expect(check: str, expected: str, actual: str) -> Finding:
    if expected == actual:
        return Finding(check=check, status=Status.OK, message=actual)
    message = f"{check} is {actual}, but {expected} was recorded"
    return Finding(check=check, status=Status.FAIL, message=message)


def _other_shards(manifest: Manifest | None, summary: ArchiveSummary) -> str:
    """Say how the shards of a cluster's file are not the recorded ones; "" if they are."""
    recorded = manifest.shard_set if manifest else None
    found = summary.description.shard_set if summary.description else None
    if manifest is None or (recorded is None and found is None):
        return ""
    if recorded is None or found is None:
        return "only one of manifest and file is that of a cluster"
    if recorded.keys != found.keys or recorded.identities != found.identities:
        return "the file names other shards or keys than the manifest"
    described = summary.description
    if described and (described.config, described.payload_schema) != (
        manifest.config,
        manifest.payload_schema,
    ):
        return "the file describes another config or other payload indexes than the manifest"
    return ""


def _structure(snapshot: Snapshot) -> Finding:
    try:
        summary: ArchiveSummary = check_archive(snapshot.path)
    except Damaged as error:
        remedy = UNPACK if error.hint == UNPACK else ""
        return fail("archive", error.message.rstrip("."), remedy)
    except WholeStorage as error:
        return fail(KIND, error.message.rstrip("."), error.hint)
    except Refused as error:
        return Finding(check=REPLICAS, status=Status.FAIL, message=error.message.rstrip("."))
    if other := _other_shards(snapshot.manifest, summary):
        return fail("archive", other, "")
    shards, segments = len(summary.shards), summary.segments_count
    message = f"complete, {shards} shard{'s' * (shards != 1)}, {segments} segments"
    return Finding(check="archive", status=Status.OK, message=message)
