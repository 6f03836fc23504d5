"""The plan of a restore, decided before anything changes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from snapshot_tasks.catalog.journal import NO_JOURNAL, Journal
from snapshot_tasks.domain.findings import Finding, Status, ok, warn
from snapshot_tasks.domain.names import beside_names, check_collection
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.domain.versions import Fit, known, version_fit
from snapshot_tasks.operations.restore.by_shard import ByShard
from snapshot_tasks.operations.restore.demands import CustomSharding, refuse_lost, refuse_unfit
from snapshot_tasks.qdrant.mounts import server_paths
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.errors import NotFound, Refused, StorageError
from snapshot_tasks.system.units import counted, duration


class Saved(Protocol):
    """A safety snapshot of a collection, and what looked suspicious about its contents."""

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot."""
        ...

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What looked suspicious."""
        ...


UNTOUCHED = "Nothing was replaced. Try an older snapshot from `inv snapshot.list`."
OTHER_NAME_OR_REPLACE = (
    "Restore it under another name with `--as NAME`, or replace it with `--replace --yes`."
)
SaveExisting = Callable[[str], Saved]
ProveSafety = Callable[[Snapshot], bool]
FreeBytes = Callable[[], int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreRequest:
    """Which snapshot to restore, and where to. `target` defaults to the snapshot's collection.

    `save_existing` takes a safety snapshot of a collection; passing it allows replacing one. In a
    cluster of several nodes, `prove_safety` then test-restores that snapshot, and returns whether
    it could; and `tell_away` is told for about how many seconds the collection will be away, and
    may refuse that.
    `verified_sha256` means that the caller has just read and verified every byte. `left_aliases`
    are recorded aliases that are not made, each with the reason. `free_bytes` returns how much free
    space the server's disk has, or None if that is unknown. `reindex` makes payload indexes anew
    that find too little. `replication` is on how many nodes each shard shall be; 0 is as recorded.
    `loaded_at_start` means that the server was started with the snapshot, so the collection exists
    already and only needs to be compared. `is_throwaway` means that nobody else uses the server, so
    that limits on reading can be lifted.
    """

    snapshot: Snapshot
    target: str | None = None
    if_missing: bool = False
    save_existing: SaveExisting | None = None
    prove_safety: ProveSafety = lambda snapshot: False
    tell_away: Callable[[float], None] = lambda seconds: None
    verified_sha256: str | None = None
    left_aliases: Mapping[str, str] = field(default_factory=dict)
    free_bytes: FreeBytes = lambda: None
    reindex: bool = False
    replication: int = 0
    loaded_at_start: bool = False
    is_throwaway: bool = False
    journal: Journal = NO_JOURNAL


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorePlan:
    """What a restore will do. Making the plan has not changed anything.

    With `beside`, the file is restored as a collection of this name, and then every alias of the
    target is pointed at it: nothing is deleted.
    """

    snapshot: Snapshot
    target: str
    exists: bool
    skipped_because: str
    aliases: tuple[str, ...]
    kept_aliases: tuple[str, ...]
    server_version: str
    warnings: tuple[Finding, ...]
    needed_bytes: int
    free_bytes: int | None = None
    named_by_alias: str = ""
    beside: str = ""
    reindex: bool = False
    sharding: CustomSharding | None = None
    by_shard: ByShard | None = None
    loaded_at_start: bool = False
    is_throwaway: bool = False

    @property
    def skip(self) -> bool:
        """Whether nothing needs to be done."""
        return bool(self.skipped_because)

    @property
    def all_aliases(self) -> tuple[str, ...]:
        """The aliases that the restored collection gets."""
        return self.aliases + self.kept_aliases

    @property
    def is_read(self) -> bool:
        """Whether the restore itself compares every point, of every replica.

        A drill reads the points of its throw-away server itself, and compares more.
        """
        return self.by_shard is not None and not self.is_throwaway

    @property
    def is_on_several_nodes(self) -> bool:
        """Whether the restored collection is on a cluster of several nodes."""
        return self.by_shard is not None and self.by_shard.nodes_count > 1

    def steps(self) -> list[str]:
        """Return the plan in words."""
        if self.skip:
            return [f"{self.target} {self.skipped_because}: nothing to do"]
        steps = [f"check every byte of {self.snapshot.name}", self._space()]
        if self.named_by_alias and not self.beside:
            steps.insert(0, f"use {self.target}, the collection of the alias {self.named_by_alias}")
        if self.exists and not self.beside:
            steps += self._saving()
        steps += self._making(self.beside or self.target)
        if self.beside:
            steps += [
                f"point the alias {alias} at {self.beside}, in one request for all"
                for alias in self.all_aliases
            ]
            steps.append(f"leave {self.target} as it is")
            steps.append(f"delete {self.beside} on any failure, and change nothing else")
        elif self.exists:
            steps.append(f"restore {self.target} as it was on any failure")
        return steps

    def _saving(self) -> list[str]:
        """Return what is done before an existing collection is deleted, and its deletion."""
        trial = f"restore {self.snapshot.name} under a temporary name, compare it, then delete it"
        safety = f"take a safety snapshot of {self.target}"
        if self.is_on_several_nodes:
            trial += ", to measure how long that takes"
            safety += ", and prove it by a test restore"
            last = self.snapshot.last_restore_seconds
            known = f" (the last test restore took {duration(last)})" if last else ""
            told = f"say how long {self.target} will be away{known}; without --yes, ask"
            return [trial, told, safety, f"delete {self.target}"]
        return [trial, safety, f"delete {self.target}"]

    def _making(self, target: str) -> list[str]:
        """Return how the restored collection is made and compared."""
        steps = []
        if self.sharding:
            keys = ", ".join(str(step.key) for step in self.sharding.steps if not step.gap)
            steps.append(f"create {target} with its shard keys: {keys}")
        if self.by_shard:
            shards = counted(len(self.by_shard.key_by_id), "shard")
            steps.append(f"create {target} with {shards} and its payload indexes")
            steps.append("send each shard to every node that holds it")
        steps.append(f"restore {self.snapshot.name} as {target}")
        if self.by_shard:
            steps.append("compare every point of every replica")
        if not self.beside:
            steps += [f"create the alias {alias}" for alias in self.all_aliases]
        steps.append("compare count, config, payload schema, aliases and filters")
        if self.reindex:
            steps.append("make payload indexes anew that find too little, and compare again")
        return steps

    def _space(self) -> str:
        free = "free space unknown" if self.free_bytes is None else f"{self.free_bytes:,} are free"
        return f"temporarily use up to {self.needed_bytes:,} bytes of the server's disk ({free})"


def plan_restore(request: RestoreRequest, server: Server) -> RestorePlan:
    """Look at the server and decide; anything that prevents a restore is raised here.

    An alias as target means its collection, which is only replaced if that is allowed.

    Raises:
        Refused: if the target exists, an alias is taken, the versions are not compatible, or the
            server cannot restore such a collection.
        NotFound: if the collection of the file is unknown.
        StorageError: if the server's disk has not enough space.
    """
    snapshot = request.snapshot
    snapshot.check_manifest()
    named = request.target or snapshot.collection
    if not named:
        raise NotFound(
            f"The collection of {snapshot.name} is unknown.",
            hint="Pass it with `--as NAME`.",
        )
    check_collection(named)
    version, collections, aliases = (
        server.version(),
        server.collections.names(),
        server.collections.aliases(),
    )
    if request.loaded_at_start:
        collections = [name for name in collections if name != named]
    may_replace = request.save_existing is not None
    because = skipped_because(named, collections, aliases) if request.if_missing else ""
    skip = bool(because)
    if not skip:
        _refuse_overwrite(named, named in collections, aliases, may_replace)
    target = aliases.get(named, named) if may_replace else named
    recorded = (
        snapshot.manifest.aliases if snapshot.manifest and target == snapshot.collection else ()
    )
    left = tuple(alias for alias in recorded if alias in request.left_aliases)
    recorded = tuple(alias for alias in recorded if alias not in left)
    kept = tuple(a for a, owner in aliases.items() if owner == target and a not in recorded)
    if not skip:
        _refuse_taken_aliases(recorded, target, collections, aliases)
    prepared = (
        None
        if skip
        else refuse_unfit(
            snapshot,
            server,
            version,
            loaded_at_start=request.loaded_at_start,
            replication=request.replication,
        )
    )
    by_shard = prepared if isinstance(prepared, ByShard) else None
    if by_shard and by_shard.nodes_count > 1 and target in collections:
        refuse_lost(server, target)
    beside = ""
    if target != named and by_shard and by_shard.nodes_count > 1:
        names = beside_names(named, snapshot.created_at)
        beside = next(name for name in names if name not in {*collections, *aliases})
    plan = RestorePlan(
        snapshot=snapshot,
        target=target,
        exists=target in collections,
        skipped_because=because,
        aliases=recorded,
        kept_aliases=kept,
        server_version=version,
        warnings=()
        if skip
        else (
            *_version_warnings(snapshot, version),
            *(alias_left(alias, request.left_aliases[alias]) for alias in left),
            *(_changed(by_shard, request) if by_shard else ()),
        ),
        sharding=prepared if isinstance(prepared, CustomSharding) else None,
        by_shard=by_shard,
        loaded_at_start=request.loaded_at_start,
        is_throwaway=request.is_throwaway,
        needed_bytes=_needed_bytes(snapshot, server, version),
        free_bytes=None if skip else request.free_bytes(),
        named_by_alias=named if target != named else "",
        beside=beside,
        reindex=request.reindex,
    )
    _refuse_too_large(plan)
    return plan


def _changed(by_shard: ByShard, request: RestoreRequest) -> tuple[Finding, ...]:
    """Return what differs from the source by intent; a throw-away server needs no more replicas."""
    if not request.is_throwaway:
        return by_shard.changed
    return tuple(ok(finding.check, finding.message) for finding in by_shard.changed)


def alias_left(alias: str, why: str) -> Finding:
    """Return the warning about a recorded alias that a restore does not make."""
    return warn("aliases", f"{alias} is not made: {why}", "Point it where it belongs, if needed.")


def skipped_because(name: str, collections: Collection[str], aliases: Mapping[str, str]) -> str:
    """Return why a collection is not missing on a server; empty if it is."""
    if name in collections:
        return "already exists"
    return f"is an alias of the collection {aliases[name]}" if name in aliases else ""


def _needed_bytes(snapshot: Snapshot, server: Server, version: str) -> int:
    """Return how much disk space a restore needs at its peak, including an uploaded file."""
    is_seen = bool(server_paths(server.endpoint, snapshot.path))
    return int(snapshot.size_bytes * (known(version).disk_factor + (0 if is_seen else 1)))


def _refuse_too_large(plan: RestorePlan) -> None:
    if plan.free_bytes is not None and plan.free_bytes < plan.needed_bytes:
        raise StorageError(
            f"Restoring {plan.snapshot.name} needs up to {plan.needed_bytes:,} bytes on the"
            f" server's disk, but only {plan.free_bytes:,} are free.",
            hint="Nothing was changed. Free space there, then run this again.",
        )


def _refuse_overwrite(
    target: str, exists: bool, aliases: dict[str, str], may_replace: bool
) -> None:
    if may_replace:
        return
    if target in aliases:
        raise Refused(
            f"{target} is an alias of the collection {aliases[target]}.",
            hint="Restore under another name with `--as NAME`, or replace that collection with"
            " `--replace --yes`.",
        )
    if exists:
        raise Refused(
            f"The collection {target} already exists.",
            hint=OTHER_NAME_OR_REPLACE,
        )


def _refuse_taken_aliases(
    recorded: tuple[str, ...], target: str, collections: list[str], aliases: dict[str, str]
) -> None:
    for alias in recorded:
        owner = alias if alias in collections else aliases.get(alias, target)
        if owner != target:
            raise Refused(
                f"The alias {alias} of the snapshot already belongs to the collection {owner}.",
                hint="Remove that alias first, or restore under another name with `--as NAME`.",
            )


def _version_warnings(snapshot: Snapshot, server_version: str) -> tuple[Finding, ...]:
    taken_with = snapshot.taken_with
    fit = version_fit(taken_with, server_version)
    if fit in (Fit.TOO_OLD, Fit.TOO_NEW):
        raise Refused(
            f"The snapshot was taken with Qdrant {taken_with}, but this server is {server_version}."
            " Only the same or the next minor version can restore it reliably.",
            hint=f"Use Qdrant {taken_with} (QDRANT_VERSION), then upgrade step by step.",
        )
    if fit is Fit.UNKNOWN:
        message = f"taken with an unknown version, restored into {server_version}"
        return (Finding(check="version", status=Status.WARN, message=message),)
    message = f"{taken_with} into {server_version}"
    return (Finding(check="version", status=Status.OK, message=message),)
