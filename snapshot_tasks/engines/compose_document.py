"""Pure functions over a resolved Compose document (`docker compose config --format json`)."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from snapshot_tasks.domain.endpoint import Mount
from snapshot_tasks.system.errors import SettingsError

SERVICE = "qdrant"
# On everything of a drill: for which run it was made, so that what a killed run left is known.
DRILL_LABEL = "io.qdrant-snapshot-tasks.drill"
KEPT = "kept"
STORAGE, SNAPSHOTS = "/qdrant/storage", "/qdrant/snapshots"
DRILL_SNAPSHOTS = f"{SNAPSHOTS}/drill"
CONFIGURATION = "/qdrant/config"
# Only what shapes the server itself is taken over. Names, ports, networks, commands, dependencies
# and writable host folders could reach the live stack, so they are never copied. Nor is what the
# live one's folders need and new ones do not: its user, its working directory, its memory disks.
_COPIED_KEYS = (
    "cap_add",
    "cap_drop",
    "cpus",
    "environment",
    "mem_limit",
    "platform",
    "security_opt",
    "shm_size",
    "sysctls",
    "ulimits",
)
# By these the server would listen elsewhere, join the live cluster, or write to the live store.
_LEFT_OUT_SETTINGS = (
    "QDRANT__CLUSTER__",
    "QDRANT__LOGGER__ON_DISK__",
    "QDRANT__SERVICE__",
    "QDRANT__STORAGE__SNAPSHOTS_",
    "QDRANT__STORAGE__STORAGE_PATH",
    "QDRANT__STORAGE__TEMP_PATH",
    "QDRANT__TLS__",
)
# The same for what a mounted configuration file may say.
_FIXED_SETTINGS = {
    "QDRANT__CLUSTER__ENABLED": "false",
    "QDRANT__SERVICE__ENABLE_TLS": "false",
    "QDRANT__SERVICE__HOST": "0.0.0.0",  # noqa: S104 - inside the container
    "QDRANT__SERVICE__HTTP_PORT": "6333",
    "QDRANT__SERVICE__GRPC_PORT": "6334",
    "QDRANT__STORAGE__SNAPSHOTS_CONFIG__SNAPSHOTS_STORAGE": "local",
    "QDRANT__STORAGE__SNAPSHOTS_PATH": SNAPSHOTS,
    "QDRANT__STORAGE__STORAGE_PATH": STORAGE,
    "QDRANT__STORAGE__TEMP_PATH": f"{STORAGE}/snapshots_temp",
}

JsonObject = Mapping[str, Any]


def qdrant_service(document: JsonObject) -> JsonObject:
    """Return the Qdrant service. Raises `SettingsError` when the file has none."""
    service = document.get("services", {}).get(SERVICE)
    if not isinstance(service, dict):
        raise SettingsError(
            f"The compose file has no service named {SERVICE}.",
            hint="Name the Qdrant service so, point COMPOSE_FILE at the right file, or switch the "
            "service's profile on by COMPOSE_PROFILES.",
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


def is_built(service: JsonObject) -> bool:
    """Say whether the service's image is made on the spot, and so cannot be had from elsewhere."""
    return bool(service.get("build"))


def not_to_be_had(why: str) -> SettingsError:
    """Return the refusal to run another image than the one that is built on the spot."""
    return SettingsError(
        f"`services.{SERVICE}.build` makes the image, and a drill builds none: {why}.",
        hint=f"Set `services.{SERVICE}.image` to a Qdrant image beside or instead of `build`, or "
        "QDRANT_DRILL_ENGINE=native.",
    )


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

    `owner` labels all of it. What the server writes goes to new volumes of the drill's project;
    files, such as a configuration, stay, but read-only.
    """
    service = qdrant_service(document)
    volumes, names = _drill_volumes(service, folder)
    given: Mapping[str, Any] = service.get("environment") or {}
    environment = {
        name: value
        for name, value in given.items()
        # Qdrant reads these names in any case.
        if not name.upper().startswith(_LEFT_OUT_SETTINGS)
    } | _FIXED_SETTINGS
    if api_key:
        environment["QDRANT__SERVICE__API_KEY"] = _literal(api_key)
    labels = {DRILL_LABEL: owner}
    copied = {key: service[key] for key in _COPIED_KEYS if service.get(key) is not None}
    if "security_opt" in copied:
        copied["security_opt"] = [o for o in copied["security_opt"] if not _names_a_file(o)]
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
    """Return the drill's mounts, and the names of the volumes that are made for it."""
    names = ["storage", "snapshots"]
    volumes = [
        _new_volume(names[0], STORAGE),
        _new_volume(names[1], SNAPSHOTS),
        _read_only(_literal(str(folder.resolve())), DRILL_SNAPSHOTS),
    ]
    kept: list[JsonObject] = []
    wanted = [{**v, "target": posixpath.normpath(v["target"])} for v in service.get("volumes", ())]
    for volume in sorted(wanted, key=lambda v: str(v["target"])):
        kind, target = volume.get("type"), str(volume["target"])
        if _is_near(target, STORAGE) or _is_near(target, SNAPSHOTS) or _would_be_made(target, kept):
            continue
        if kind == "bind" and _is_harmless(volume):
            kept.append(_read_only(volume["source"], target))
        elif kind in ("bind", "volume"):
            names.append(f"data{len(names)}")
            volumes.append(_new_volume(names[-1], target))
    return volumes + kept, names


def _is_near(target: str, place: str) -> bool:
    """Say whether a mount lies in a place, or the place in it."""
    one, other = PurePosixPath(target), PurePosixPath(place)
    return one.is_relative_to(other) or other.is_relative_to(one)


def _would_be_made(target: str, kept: list[JsonObject]) -> bool:
    """Say whether Docker would have to make this mount point in a folder of the host's."""
    for outer in kept:
        if PurePosixPath(target).is_relative_to(outer["target"]):
            inside = PurePosixPath(target).relative_to(outer["target"])
            if not (_host_path(outer) / inside).exists():
                return True
    return False


def _names_a_file(security_option: str) -> bool:
    """Say whether it is a seccomp profile in a file, whose path is relative to the user's."""
    kind, _, value = str(security_option).replace("=", ":", 1).partition(":")
    return kind == "seccomp" and value != "unconfined"


def _is_harmless(bind: JsonObject) -> bool:
    """Say whether a host path may be mounted read-only.

    A socket works read-only too, and so does a disk mounted below a read-only folder: of folders
    only a configuration's.
    """
    source = _host_path(bind)
    is_configuration = PurePosixPath(bind["target"]).is_relative_to(CONFIGURATION)
    return source.is_file() or (
        source.is_dir() and bool(bind.get("read_only")) and is_configuration
    )


def _host_path(bind: JsonObject) -> Path:
    """Return the path of a bind mount; `docker compose config` doubles every `$`."""
    return Path(str(bind["source"]).replace("$$", "$"))


def _literal(text: str) -> str:
    """Return the text so that Compose does not take a `$` in it for a variable."""
    return text.replace("$", "$$")


def _new_volume(name: str, target: str) -> JsonObject:
    return {"type": "volume", "source": name, "target": target}


def _read_only(source: str, target: str) -> JsonObject:
    return {"type": "bind", "source": source, "target": target, "read_only": True}
