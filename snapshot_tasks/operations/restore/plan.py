"""What a restore is going to do, decided before anything changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from snapshot_tasks.catalog.journal import NO_JOURNAL, Journal
from snapshot_tasks.domain.findings import Finding, Status
from snapshot_tasks.domain.names import check_collection
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.domain.versions import Fit, known, version_fit
from snapshot_tasks.qdrant.mounts import server_paths
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.errors import NotFound, Refused, StorageError


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


SaveExisting = Callable[[str], Saved]
FreeBytes = Callable[[], int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreRequest:
    """Which snapshot goes where. `target` defaults to the snapshot's own collection.

    `save_existing` takes a safety snapshot of a collection; giving it allows replacing one.
    `verified_sha256` tells that the caller has just read and verified every byte. `free_bytes`
    tells how much room the server's disk has, where that can be known.
    """

    snapshot: Snapshot
    target: str | None = None
    if_missing: bool = False
    save_existing: SaveExisting | None = None
    verified_sha256: str | None = None
    free_bytes: FreeBytes = lambda: None
    journal: Journal = NO_JOURNAL


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorePlan:
    """What a restore is going to do. Making it has changed nothing."""

    snapshot: Snapshot
    target: str
    exists: bool
    skip: bool
    aliases: tuple[str, ...]
    kept_aliases: tuple[str, ...]
    server_version: str
    warnings: tuple[Finding, ...]
    needed_bytes: int
    free_bytes: int | None = None
    named_by_alias: str = ""

    def steps(self) -> list[str]:
        """Return the plan in words."""
        if self.skip:
            return [f"{self.target} exists: nothing to do"]
        name = self.snapshot.name
        steps = [f"check every byte of {name}", self._space()]
        if self.named_by_alias:
            steps.insert(0, f"take {self.target}, which the alias {self.named_by_alias} stands for")
        if self.exists:
            steps += [
                f"restore {name} beside it under a name of its own, compare it, delete it again",
                f"take a safety snapshot of {self.target}",
                f"delete {self.target}",
            ]
        steps.append(f"restore {name} as {self.target}")
        steps += [f"create the alias {alias}" for alias in self.aliases + self.kept_aliases]
        steps.append("compare count, config, payload schema and aliases")
        return [*steps, *([f"on any failure put {self.target} back"] if self.exists else [])]

    def _space(self) -> str:
        free = (
            "how many are free is not known"
            if self.free_bytes is None
            else (f"{self.free_bytes:,} are free")
        )
        return f"use up to {self.needed_bytes:,} bytes of the server's disk for a while ({free})"


def plan_restore(request: RestoreRequest, server: Server) -> RestorePlan:
    """Look at the server and decide; every blocker is raised here, before anything changes.

    An alias as target stands for its collection, which is only replaced where that is allowed.

    Raises:
        Refused: when the target exists, an alias is taken, or the versions do not fit.
        NotFound: when nothing says which collection the file holds.
        StorageError: when the server's disk has no room for it.
    """
    snapshot = request.snapshot
    snapshot.check_manifest()
    named = request.target or snapshot.collection
    if not named:
        raise NotFound(
            f"Nothing tells which collection {snapshot.name} holds.",
            hint="Name it with `--as NAME`.",
        )
    check_collection(named)
    version, collections, aliases = (
        server.version(),
        server.collections.names(),
        server.collections.aliases(),
    )
    may_replace = request.save_existing is not None
    skip = request.if_missing and (named in collections or named in aliases)
    if not skip:
        _refuse_overwrite(named, named in collections, aliases, may_replace)
    target = aliases.get(named, named) if may_replace else named
    recorded = (
        snapshot.manifest.aliases if snapshot.manifest and target == snapshot.collection else ()
    )
    kept = tuple(a for a, owner in aliases.items() if owner == target and a not in recorded)
    if not skip:
        _refuse_taken_aliases(recorded, target, collections, aliases)
    plan = RestorePlan(
        snapshot=snapshot,
        target=target,
        exists=target in collections,
        skip=skip,
        aliases=recorded,
        kept_aliases=kept,
        server_version=version,
        warnings=() if skip else _version_warnings(snapshot, version),
        needed_bytes=_needed_bytes(snapshot, server, version),
        free_bytes=None if skip else request.free_bytes(),
        named_by_alias=named if target != named else "",
    )
    _refuse_too_large(plan)
    return plan


def _needed_bytes(snapshot: Snapshot, server: Server, version: str) -> int:
    """Return what a restore takes at its peak: what is uploaded lies there as well."""
    is_seen = bool(server_paths(server.endpoint, snapshot.path))
    return int(snapshot.size_bytes * (known(version).disk_factor + (0 if is_seen else 1)))


def _refuse_too_large(plan: RestorePlan) -> None:
    if plan.free_bytes is not None and plan.free_bytes < plan.needed_bytes:
        raise StorageError(
            f"Restoring {plan.snapshot.name} takes up to {plan.needed_bytes:,} bytes of the"
            f" server's disk, free are {plan.free_bytes:,}.",
            hint="Free space there, then run this again. Nothing was changed.",
        )


def _refuse_overwrite(
    target: str, exists: bool, aliases: dict[str, str], may_replace: bool
) -> None:
    if may_replace:
        return
    if target in aliases:
        raise Refused(
            f"{target} is an alias of the collection {aliases[target]}.",
            hint="Restore beside it with `--as NAME`, or over that collection with"
            " `--replace --yes`.",
        )
    if exists:
        raise Refused(
            f"The collection {target} exists.",
            hint="Restore beside it with `--as NAME`, or over it with `--replace --yes`.",
        )


def _refuse_taken_aliases(
    recorded: tuple[str, ...], target: str, collections: list[str], aliases: dict[str, str]
) -> None:
    for alias in recorded:
        owner = alias if alias in collections else aliases.get(alias, target)
        if owner != target:
            raise Refused(
                f"The snapshot's alias {alias} is taken by the collection {owner}.",
                hint="Remove that alias first, or restore under another name with `--as NAME`.",
            )


def _version_warnings(snapshot: Snapshot, server_version: str) -> tuple[Finding, ...]:
    taken_with = snapshot.manifest.qdrant_version if snapshot.manifest else None
    fit = version_fit(taken_with, server_version)
    if fit in (Fit.TOO_OLD, Fit.TOO_NEW):
        raise Refused(
            f"The snapshot was taken with Qdrant {taken_with}, this server is {server_version}: "
            "only the same or the next minor version restores it reliably.",
            hint=f"Use Qdrant {taken_with} (QDRANT_VERSION), then upgrade step by step.",
        )
    if fit is Fit.UNKNOWN:
        message = f"taken with an unknown version, restored into {server_version}"
        return (Finding(check="version", status=Status.WARN, message=message),)
    message = f"{taken_with} into {server_version}"
    return (Finding(check="version", status=Status.OK, message=message),)
