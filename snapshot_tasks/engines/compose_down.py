"""Which containers and volumes of a stack are Qdrant's alone, and so may be stopped and deleted.

`plan_down` is pure; the rest asks Docker, and removes by id and name only what the plan lists.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from snapshot_tasks.engines.base import DownPlan
from snapshot_tasks.engines.compose_client import COMMAND_SECONDS, docker_problem, no_docker
from snapshot_tasks.engines.compose_document import (
    CONFIGURATION,
    STORAGE,
    WORKING_DIR,
    memory_disks,
)
from snapshot_tasks.engines.compose_files import MARKER
from snapshot_tasks.engines.compose_stack import JsonObject, Stack
from snapshot_tasks.system import process
from snapshot_tasks.system.errors import Unreachable

RESTORE_SERVICE, BACKUP_SERVICE = "qdrant-restore", "qdrant-backup"
PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
FOLDER_LABEL = "com.docker.compose.project.working_dir"
STORAGE_SETTING = "QDRANT__STORAGE__STORAGE_PATH"
_ANONYMOUS = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounted:
    """A mount of the Qdrant service. `source` is the volume's real name, or a folder."""

    kind: str
    source: str
    target: str
    writable: bool

    @property
    def is_anonymous(self) -> bool:
        """Whether the volume has no name, so that a new container does not get it again."""
        return self.kind == "volume" and bool(_ANONYMOUS.fullmatch(self.source))

    def __str__(self) -> str:
        what = "volume" if self.kind == "volume" else "folder"
        return f"{what} {self.source} ({self.target})"


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerState:
    """What Docker has: our containers, the volumes that exist, and who else mounts each."""

    containers: tuple[JsonObject, ...] = ()
    volumes: Mapping[str, JsonObject] = field(default_factory=dict)
    users: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def plan_down(
    stack: Stack, state: DockerState, *, delete_data: bool, for_good: bool = True
) -> DownPlan:
    """Return what is stopped and deleted, and what stays and why.

    `forbidden` names each place of the data that is not only Qdrant's.
    """
    mounts = mounted(stack, state)
    data = data_mounts(mounts, stack, state)
    removed = delete_data or (bool(data) and not any(m.is_anonymous for m in data))
    deletes, stays, forbidden = [], [], []
    for mount in mounts if delete_data else ():
        why = _why_not(mount, stack, state)
        if not why:
            deletes.append(f"volume {mount.source}")
        elif mount in data or (not data and _may_hold_data(mount)):
            forbidden.append(f"{mount}: {why}")
        else:
            stays.append(f"{mount}: {why}")
    return DownPlan(
        delete_data=delete_data,
        for_good=for_good,
        stops=tuple(_described(one, removed=removed) for one in state.containers),
        deletes=tuple(sorted(set(deletes))),
        stays=tuple(stays),
        forbidden=tuple(forbidden),
        elsewhere=elsewhere(state.containers, stack.folders),
        removed=removed,
        is_in_memory=any(map(_storage(stack, state).is_relative_to, memory_disks(stack.service))),
    )


def ours(stack: Stack) -> tuple[str, str]:
    """Return the services that are stopped together."""
    return (stack.name, RESTORE_SERVICE)


def _stopped(stack: Stack, *, for_good: bool) -> tuple[str, ...]:
    """Return the services that are stopped; those that need Qdrant come after it."""
    backs_up = for_good and MARKER in stack.document
    return (*ours(stack), *((BACKUP_SERVICE,) if backs_up else ()))


def mounted(stack: Stack, state: DockerState) -> tuple[Mounted, ...]:
    """Return the mounts of the service: those of its containers, and those in the document.

    Volumes that do not exist are left out.
    """
    found: dict[Mounted, None] = {}
    for one in state.containers:
        if _label(one, SERVICE_LABEL) == stack.name:
            found |= dict.fromkeys(_of_container(one))
    seen = {(m.kind, m.target) for m in found}
    found |= {m: None for m in of_document(stack) if (m.kind, m.target) not in seen}
    return tuple(m for m in found if m.kind != "volume" or m.source in state.volumes)


def volume_names(stack: Stack, containers: tuple[JsonObject, ...]) -> tuple[str, ...]:
    """Return the names of all volumes that the Qdrant service mounts or would mount."""
    qdrant = [one for one in containers if _label(one, SERVICE_LABEL) == stack.name]
    every = [*of_document(stack), *(m for one in qdrant for m in _of_container(one))]
    return tuple(sorted({m.source for m in every if m.kind == "volume"}))


def _of_container(container: JsonObject) -> Iterator[Mounted]:
    # Docker lists them in another order each time.
    for mount in sorted(container.get("Mounts") or (), key=lambda one: str(one["Destination"])):
        kind = str(mount["Type"])
        source = mount.get("Name") if kind == "volume" else mount.get("Source")
        yield Mounted(
            kind=kind,
            source=str(source or ""),
            target=str(mount["Destination"]),
            writable=bool(mount.get("RW", True)),
        )


def of_document(stack: Stack) -> Iterator[Mounted]:
    """Yield the mounts that the compose file gives the service."""
    for volume in stack.service.get("volumes", ()):
        source = str(volume.get("source") or "")
        if volume.get("type") == "volume":
            source = _real_name(stack, source)
        if source and volume.get("type") in ("volume", "bind"):
            yield Mounted(
                kind=str(volume["type"]),
                source=source,
                target=str(volume["target"]),
                writable=not volume.get("read_only"),
            )


def _real_name(stack: Stack, key: str) -> str:
    volume = (stack.document.get("volumes") or {}).get(key) or {}
    return str(volume.get("name") or (f"{stack.project}_{key}" if key else ""))


def _storage(stack: Stack, state: DockerState) -> PurePosixPath:
    """Return where the server keeps its data; Qdrant reads the name in any case."""
    given = {str(k): str(v) for k, v in (stack.service.get("environment") or {}).items()}
    for one in state.containers:
        if _label(one, SERVICE_LABEL) == stack.name:
            lines = (line.partition("=") for line in one["Config"].get("Env") or ())
            given |= {name: value for name, _, value in lines}
    moved = [value for name, value in given.items() if name.upper() == STORAGE_SETTING and value]
    return PurePosixPath(WORKING_DIR) / (moved[-1] if moved else STORAGE)


def data_mounts(
    mounts: tuple[Mounted, ...], stack: Stack, state: DockerState
) -> tuple[Mounted, ...]:
    """Return the mounts that hold the storage: the innermost one around it, and those inside."""
    storage = _storage(stack, state)
    around = [m for m in mounts if storage.is_relative_to(m.target)]
    inside = [m for m in mounts if PurePosixPath(m.target).is_relative_to(storage) and m.writable]
    deepest = max((len(PurePosixPath(m.target).parts) for m in around), default=0)
    innermost = [m for m in around if len(PurePosixPath(m.target).parts) == deepest]
    return tuple(dict.fromkeys([*innermost, *inside]))


def _may_hold_data(mount: Mounted) -> bool:
    """Return whether a server that a mounted file configures may keep its data there."""
    is_configuration = PurePosixPath(mount.target).is_relative_to(CONFIGURATION)
    return mount.writable and not is_configuration


def _why_not(mount: Mounted, stack: Stack, state: DockerState) -> str:
    """Return why a mount may not be deleted; empty if it is a volume of this service alone."""
    if mount.kind != "volume":
        return "a folder of this machine, which is not Docker's to delete"
    name = mount.source
    if any(
        v and v.get("external") and _real_name(stack, key) == name
        for key, v in (stack.document.get("volumes") or {}).items()
    ):
        return "external to this project"
    if sharing := [*_other_services(name, stack), *state.users.get(name, ())]:
        return f"also mounted by {', '.join(sharing)}"
    volume = state.volumes[name]
    if device := (volume.get("Options") or {}).get("device"):
        return f"its files are in {device}, which Docker does not delete"
    project = (volume.get("Labels") or {}).get(PROJECT_LABEL)
    if project != stack.project and not (project is None and mount.is_anonymous):
        return f"it belongs to the project {project}" if project else "not made by this project"
    return ""


def _other_services(name: str, stack: Stack) -> Iterator[str]:
    for service, described in stack.document["services"].items():
        if service in ours(stack):
            continue
        of_volumes = any(
            v.get("type") == "volume" and _real_name(stack, str(v.get("source") or "")) == name
            for v in described.get("volumes", ())
        )
        from_ours = any(
            str(line).partition(":")[0] in ours(stack) for line in described.get("volumes_from", ())
        )
        if of_volumes or from_ours:
            yield f"the service {service}"


def elsewhere(containers: Iterable[JsonObject], folders: tuple[Path, ...]) -> str:
    """Return which container another project of the same name started, and in which folder.

    Compose names a project after its folder, so two folders `app` share their containers. A folder
    that is gone says nothing: the project may have been moved.
    """
    for one in containers:
        other = Path(_label(one, FOLDER_LABEL))
        is_there = bool(folders) and other.is_absolute() and other.is_dir()
        if is_there and not any(other.samefile(one) for one in folders if one.is_dir()):
            return f"the container {_name(one)} was started in {other}"
    return ""


def _described(container: JsonObject, *, removed: bool) -> str:
    kept = "" if removed else " (stopped but not removed, because it holds the data)"
    return f"container {_name(container)}{kept}"


def _name(container: JsonObject) -> str:
    return str(container["Name"]).lstrip("/")


def _label(container: JsonObject, label: str) -> str:
    return str((container["Config"].get("Labels") or {}).get(label, ""))


def docker_state(stack: Stack, *, for_good: bool = False) -> DockerState:
    """Ask Docker; `for_good` includes the service of this project that takes backups.

    Raises:
        Unreachable: if it does not respond, because nothing may be guessed here.
    """
    containers = _inspect(
        "container",
        *(
            name
            for service in _stopped(stack, for_good=for_good)
            for name in _ids(
                f"label={PROJECT_LABEL}={stack.project}", f"label={SERVICE_LABEL}={service}"
            )
        ),
    )
    known = {str(one["Id"]) for one in containers}
    existing = set(_docker("volume", "ls", "--quiet").split())
    names = [name for name in volume_names(stack, containers) if name in existing]
    users = {}
    for name in names:
        # Docker's filter also accepts a path and a part of a name, so look at what they mount.
        others = _inspect("container", *(i for i in _ids(f"volume={name}") if i not in known))
        users[name] = tuple(
            f"the container {_name(one)}"
            for one in others
            if any(mount.get("Name") == name for mount in one.get("Mounts") or ())
        )
    volumes = {str(one["Name"]): one for one in _inspect("volume", *names)}
    return DockerState(containers=containers, volumes=volumes, users=users)


def carry_out(plan: DownPlan, state: DockerState) -> None:
    """Stop and delete what the plan lists; look again and raise for what is still there.

    Raises:
        Unreachable: if something could not be stopped or deleted.
    """
    ids = [str(one["Id"]) for one in state.containers]
    volumes = [name.removeprefix("volume ") for name in plan.deletes]
    if ids:
        # A backup that is interrupted removes its copy from the server, so that ends last.
        for one in reversed(ids):
            _docker("stop", one)
        if plan.removed:
            _docker("rm", *ids)
    if volumes:
        _docker("volume", "rm", *volumes)
    _look_again(plan, ids, volumes)


def _look_again(plan: DownPlan, ids: list[str], volumes: list[str]) -> None:
    options = () if not plan.removed else ("--all",)
    there = set(_docker("ps", *options, "--quiet", "--no-trunc").split())
    left = [f"container {name}" for name in ids if name in there]
    existing = set(_docker("volume", "ls", "--quiet").split())
    left += [f"volume {name}" for name in volumes if name in existing]
    if left:
        raise Unreachable(
            f"Docker says it is done, but this is still there: {', '.join(left)}.",
            hint="Something may have started it again; see `docker ps -a`, then run this again.",
        )


def _ids(*filters: str) -> list[str]:
    options = (word for one in filters for word in ("--filter", one))
    return _docker("ps", "--all", "--quiet", "--no-trunc", *options).split()


def _inspect(kind: str, *names: str) -> tuple[JsonObject, ...]:
    if not names:
        return ()
    found: list[dict[str, Any]] = json.loads(_docker(kind, "inspect", *names))
    return tuple(found)


def _docker(*arguments: str) -> str:
    done = process.run(("docker", *arguments), timeout_seconds=COMMAND_SECONDS)
    if done.ok:
        return done.stdout
    if problem := docker_problem():
        raise no_docker(problem)
    raise Unreachable(
        f"`docker {' '.join(arguments[:2])}` failed: {done.last_words}.",
        hint="See `docker ps -a` and `docker volume ls`, then run this again.",
    )
