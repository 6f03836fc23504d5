"""What a restored collection must be, and what it is: the input of every check of a restore."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from snapshot_tasks.domain.collection import CollectionState
from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.domain.fingerprint import Sealed
from snapshot_tasks.domain.index_counts import IndexCount
from snapshot_tasks.domain.seal import READER
from snapshot_tasks.domain.search_parity import Probe
from snapshot_tasks.domain.shards import ShardFacts
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.progress import Progress
from snapshot_tasks.system.untrusted import JsonObject

COUNT_SECONDS = 60.0


class Cost(Enum):
    """What a check costs the server: describing a collection, or reading its points."""

    DESCRIBED = "described"
    READ = "read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a restored collection must match: the manifest's record, or the former live collection.

    `state` is None if nothing describes the collection. `moving_between` has the source's exact
    counts before and after the snapshot if they differ: the file's count is close to them, but not
    known exactly. `owns_aliases` is False under another name, because the aliases are not recreated
    then, and `knows_aliases` is False without a manifest or after an import: files hold none.
    `sealed`, `probes` and `index_counts` say which points, and which results of searches and
    filters, are expected, if that is known, and `shards` which points each shard must have;
    `odd_vectors` are the names of those that have a vector with NaN or infinity.
    `unsettled_indexes` may or may not exist: they were being created or dropped. `file` is the
    snapshot, to be read where a server hides points.

    Without a seal, a drill expects what the file contains as it is (`of_file`). The file's log may
    then have `pending_count` operations whose effect only a server knows.
    """

    state: CollectionState | None
    taken_with: str | None = None
    moving_between: tuple[int, int] | None = None
    owns_aliases: bool = True
    knows_aliases: bool = True
    sealed: Sealed | None = None
    probes: tuple[Probe, ...] = ()
    odd_vectors: frozenset[str] = frozenset()
    index_counts: tuple[IndexCount, ...] = ()
    shards: Mapping[int, ShardFacts] = field(default_factory=dict)
    unsettled_indexes: frozenset[str] = frozenset()
    of_file: bool = False
    pending_count: int = 0
    file: Path | None = None

    @property
    def known_count(self) -> int | None:
        """The recorded number of points; without a manifest, that of the file if it is certain."""
        if self.state is not None:
            return self.state.total_count
        return self.sealed.points_count if self.sealed and not self.pending_count else None

    def fits(self, count: int) -> bool:
        """Return whether a number of points is the expected one, as far as it is known."""
        if self.moving_between:
            low, high = sorted(self.moving_between)
            return low <= count <= high
        return count > 0 if self.known_count is None else count == self.known_count


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A restored collection and what it must match: everything that a check needs.

    `status` is the optimizer's status after waiting for it, or None if nobody waited.
    """

    expected: Expected
    actual: CollectionState
    collection: str
    endpoint: Endpoint
    server_version: str
    progress: Progress
    status: str | None = None


def expected_recorded(snapshot: Snapshot, target: str) -> Expected:
    """Return what the manifest expects to be restored under a name; the seal is not read.

    Raises:
        Damaged: if the recorded counts of its payload indexes are not readable.
    """
    manifest = snapshot.manifest
    if manifest is None:
        return Expected(state=None)
    counts = (manifest.source_points_before, manifest.source_points_after)
    # The seal includes the file's exact count.
    is_vague = manifest.source_moved and manifest.seal is None
    return Expected(
        state=manifest.state,
        taken_with=manifest.taken_with,
        moving_between=counts if is_vague else None,
        owns_aliases=target == manifest.collection,
        knows_aliases=not manifest.imported,
        index_counts=snapshot.index_counts,
        unsettled_indexes=frozenset(manifest.unsettled_indexes),
    )


def expected_sealed(snapshot: Snapshot, target: str, *, searches: bool = True) -> Expected:
    """Return what must be restored under a name, with the sealed points and search results.

    Without `searches`, their file need not be readable.

    Raises:
        Damaged: if the seal or the searches saved with it are not readable.
    """
    seal = snapshot.sealed
    probes = snapshot.probes if seal and searches else ()
    sanity = (snapshot.manifest.sanity if snapshot.manifest else None) or {}
    odd = frozenset(name for name, count in sanity.get("nan_vectors", {}).items() if count)
    recorded = expected_recorded(snapshot, target)
    file = snapshot.path if _is_sealed_by_reader(snapshot) else None
    return replace(
        recorded,
        sealed=seal,
        probes=probes,
        odd_vectors=odd,
        file=file,
        shards=sealed_shards(snapshot),
    )


def sealed_shards(snapshot: Snapshot) -> dict[int, ShardFacts]:
    """Return the shards that were sealed one by one."""
    return {shard.id: shard for shard in snapshot.shards if shard.digest}


def settle(expected: Expected, collection: str, server: Server) -> None:
    """Wait until a restored collection has every expected point, or no more of them come."""
    server.collections.wait_count(collection, expected.fits, COUNT_SECONDS)


def look(
    expected: Expected,
    collection: str,
    server: Server,
    progress: Progress,
    *,
    version: str,
    status: str | None = None,
    lifted: JsonObject | None = None,
) -> Restored:
    """Ask the server to describe a collection. Raises `NotFound` if it does not exist.

    `lifted` are the limits that were switched off to read it; they are compared all the same.
    """
    actual = server.collections.state(collection)
    if lifted:
        actual = replace(actual, config={**actual.config, "strict_mode_config": lifted})
    return Restored(
        expected=expected,
        actual=actual,
        collection=collection,
        endpoint=server.endpoint,
        server_version=version,
        progress=progress,
        status=status,
    )


def _is_sealed_by_reader(snapshot: Snapshot) -> bool:
    """Return whether reading the file finds what was sealed, without a server."""
    seal = snapshot.manifest.seal if snapshot.manifest else None
    return seal is not None and seal.sealed_by == READER
