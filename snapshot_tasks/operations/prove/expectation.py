"""What a drill expects of a restore: what was sealed, or else what the file contains as it is."""

from __future__ import annotations

from dataclasses import replace

from snapshot_tasks.checks.expected import Expected, expected_recorded, expected_sealed
from snapshot_tasks.domain.fingerprint import Fingerprint, Sealed
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.operations.create.seal import read_file
from snapshot_tasks.sealing.described import payload_schema_of
from snapshot_tasks.sealing.reader import Contents
from snapshot_tasks.system.progress import Progress


def expectation(snapshot: Snapshot, target: str, progress: Progress) -> Expected:
    """Return what must be restored under a name; without a seal, the file itself is read for it.

    Raises:
        Damaged: if the seal, the recorded searches or the file cannot be read.
        StorageError: if the temporary folder has not enough space to read the file.
    """
    if snapshot.sealed is not None:
        return expected_sealed(snapshot, target)
    return _of_file(expected_recorded(snapshot, target), read_unsealed(snapshot, progress))


def read_unsealed(snapshot: Snapshot, progress: Progress) -> Contents:
    """Read the contents of a file for which nothing was sealed. Raises as `expectation`."""
    manifest = snapshot.manifest
    contents, _ = read_file(
        snapshot.path,
        manifest.points_count if manifest else None,
        progress,
        payload_schema=(manifest.payload_schema if manifest else payload_schema_of(snapshot.path)),
    )
    return contents


def as_sealed(fingerprint: Fingerprint) -> Sealed:
    """Return a fingerprint in the form in which a seal is compared."""
    return Sealed(
        digest=fingerprint.digest, points_count=fingerprint.points_count, buckets=fingerprint
    )


def _of_file(recorded: Expected, contents: Contents) -> Expected:
    found = replace(
        recorded,
        sealed=as_sealed(contents.fingerprint),
        of_file=True,
        pending_count=contents.pending_count,
    )
    if contents.pending_count:
        # The reader did not see the queued updates, so its results could raise a false alarm.
        return replace(found, index_counts=())
    count = contents.fingerprint.points_count
    return replace(
        found,
        state=replace(recorded.state, points_count=count) if recorded.state else None,
        moving_between=None,
        probes=contents.probes,
        index_counts=contents.index_counts,
        odd_vectors=frozenset(n for n, c in contents.sanity["nan_vectors"].items() if c),
    )
