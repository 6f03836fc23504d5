"""Pure functions over a resolved Compose document (`docker compose config --format json`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snapshot_tasks.errors import SettingsError
from snapshot_tasks.models import Mount

SERVICE = "qdrant"
# On everything of a drill: for which run it was made, so that what a killed run left is known.
DRILL_LABEL = "io.qdrant-snapshot-tasks.drill"
KEPT = "kept"
DRILL_SNAPSHOTS = "/qdrant/snapshots/drill"
# Only what shapes the server itself is taken over. Names, ports, networks, commands, dependencies
# and writable host folders could reach the live stack, so they are never copied.
_COPIED_KEYS = (
    "cap_add",
    "cap_drop",
    "cpus",
    "environment",
    "healthcheck",
    "mem_limit",
    "platform",
    "security_opt",
    "shm_size",
    "sysctls",
    "tmpfs",
    "ulimits",
    "user",
    "working_dir",
)

# Settings by which the server would listen elsewhere, join the live cluster, or write to its store.
_LEFT_OUT_SETTINGS = (
    "QDRANT__CLUSTER__",
    "QDRANT__SERVICE__",
    "QDRANT__STORAGE__SNAPSHOTS_",
    "QDRANT__TLS__",
)
# The same for what a mounted configuration file may say.
_FIXED_SETTINGS = {
    "QDRANT__CLUSTER__ENABLED": "false",
    "QDRANT__SERVICE__ENABLE_TLS": "false",
    "QDRANT__STORAGE__SNAPSHOTS_CONFIG__SNAPSHOTS_STORAGE": "local",
}

JsonObject = Mapping[str, Any]


def qdrant_service(document: JsonObject) -> JsonObject:
    """Return the Qdrant service. Raises `SettingsError` when the file has none."""
    service = document.get("services", {}).get(SERVICE)
    if not isinstance(service, dict):
        raise SettingsError(
            f"The compose file has no service named {SERVICE}.",
            hint="Name the Qdrant service so, or point COMPOSE_FILE at the right file.",
        )
    return service


def image_for(service: JsonObject, version: str) -> str:
    """Return the service's image in another version; a variant such as `-unprivileged` stays."""
    image = str(service.get("image", "qdrant/qdrant"))
    name, separator, tag = image.partition("@")[0].rpartition(":")
    if not separator or "/" in tag:
        name, tag = image.partition("@")[0], ""
    _, dash, variant = tag.partition("-")
    return f"{name}:v{version}{dash}{variant}"


def snapshot_mounts(document: JsonObject, folder: Path) -> tuple[Mount, ...]:
    """Return where the Qdrant service sees the snapshot folder."""
    return tuple(
        Mount(host_dir=folder, server_dir=str(volume["target"]))
        for volume in qdrant_service(document).get("volumes", ())
        if volume.get("type") == "bind" and _host_path(volume).resolve() == folder.resolve()
    )


def drill_document(
    document: JsonObject,
    *,
    version: str,
    http_port: int,
    grpc_port: int,
    api_key: str | None,
    folder: Path,
    owner: str,
) -> dict[str, Any]:
    """Return a Compose document with nothing but a fresh Qdrant, shaped like the user's own.

    `owner` labels all of it. Volumes are new and belong to the drill's project; read-only files,
    such as a configuration, stay.
    """
    service = qdrant_service(document)
    volumes, names = _drill_volumes(service, folder)
    given: Mapping[str, Any] = service.get("environment") or {}
    environment = {
        name: value for name, value in given.items() if not name.startswith(_LEFT_OUT_SETTINGS)
    } | _FIXED_SETTINGS
    if api_key:
        environment["QDRANT__SERVICE__API_KEY"] = _literal(api_key)
    labels = {DRILL_LABEL: owner}
    copied = {key: service[key] for key in _COPIED_KEYS if service.get(key) is not None}
    return {
        "services": {
            SERVICE: copied
            | {
                "image": image_for(service, version),
                "pull_policy": "missing",
                "environment": environment,
                "labels": labels,
                "ports": [f"127.0.0.1:{http_port}:6333", f"127.0.0.1:{grpc_port}:6334"],
                "volumes": volumes,
                "restart": "no",
            }
        },
        "volumes": {name: {"labels": labels} for name in names},
        "networks": {"default": {"labels": labels}},
    }


def _drill_volumes(service: JsonObject, folder: Path) -> tuple[list[JsonObject], list[str]]:
    volumes: list[JsonObject] = [_read_only(_literal(str(folder.resolve())), DRILL_SNAPSHOTS)]
    names: list[str] = []
    for volume in service.get("volumes", ()):
        kind, target = volume.get("type"), str(volume["target"])
        if target.rstrip("/") == DRILL_SNAPSHOTS:
            continue
        if kind == "bind" and _is_harmless(volume):
            volumes.append(_read_only(volume["source"], target))
        elif kind in ("bind", "volume"):
            names.append(f"data{len(names)}")
            volumes.append({"type": "volume", "source": names[-1], "target": target})
    return volumes, names


def _is_harmless(bind: JsonObject) -> bool:
    """Say whether a host path may be mounted read-only: a read-only socket would still be one."""
    source = _host_path(bind)
    return source.is_file() or (source.is_dir() and bool(bind.get("read_only")))


def _host_path(bind: JsonObject) -> Path:
    """Return the path of a bind mount; `docker compose config` doubles every `$`."""
    return Path(str(bind["source"]).replace("$$", "$"))


def _literal(text: str) -> str:
    """Return the text so that Compose does not take a `$` in it for a variable."""
    return text.replace("$", "$$")


def _read_only(source: str, target: str) -> JsonObject:
    return {"type": "bind", "source": source, "target": target, "read_only": True}
