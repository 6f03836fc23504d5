"""The doctor's checks if Docker Compose runs Qdrant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from snapshot_tasks.domain.findings import Finding, fail, ok, warn
from snapshot_tasks.engines.compose_client import compose_version, docker_problem, no_docker
from snapshot_tasks.engines.compose_document import (
    CONFIGURATION,
    KEPT,
    SNAPSHOTS,
    STORAGE,
    WORKING_DIR,
    memory_disks,
    snapshot_mounts,
)
from snapshot_tasks.engines.compose_leftovers import find_labelled
from snapshot_tasks.engines.compose_stack import JsonObject, setting
from snapshot_tasks.system.scratch import is_gone


def check_docker() -> Iterator[Finding]:
    """Check that Docker responds and has Compose. Raises `Unreachable` otherwise."""
    problem = docker_problem()
    if problem:
        raise no_docker(problem)
    yield ok("compose", f"Docker Compose {compose_version()}")


def check_document(
    service: JsonObject, folder: Path, *, is_packaged: bool = False
) -> Iterator[Finding]:
    """Find the traps of a compose file's Qdrant service that break backups or restores."""
    problems = [*_image_traps(str(service.get("image", ""))), *_mount_traps(service)]
    yield from problems
    if not snapshot_mounts(service, folder):
        remedy = f"Mount {folder} read-only below {SNAPSHOTS}."
        message = "Qdrant cannot see the folder, so restores upload the file"
        yield warn("snapshot mount", message, remedy)
    elif not problems:
        whose = "the one of this package: " if is_packaged else ""
        yield ok("compose file", f"{whose}image pinned, snapshots path writable, folder mounted")


def check_leftovers() -> Iterator[Finding]:
    """Report what drills that were killed or kept have left in Docker."""
    killed, kept = find_labelled(is_gone), find_labelled(lambda o: o.startswith(KEPT))
    if killed:
        message = f"a killed drill left {', '.join(killed)} behind"
        yield warn("drills", message, "The next `inv snapshot.test-restore` removes it.")
    if kept:
        message = f"kept: {', '.join(kept)}"
        yield warn("drills", message, "See docs/drill.md for how to remove it.")


def _image_traps(image: str) -> Iterator[Finding]:
    tag = image.rpartition(":")[2] if ":" in image.rpartition("/")[2] else "latest"
    if tag in ("latest", "master", "dev"):
        remedy = "Pin it, because an unexpected upgrade may not read old snapshots."
        yield fail("image", f"{image or 'no image'} is not a fixed version", remedy)


def _mount_traps(service: JsonObject) -> Iterator[Finding]:
    snapshots = _path(service, "STORAGE__SNAPSHOTS_PATH", SNAPSHOTS)
    around = _around(snapshots, service)
    if around is not None and around.get("read_only"):
        remedy = "Mount a volume there, and the host folder read-only below it."
        yield fail("snapshots path", f"{snapshots} is read-only, so Qdrant will not start", remedy)
    elif around is None and not _is_in_memory(snapshots, service) and not _is_configured(service):
        remedy = f"Mount a named volume on {snapshots}."
        yield warn("snapshots path", f"{snapshots} is in the container's own layer", remedy)
    yield from _storage_traps(service)


def _storage_traps(service: JsonObject) -> Iterator[Finding]:
    storage = _path(service, "STORAGE__STORAGE_PATH", STORAGE)
    remedy = f"Mount a named volume on {storage}."
    if _is_in_memory(storage, service):
        yield fail("storage", "the data is in memory and is gone when Qdrant stops", remedy)
    elif _around(storage, service) is not None or _has_parts(storage, service):
        return
    elif _is_configured(service):
        message = f"{storage} is not mounted, but a mounted configuration may move the data"
        yield warn("storage", message, "Check that its storage_path is in a volume.")
    else:
        message = "the data is in the container's own layer and is deleted with it"
        yield fail("storage", message, remedy)


def _path(service: JsonObject, name: str, usual: str) -> PurePosixPath:
    return PurePosixPath(WORKING_DIR) / (setting(service, name) or usual)


def _around(path: PurePosixPath, service: JsonObject) -> JsonObject | None:
    """Return the innermost volume or folder that holds this path."""
    found = [v for v in _mounts(service) if path.is_relative_to(v["target"])]
    return max(found, key=lambda v: len(PurePosixPath(v["target"]).parts), default=None)


def _has_parts(path: PurePosixPath, service: JsonObject) -> bool:
    return any(PurePosixPath(v["target"]).is_relative_to(path) for v in _mounts(service))


def _mounts(service: JsonObject) -> list[JsonObject]:
    return [v for v in service.get("volumes", ()) if v["type"] != "tmpfs"]


def _is_in_memory(path: PurePosixPath, service: JsonObject) -> bool:
    return any(map(path.is_relative_to, memory_disks(service)))


def _is_configured(service: JsonObject) -> bool:
    """Return whether a file of the user's, which is not read here, may move Qdrant's folders."""
    given = [*service.get("volumes", ()), *service.get("configs", ())]
    targets = [PurePosixPath(str(one.get("target") or "/")) for one in given]
    has_option = "--config-path" in map(str, service.get("command") or ())
    return has_option or any(target.is_relative_to(CONFIGURATION) for target in targets)
