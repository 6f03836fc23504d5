"""The doctor's checks if Docker Compose runs Qdrant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from snapshot_tasks.domain.findings import Finding, fail, ok, warn
from snapshot_tasks.engines.compose_client import compose_version, docker_problem, no_docker
from snapshot_tasks.engines.compose_document import (
    KEPT,
    SNAPSHOTS,
    STORAGE,
    snapshot_mounts,
)
from snapshot_tasks.engines.compose_leftovers import find_labelled
from snapshot_tasks.engines.compose_stack import JsonObject
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
    mounts = {str(v["target"]).rstrip("/"): v for v in service.get("volumes", ())}
    snapshots = mounts.get(SNAPSHOTS)
    if snapshots is not None and snapshots.get("read_only"):
        remedy = "Mount a volume there, and the host folder read-only below it."
        yield fail("snapshots path", f"{SNAPSHOTS} is read-only, so Qdrant will not start", remedy)
    elif snapshots is None:
        remedy = f"Mount a named volume on {SNAPSHOTS}."
        yield warn("snapshots path", f"{SNAPSHOTS} is in the container's own layer", remedy)
    if not any(target.startswith(STORAGE) for target in mounts):
        remedy = f"Mount a named volume on {STORAGE}."
        message = "the data is in the container's own layer and is deleted with it"
        yield fail("storage", message, remedy)
