"""What a drill expects of a restore: what was sealed, or else what the file contains as it is."""

from __future__ import annotations

from dataclasses import replace

from snapshot_tasks.checks.expected import Expected, expected_recorded, expected_sealed
from snapshot_tasks.domain.collection import CollectionState
from snapshot_tasks.domain.fingerprint import Fingerprint, Sealed
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.operations.create.seal import read_file
from snapshot_tasks.sealing.described import Described, describe_alone
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
    described = None if snapshot.manifest else describe_alone(snapshot.path)
    contents = read_unsealed(snapshot, progress, described)
    return _of_file(expected_recorded(snapshot, target), described, contents)


def read_unsealed(
    snapshot: Snapshot, progress: Progress, described: Described | None = None
) -> Contents:
    """Read the contents of a file for which nothing was sealed. Raises as `expectation`."""
    manifest = snapshot.manifest
    schema = manifest or described
    contents, _ = read_file(
        snapshot.path,
        manifest.points_count if manifest else None,
        progress,
        payload_schema=schema.payload_schema if schema else {},
    )
    return contents


def as_sealed(fingerprint: Fingerprint) -> Sealed:
    """Return a fingerprint in the form in which a seal is compared."""
    return Sealed(
        digest=fingerprint.digest, points_count=fingerprint.points_count, buckets=fingerprint
    )


def _of_file(recorded: Expected, described: Described | None, contents: Contents) -> Expected:
    found = replace(
        recorded,
        sealed=as_sealed(contents.fingerprint),
        of_file=True,
        pending_count=contents.pending_count,
    )
    if contents.pending_count:
        # The reader did not see the queued updates, so its results could raise a false alarm.
        return replace(found, index_counts=())
    if described:
        found = _as_described(found, described)
    count = contents.fingerprint.points_count
    return replace(
        found,
        state=replace(found.state, points_count=count) if found.state else None,
        moving_between=None,
        probes=contents.probes,
        index_counts=contents.index_counts,
        odd_vectors=frozenset(n for n, c in contents.sanity["nan_vectors"].items() if c),
    )


def _as_described(expected: Expected, described: Described) -> Expected:
    """Expect the file's own description; a file does not hold the aliases."""
    state = CollectionState(
        points_count=0,
        config=described.config,
        payload_schema=described.payload_schema,
        aliases=(),
    )
    unsettled = frozenset(described.unsettled)
    return replace(expected, state=state, unsettled_indexes=unsettled, knows_aliases=False)
