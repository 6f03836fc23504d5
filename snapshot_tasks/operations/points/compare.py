"""Which points differ between a snapshot and the live collection, or another snapshot?"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from snapshot_tasks.domain import fingerprint as canon
from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.domain.fingerprint import BUCKETS, Fingerprint, Sealed
from snapshot_tasks.domain.outline import Change, Counts, Id, Outline, changes
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.operations.points.outlines import AFTER, BEFORE, Sorter
from snapshot_tasks.qdrant.points import outline_live_points, read_fingerprint, retrieve_live_point
from snapshot_tasks.sealing.reader import outline_points, retrieve_points
from snapshot_tasks.system.errors import NotFound
from snapshot_tasks.system.files import publish, staging_file, storage_errors
from snapshot_tasks.system.progress import Progress
from snapshot_tasks.system.scratch import scratch_folder

ALL = frozenset(range(BUCKETS))
Take = Callable[[list[Outline]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSide:
    """The live collection, as one side of a comparison."""

    endpoint: Endpoint
    collection: str

    @property
    def name(self) -> str:
        """What a person calls it."""
        return f"the live collection {self.collection}"

    def seal(self, progress: Progress) -> Sealed:
        """Read every point for its fingerprint."""
        with progress.phase(f"reading every live point of {self.collection}") as advance:
            found = read_fingerprint(self.endpoint, self.collection, advance)
        return Sealed(digest=found.digest, points_count=found.points_count, buckets=found)

    def outline(self, buckets: frozenset[int], take: Take, progress: Progress, by: str) -> None:
        """Give `take` the outlines of the points in these buckets."""
        with progress.phase("reading the live points that may differ") as advance:
            outline_live_points(self.endpoint, self.collection, buckets, take, advance, by=by)

    def point(self, identity: Id, progress: Progress) -> dict[str, Any] | None:
        """Return one point with its payload and vectors; None if it has none with this id."""
        return retrieve_live_point(self.endpoint, self.collection, identity)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSide:
    """A snapshot, as one side of a comparison."""

    snapshot: Snapshot

    @property
    def name(self) -> str:
        """What a person calls it."""
        return self.snapshot.name

    def seal(self, progress: Progress) -> Sealed | None:
        """Return what was sealed; None if it was not, so that every point must be read."""
        return self.snapshot.sealed

    def outline(self, buckets: frozenset[int], take: Take, progress: Progress, by: str) -> None:
        """Give `take` the outlines of the points in these buckets."""
        outline_points(self.snapshot.path, buckets, take, progress, by=by)

    def point(self, identity: Id, progress: Progress) -> dict[str, Any] | None:
        """Return one point with its payload and vectors; None if it has none with this id."""
        return next(iter(retrieve_points(self.snapshot.path, [identity], progress)), None)


Side = LiveSide | FileSide


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """One point in both places; None where it is not. `differing` names what of it differs."""

    id: Id
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    differing: tuple[str, ...]


def versions_of(identity: Id, before: FileSide, after: Side, progress: Progress) -> Versions:
    """Return both versions of a point.

    Raises:
        NotFound: if it is in neither place.
    """
    old, new = before.point(identity, progress), after.point(identity, progress)
    if old is None and new is None:
        raise NotFound(
            f"There is no point {identity}, neither in {before.name} nor in {after.name}.",
            hint="`inv points.diff --ids FILE` writes the ids of the points that differ.",
        )
    return Versions(id=identity, before=old, after=new, differing=tuple(_differing_parts(old, new)))


def _differing_parts(old: dict[str, Any] | None, new: dict[str, Any] | None) -> Iterator[str]:
    payloads = [point["payload"] if point else {} for point in (old, new)]
    vectors = [_bits(point["vectors"]) if point else {} for point in (old, new)]
    for label, (first, second) in (("payload", payloads), ("vector", vectors)):
        for key in sorted(first.keys() | second.keys()):
            if first.get(key) != second.get(key):
                yield f"{label} {key}".rstrip()


def _bits(vectors: dict[str, Any]) -> dict[str, Any]:
    """Return vectors as they are compared: a file and a server write their numbers otherwise."""
    try:
        return {name: canon.vector(vector) for name, vector in vectors.items()}
    except struct.error:  # a server writes NaN as null
        return vectors


def compare_to_file(
    before: FileSide, after: Side, path: Path | None, progress: Progress, *, by: str = ""
) -> Counts:
    """Compare, and write each point that differs to a file, one JSON object in a line.

    Raises:
        NotFound, StorageError, Damaged: as `compare_points`; the file is complete or unchanged.
    """
    if path is None:
        return compare_points(before, after, progress, by=by)
    with storage_errors(path.parent, setting="--ids"), staging_file(path.parent) as staging:
        with staging.open("wb") as file:
            counts = compare_points(
                before, after, progress, by=by, each=lambda change: _write(file, change)
            )
        publish(staging, path)
    return counts


def _write(file: BinaryIO, change: Change) -> None:
    document = {"id": change.id, "what": change.kind, "components": change.components}
    file.write(orjson.dumps(document) + b"\n")


def compare_points(
    before: FileSide,
    after: Side,
    progress: Progress,
    *,
    by: str = "",
    each: Callable[[Change], None] | None = None,
) -> Counts:
    """Count the points that were added, removed or changed; `each` gets every one of them.

    The seals narrow it to the buckets of ids that differ; without difference no point of a sealed
    file is read. Memory does not depend on how many points there are, or differ.

    Raises:
        NotFound: if the live collection does not exist.
        StorageError: if the temporary folder has too little space.
        Damaged: if a file cannot be read.
    """
    counts = Counts()
    buckets = _differing(before.seal(progress), after, progress)
    if not buckets:
        return counts
    with (
        scratch_folder() as folder,
        storage_errors(folder, setting="TMPDIR"),
        Sorter(folder) as sorter,
    ):
        before.outline(buckets, partial(sorter.take, BEFORE), progress, by)
        after.outline(buckets, partial(sorter.take, AFTER), progress, by)
        for old, new in sorter.piles():
            for change in changes(old, new):
                counts.take(change, by_value=bool(by))
                if each:
                    each(change)
    return counts


def _differing(before: Sealed | None, after: Side, progress: Progress) -> frozenset[int]:
    """Return the buckets of ids whose points may differ."""
    if before is None:
        return ALL
    other = after.seal(progress)
    if other is None:
        return ALL
    if before.digest == other.digest:
        return frozenset()
    return _of(before.buckets, other.buckets)


def _of(first: Fingerprint | None, second: Fingerprint | None) -> frozenset[int]:
    if first is None or second is None:
        return ALL
    return frozenset().union(*(d.buckets for d in first.differences(second)))
