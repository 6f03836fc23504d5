"""The first start of a live stack, in a container of its own, with snapshots as arguments.

Some snapshots are only restored while Qdrant starts empty. Such arguments must not stay in the
service's command, because the next start with them would fail. So a container that is thrown away
restores them into the service's volumes, and the service then starts as it always does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from snapshot_tasks.engines.arguments import load_argv
from snapshot_tasks.engines.compose_document import ENTRY_POINT, SNAPSHOTS
from snapshot_tasks.engines.compose_down import DockerState, data_mounts, mounted, of_document
from snapshot_tasks.engines.compose_stack import JsonObject, Stack

FIRST_START = f"{SNAPSHOTS}/first-start"
_VERSION = re.compile(r":v?(\d+\.\d+\.\d+)(-[a-z-]+)?(@.*)?$")


def version_if_empty(stack: Stack, state: DockerState) -> str:
    """Return the version of a service that has no data yet; empty if it may have some.

    Its data must be in a volume that does not exist yet: what is in a container goes with it.
    """
    planned = data_mounts(tuple(of_document(stack)), stack, state)
    is_new = bool(planned) and all(mount.kind == "volume" for mount in planned)
    if state.containers or not is_new or data_mounts(mounted(stack, state), stack, state):
        return ""
    return image_version(stack.service.get("image"))


def image_version(image: object) -> str:
    """Return the version in the tag of an image; empty if it does not say one."""
    found = _VERSION.search(str(image or ""))
    return found[1] if found else ""


def first_start_argv(stack: Stack, container: str, load: Mapping[str, Path]) -> tuple[str, ...]:
    """Return the arguments for Compose that start it with these snapshots, by collection."""
    mounts = [
        word
        for file in load.values()
        for word in ("--volume", f"{file.resolve()}:{FIRST_START}/{file.name}:ro")
    ]
    options = ("--detach", "--no-deps", "--service-ports", "--name", container)
    return ("run", *options, *mounts, stack.name, *_command(stack.service), *_arguments(load))


def container_name(stack: Stack) -> str:
    """Return the name of the container."""
    return f"{stack.project}-{stack.name}-first-start"


def _command(service: JsonObject) -> Iterator[str]:
    """Yield what the service would start with; in a resolved file, dollars are doubled."""
    given = service.get("command") or ([] if service.get("entrypoint") else [ENTRY_POINT])
    yield from (str(word).replace("$$", "$") for word in given)


def _arguments(load: Mapping[str, Path]) -> Iterator[str]:
    for collection, file in load.items():
        yield from load_argv((file.name, collection), PurePosixPath(FIRST_START))
