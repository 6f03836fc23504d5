"""Do the contents of a snapshot file, or of the live collection, match the seal?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

from snapshot_tasks.catalog.proofs import keep_proof
from snapshot_tasks.checks.cluster import settled_layout
from snapshot_tasks.checks.contents import check_contents, check_shards
from snapshot_tasks.checks.expected import sealed_shards
from snapshot_tasks.checks.file import LIVE_REPLICAS, Verification, verify
from snapshot_tasks.checks.indexes import wrong_on_source
from snapshot_tasks.checks.live_indexes import ask_source
from snapshot_tasks.checks.replicas import REPLICA_REMEDY, disagreements, read_replicas, unsealed
from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.domain.findings import Finding, Status, fail, ok
from snapshot_tasks.domain.fingerprint import BUCKETS, Sealed
from snapshot_tasks.domain.proof import BYTES, CONTENT, SOURCE
from snapshot_tasks.domain.seal import SERVER
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.operations.batch import Batch, for_each
from snapshot_tasks.operations.create.seal import FreshServers, read_file, read_on_fresh_server
from snapshot_tasks.qdrant.indexes import PayloadIndexes
from snapshot_tasks.qdrant.nodes import open_nodes
from snapshot_tasks.qdrant.points import locate_live_points, read_fingerprint
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.sealing.reader import locate_points
from snapshot_tasks.system.errors import NotFound
from snapshot_tasks.system.progress import Clock, Progress
from snapshot_tasks.system.units import counted

MAX_IDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceComparison:
    """How the live collection differs from the seal; up to 20 ids of each kind.

    `hidden_count` is the number of live points that the server does not show.
    """

    added_count: int = 0
    removed_count: int = 0
    changed_count: int = 0
    added: tuple[int | str, ...] = ()
    removed: tuple[int | str, ...] = ()
    changed: tuple[int | str, ...] = ()
    hidden_count: int = 0

    @property
    def is_same(self) -> bool:
        """Whether nothing differs."""
        return not (self.added_count or self.removed_count or self.changed_count)

    def finding(self) -> Finding:
        """Return the comparison as a finding."""
        if self.is_same:
            message = "every point of the live collection matches the seal"
            return Finding(check=SOURCE, status=Status.OK, message=message)
        if self.hidden_count == self.removed_count and not (self.added_count or self.changed_count):
            message = (
                "every point that Qdrant shows matches the seal;"
                f" it hides {self.hidden_count:,} until they are optimized"
            )
            return Finding(check=SOURCE, status=Status.WARN, message=message)
        parts = [
            f"{getattr(self, f'{kind}_count'):,} {kind} ({_ids(getattr(self, kind))})"
            for kind in ("added", "removed", "changed")
            if getattr(self, f"{kind}_count")
        ]
        message = f"changed since it was sealed: {', '.join(parts)}"
        return Finding(check=SOURCE, status=Status.FAIL, message=message)


def sealed_contents(snapshot: Snapshot) -> Sealed:
    """Return the snapshot's seal. Raises `NotFound` if it is not sealed."""
    sealed = snapshot.sealed
    if sealed is None:
        raise NotFound(
            f"{snapshot.name} is not sealed, so its contents cannot be checked.",
            hint="Take a new snapshot with `inv snapshot.create`, which seals it.",
        )
    return sealed


def verify_contents(
    snapshot: Snapshot, sha256: str, servers: FreshServers, progress: Progress
) -> tuple[Finding, ...]:
    """Read every point of the file again, in the same way as when it was sealed.

    Raises:
        NotFound: if it is not sealed.
        Damaged: if it cannot be read any more.
    """
    sealed = sealed_contents(snapshot)
    manifest = snapshot.manifest
    assert manifest is not None
    assert manifest.seal is not None
    if manifest.seal.sealed_by == SERVER:
        reading = read_on_fresh_server(
            snapshot.path,
            version=manifest.taken_with or servers.version,
            sha256=sha256,
            servers=servers,
            progress=progress,
        )
        return (check_contents(sealed, reading.fingerprint),)
    contents, _ = read_file(snapshot.path, sealed.points_count, progress)
    return (
        check_contents(sealed, contents.fingerprint),
        *check_shards(snapshot.shards, contents.shards),
    )


def compare_source(snapshot: Snapshot, endpoint: Endpoint, progress: Progress) -> SourceComparison:
    """Compare the live collection with the seal, and find the points that differ.

    Raises:
        NotFound: if the snapshot is not sealed, or the collection does not exist.
        Refused: if the server does not have every shard of the collection.
    """
    sealed = sealed_contents(snapshot)
    collection = snapshot.collection or ""
    with Server(endpoint, operation_timeout_seconds=endpoint.answer_seconds) as server:
        with open_nodes(server) as nodes:
            settled_layout(nodes, collection, progress)
        hidden_count = server.collections.count_all(collection).hidden
    count = sealed.points_count
    with progress.phase("reading every live point", total_points=count) as advance:
        live = read_fingerprint(endpoint, collection, advance)
    if live.digest == sealed.digest:
        return SourceComparison()
    buckets = frozenset(range(BUCKETS))
    if sealed.buckets:
        buckets = frozenset().union(*(d.buckets for d in sealed.buckets.differences(live)))
    before = locate_points(snapshot.path, buckets, progress)
    with progress.phase("finding the live points that differ", total_points=count) as advance:
        after = locate_live_points(endpoint, collection, buckets, advance)
    return replace(_compared(before, after), hidden_count=hidden_count)


def verify_at(
    level: str,
    snapshot: Snapshot,
    live: Callable[[], Endpoint],
    servers: FreshServers,
    progress: Progress,
) -> Verification:
    """Verify a snapshot at one of `LEVELS`; each starts with every byte of the file.

    `live` returns where the live collection is, and is only called for the level that needs it.

    Raises:
        NotFound: if the level needs a seal and the snapshot has none.
        Refused, Damaged, StorageError: as `verify`.
    """
    verification = verify(snapshot, progress)
    if level == BYTES or verification.error:
        return verification
    start = time.monotonic()
    if level == CONTENT:
        findings = verify_contents(snapshot, verification.sha256, servers, progress)
    else:
        findings = _verify_source(snapshot, live(), progress)
    return replace(
        verification,
        findings=verification.findings + findings,
        seconds=verification.seconds + time.monotonic() - start,
        level=level,
    )


def _verify_source(
    snapshot: Snapshot, endpoint: Endpoint, progress: Progress
) -> tuple[Finding, ...]:
    comparison = compare_source(snapshot, endpoint, progress)
    collection = snapshot.collection or ""
    with closing(PayloadIndexes(endpoint, collection)) as indexes:
        counts = ask_source(indexes, snapshot.index_counts, progress, moved=not comparison.is_same)
    return (
        comparison.finding(),
        *_live_replicas(snapshot, endpoint, progress, moved=not comparison.is_same),
        *wrong_on_source(counts, collection),
    )


def _live_replicas(
    snapshot: Snapshot, endpoint: Endpoint, progress: Progress, *, moved: bool
) -> Iterator[Finding]:
    """Yield whether each replica is right, which no answer of a cluster shows.

    All replicas of a shard are the same; and as sealed, unless points have `moved` since then.
    """
    collection = snapshot.collection or ""
    with (
        Server(endpoint, operation_timeout_seconds=endpoint.answer_seconds) as server,
        open_nodes(server) as nodes,
    ):
        if len(nodes) == 1:
            return
        settled_layout(nodes, collection, progress)
        replicas = read_replicas(nodes, collection, progress)
    wrong = list(disagreements(replicas))
    if not wrong and not moved and (sealed := sealed_shards(snapshot)).keys() == replicas.keys():
        wrong = list(unsealed(sealed, replicas))
    for reason in wrong:
        yield fail(LIVE_REPLICAS, reason, REPLICA_REMEDY)
    if not wrong:
        count = sum(map(len, replicas.values()))
        yield ok(LIVE_REPLICAS, f"{counted(count, 'replica')}, the same on all nodes")


def verify_each(
    level: str,
    snapshots: Iterable[Snapshot],
    live: Callable[[], Endpoint],
    fresh_servers: FreshServers,
    progress: Progress,
    *,
    clock: Clock,
    keep: bool,
) -> Batch[Verification]:
    """Verify several snapshots, and continue after a failure; `keep` appends a proof of each."""

    def work(snapshot: Snapshot) -> Verification:
        verification = verify_at(level, snapshot, live, fresh_servers, progress)
        if keep:
            keep_proof(snapshot, verification.proof(clock), progress)
        return verification

    return for_each(
        snapshots,
        work,
        name=lambda snapshot: snapshot.name,
        error_of=lambda verification: verification.error,
    )


def _compared(before: dict[int | str, bytes], after: dict[int | str, bytes]) -> SourceComparison:
    added = sorted(after.keys() - before.keys(), key=str)
    removed = sorted(before.keys() - after.keys(), key=str)
    changed = sorted((i for i in before.keys() & after.keys() if before[i] != after[i]), key=str)
    return SourceComparison(
        added_count=len(added),
        removed_count=len(removed),
        changed_count=len(changed),
        added=tuple(added[:MAX_IDS]),
        removed=tuple(removed[:MAX_IDS]),
        changed=tuple(changed[:MAX_IDS]),
    )


def _ids(ids: tuple[int | str, ...]) -> str:
    return ", ".join(map(str, ids))
