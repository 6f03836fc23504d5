"""Which version of Qdrant last ran on the data of a compose file's service."""

from __future__ import annotations

from pathlib import Path

from snapshot_tasks.engines.compose_down import (
    DockerState,
    Mounted,
    data_mounts,
    docker_state,
    mounted,
    volume_names,
)
from snapshot_tasks.engines.compose_first_start import image_version
from snapshot_tasks.engines.compose_project import ComposeProject
from snapshot_tasks.engines.compose_stack import JsonObject, Stack
from snapshot_tasks.engines.storage_version import StorageVersions, upgrade_of


def upgrade_by_new(project: ComposeProject, container: JsonObject | None) -> str:
    """Return in words what a new container does to the data's version; empty if nothing.

    Raises:
        Refused: if it is older than the last one, or skips a minor version.
    """
    stack = project.stack
    storage = _storage(stack, _state_of(stack, container) if container else docker_state(stack))
    if not storage:
        return ""
    had = image_version(container["Config"]["Image"]) if container else ""
    last = had or _versions(project).last(storage)
    return upgrade_of(storage, last, image_version(stack.service.get("image")))


def remember(project: ComposeProject, container: JsonObject | None, version: str = "") -> None:
    """Record the version that runs on the data of a container, by default that of its image."""
    if container and (ran := version or image_version(container["Config"]["Image"])):
        stack = project.stack
        if storage := _storage(stack, _state_of(stack, container)):
            _versions(project).remember(storage, ran)


def forget(project: ComposeProject, names: tuple[str, ...]) -> None:
    """Forget the versions of what was deleted."""
    for name in names:
        _versions(project).remember(name, "")


def _versions(project: ComposeProject) -> StorageVersions:
    return StorageVersions(home=project.settings.project_root / ".qdrant")


def _state_of(stack: Stack, container: JsonObject) -> DockerState:
    """Return what is known of a container and its volumes without asking Docker again."""
    names = volume_names(stack, (container,))
    return DockerState(containers=(container,), volumes={name: {} for name in names})


def _storage(stack: Stack, state: DockerState) -> str:
    """Return where the data is that a new container gets as well; empty if there is none."""
    mounts = data_mounts(mounted(stack, state), stack, state)
    kept = [mount for mount in mounts if _is_kept(mount)]
    return f"{'volume' if kept[0].kind == 'volume' else 'folder'} {kept[0].source}" if kept else ""


def _is_kept(mount: Mounted) -> bool:
    if mount.kind == "volume":
        return not mount.is_anonymous
    try:
        return mount.kind == "bind" and any(Path(mount.source).iterdir())
    except PermissionError:
        return True
    except OSError:
        return False
