"""Bring a collection back from a snapshot, and compare it with what was taken."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from uuid import uuid4

from snapshot_tasks import process
from snapshot_tasks.catalog.folder import Snapshot
from snapshot_tasks.catalog.names import check_collection
from snapshot_tasks.checks.restored import Restored, check_restored, restored_error
from snapshot_tasks.comparison import Fit, version_fit
from snapshot_tasks.errors import (
    Damaged,
    NotFound,
    Refused,
    RestoreIncomplete,
    ServerFailure,
    TaskError,
    Unreachable,
)
from snapshot_tasks.models import Finding, Progress, Status
from snapshot_tasks.operations.verify import verified
from snapshot_tasks.qdrant.server import NotVisible, Server

GREEN_SECONDS = 60.0
REMOVAL_SECONDS = 10.0
REMOVAL_POLL_SECONDS = 0.2

SaveExisting = Callable[[str], Snapshot]


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreRequest:
    """Which snapshot goes where. `target` defaults to the snapshot's own collection.

    `save_existing` takes a safety snapshot of a collection; giving it allows replacing one.
    `verified_sha256` tells that the caller has just read and verified every byte.
    """

    snapshot: Snapshot
    target: str | None = None
    if_missing: bool = False
    save_existing: SaveExisting | None = None
    verified_sha256: str | None = None


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

    def steps(self) -> list[str]:
        """Return the plan in words."""
        if self.skip:
            return [f"{self.target} exists: nothing to do"]
        steps = [f"verify every byte of {self.snapshot.name}"]
        if self.exists:
            steps += [f"take a safety snapshot of {self.target}", f"delete {self.target}"]
        steps.append(f"restore {self.snapshot.name} as {self.target}")
        steps += [f"create the alias {alias}" for alias in self.aliases + self.kept_aliases]
        return [*steps, "compare count, config, payload schema and aliases"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreResult:
    """What a restore did and found."""

    snapshot: Snapshot
    target: str
    findings: tuple[Finding, ...] = ()
    skipped: bool = False
    points_count: int | None = None
    seconds: float = 0.0
    way: str = ""
    safety_snapshot: str | None = None

    @property
    def error(self) -> TaskError | None:
        """The error the findings amount to, if any."""
        return restored_error(
            self.target,
            self.findings,
            hint="What came back was removed. Try an older snapshot from `inv snapshot.list`.",
        )


def plan_restore(request: RestoreRequest, server: Server) -> RestorePlan:
    """Look at the server and decide; every blocker is raised here, before anything changes.

    Raises:
        Refused: when the target exists, an alias is taken, or the versions do not fit.
        NotFound: when nothing says which collection the file holds.
    """
    snapshot = request.snapshot
    snapshot.check_manifest()
    target = request.target or snapshot.collection
    if not target:
        raise NotFound(
            f"Nothing tells which collection {snapshot.name} holds.",
            hint="Name it with `--as NAME`.",
        )
    check_collection(target)
    version, collections, aliases = server.version(), server.collections(), server.aliases()
    exists = target in collections
    skip = request.if_missing and (exists or target in aliases)
    if not skip:
        _refuse_overwrite(target, exists, aliases, request.save_existing is not None)
    recorded = (
        snapshot.manifest.aliases if snapshot.manifest and target == snapshot.collection else ()
    )
    kept = tuple(a for a, owner in aliases.items() if owner == target and a not in recorded)
    if not skip:
        _refuse_taken_aliases(recorded, target, collections, aliases)
    return RestorePlan(
        snapshot=snapshot,
        target=target,
        exists=exists,
        skip=skip,
        aliases=recorded,
        kept_aliases=kept,
        server_version=version,
        warnings=() if skip else _version_warnings(snapshot, version),
    )


def restore(request: RestoreRequest, server: Server, progress: Progress) -> RestoreResult:
    """Verify the file, restore it, compare; a collection that came back wrong is removed again.

    Raises:
        Damaged: before anything is touched.
        RestoreIncomplete: when Qdrant refuses or fails; nothing half-made is left.
    """
    plan = plan_restore(request, server)
    if plan.skip:
        return RestoreResult(snapshot=plan.snapshot, target=plan.target, skipped=True)
    sha256 = request.verified_sha256 or verified(plan.snapshot, progress).sha256
    if not plan.exists:
        return _restore_new(plan, server, sha256, progress)
    assert request.save_existing is not None
    safety = request.save_existing(plan.target)
    return _replace(plan, server, sha256, safety, progress)


def _replace(
    plan: RestorePlan, server: Server, sha256: str, safety: Snapshot, progress: Progress
) -> RestoreResult:
    """Put the new in the old one's place; on any failure put the old back."""
    try:
        with process.shielded():
            server.delete_collection(plan.target)
        result = _restore_new(plan, server, sha256, progress)
    except BaseException:
        with process.shielded():
            _put_back(plan, server, safety, progress)
        raise
    if result.error:
        with process.shielded():
            _put_back(plan, server, safety, progress)
    return replace(result, safety_snapshot=safety.name)


def _put_back(plan: RestorePlan, server: Server, safety: Snapshot, progress: Progress) -> None:
    if plan.target in server.collections():
        return
    progress.note(f"Putting back {plan.target} as it was, from {safety.name}.")
    request = RestoreRequest(snapshot=safety, target=plan.target)
    before = plan_restore(request, server)
    back = _restore_new(before, server, verified(safety, progress).sha256, progress)
    if back.error:
        raise RestoreIncomplete(
            f"{plan.target} could be neither replaced nor put back: {back.error.message}",
            hint=f"What was there is safe in {safety.path}.",
        )


def _restore_new(
    plan: RestorePlan, server: Server, sha256: str, progress: Progress
) -> RestoreResult:
    start = time.monotonic()
    upload_name = f"restore-{uuid4().hex}.snapshot"
    try:
        way = _bring_back(plan, server, sha256, upload_name, progress)
        with progress.phase("waiting until it is green"):
            status = server.wait_green(plan.target, GREEN_SECONDS)
        for alias in plan.aliases + plan.kept_aliases:
            server.create_alias(alias, plan.target)
        seconds = time.monotonic() - start
        findings = (*plan.warnings, _status_finding(status), *compare(plan, server))
    except BaseException as error:
        lost = isinstance(error, KeyboardInterrupt | Unreachable)
        with process.shielded():
            _remove(plan.target, upload_name, server, patient=lost)
        raise
    result = RestoreResult(
        snapshot=plan.snapshot,
        target=plan.target,
        findings=findings,
        points_count=server.count(plan.target),
        seconds=seconds,
        way=way,
    )
    if result.error:
        _remove(plan.target, upload_name, server)
    return result


def compare(plan: RestorePlan, server: Server) -> tuple[Finding, ...]:
    """Compare the collection on the server with what the manifest recorded."""
    actual = server.state(plan.target)
    manifest = plan.snapshot.manifest
    if manifest is None:
        message = f"no manifest: {actual.points_count:,} points came back, expected is unknown"
        return (Finding(check="count", status=Status.WARN, message=message),)
    counts = (manifest.source_points_before, manifest.source_points_after)
    # A seal has counted the file itself.
    is_vague = manifest.source_moved and manifest.fingerprint is None
    return check_restored(
        Restored(
            expected=manifest.state,
            actual=actual,
            taken_with=manifest.qdrant_version,
            server_version=plan.server_version,
            moving_between=counts if is_vague else None,
            aliases_owned=plan.target == manifest.collection,
        )
    )


def _bring_back(
    plan: RestorePlan, server: Server, sha256: str, upload_name: str, progress: Progress
) -> str:
    """Restore from the server's own view of the file, else by upload; say which it was."""
    path = plan.snapshot.path
    try:
        for mount in server.endpoint.mounts:
            if server_path := mount.server_path(path):
                with (
                    suppress(NotVisible),
                    progress.phase(f"Qdrant restores {plan.target} from the mounted folder"),
                ):
                    server.recover(plan.target, server_path, sha256)
                    return "file"
        with progress.phase(
            f"uploading {plan.target}", total_bytes=plan.snapshot.size_bytes
        ) as advance:
            server.upload(plan.target, path, sha256, name=upload_name, advance=advance)
            return "upload"
    except ServerFailure as error:
        raise _meaning(plan, error) from error


def _meaning(plan: RestorePlan, error: ServerFailure) -> TaskError:
    if "checksum mismatch" in error.message.lower():
        return Damaged(
            f"Qdrant read other bytes than {plan.snapshot.name} has here: {error.message}",
            hint="Check the mount or the link between here and Qdrant, then run this again.",
        )
    return RestoreIncomplete(
        f"Qdrant could not restore {plan.snapshot.name}: {error.message}", hint=error.hint
    )


def _remove(target: str, upload_name: str, server: Server, *, patient: bool = False) -> None:
    """Remove a half-made collection, and what was uploaded for it.

    Qdrant goes on restoring after a lost connection: then wait for what it makes.
    """
    deadline = time.monotonic() + (REMOVAL_SECONDS if patient else 0)
    with suppress(TaskError):
        while target not in server.collections() and time.monotonic() < deadline:
            time.sleep(REMOVAL_POLL_SECONDS)
        server.discard_upload(target, upload_name)
        if target in server.collections():
            server.delete_collection(target)


def _refuse_overwrite(
    target: str, exists: bool, aliases: dict[str, str], may_replace: bool
) -> None:
    if target in aliases:
        raise Refused(
            f"{target} is an alias of the collection {aliases[target]}.",
            hint=f"Name the collection itself with `--as {aliases[target]}`, or another name.",
        )
    if exists and not may_replace:
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


def _status_finding(status: str) -> Finding:
    if status == "green":
        return Finding(check="status", status=Status.OK, message="green")
    message = f"{status} after {GREEN_SECONDS:g} s: the optimizer is still at work"
    return Finding(check="status", status=Status.WARN, message=message)
