"""Pure functions over a resolved Compose document (`docker compose config --format json`)."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from snapshot_tasks.domain.cluster import P2P_PORT
from snapshot_tasks.domain.endpoint import Mount, is_loopback
from snapshot_tasks.engines.arguments import cluster_environment, load_argv, node_argv
from snapshot_tasks.engines.compose_stack import JsonObject, setting
from snapshot_tasks.system.errors import SettingsError

# The name of a drill's first service; the others have a number, too.
DRILL_SERVICE = "qdrant"
# A label on everything that a drill creates. It identifies the run, so that leftovers of a killed
# run can be recognised.
DRILL_LABEL = "io.qdrant-snapshot-tasks.drill"
KEPT = "kept"
STORAGE, SNAPSHOTS = "/qdrant/storage", "/qdrant/snapshots"
DRILL_SNAPSHOTS = f"{SNAPSHOTS}/drill"
CONFIGURATION = "/qdrant/config"
WORKING_DIR = "/qdrant"
# The command of Qdrant's image, which passes its arguments on.
ENTRY_POINT = "./entrypoint.sh"
# Copy only the settings that configure the server itself. Names, ports, networks, commands,
# dependencies and writable host folders could reach the live stack, so they are never copied.
# Settings that only the live server's folders need are not copied either: its user, its working
# directory, its memory disks.
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
# These would make the server listen elsewhere, join the live cluster, or write to the live store.
_LEFT_OUT_SETTINGS = (
    "QDRANT__CLUSTER__",
    "QDRANT__LOGGER__ON_DISK__",
    "QDRANT__SERVICE__",
    "QDRANT__STORAGE__SNAPSHOTS_",
    "QDRANT__STORAGE__STORAGE_PATH",
    "QDRANT__STORAGE__TEMP_PATH",
    "QDRANT__TLS__",
)
# The same settings, as written in a mounted configuration file.
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
# Qdrant renames this folder to that of the collection, and creates no other for it.
_LOADING_SETTINGS = {"QDRANT__STORAGE__TEMP_PATH": f"{STORAGE}/collections/loading.tmp"}


def image_for(service: JsonObject, version: str) -> str:
    """Return the service's image in another version; a variant such as `-unprivileged` stays."""
    image = str(service.get("image", "qdrant/qdrant"))
    name, separator, tag = image.partition("@")[0].rpartition(":")
    if not separator or "/" in tag:
        name, tag = image.partition("@")[0], ""
    _, dash, variant = tag.partition("-")
    return f"{name}:v{version}{dash}{variant}"


def is_built(service: JsonObject) -> bool:
    """Return whether the service's image is built locally, and so cannot be pulled."""
    return bool(service.get("build"))


def not_to_be_had(name: str, why: str) -> SettingsError:
    """Return the error for a drill that needs another image than the one that is built locally."""
    return SettingsError(
        f"The image comes from `services.{name}.build`, and a drill cannot build images: {why}.",
        hint=f"Set `services.{name}.image` to a Qdrant image (you can keep `build`), or set "
        "QDRANT_DRILL_ENGINE=native.",
    )


def snapshot_mounts(service: JsonObject, folder: Path) -> tuple[Mount, ...]:
    """Return the path at which the Qdrant service sees the snapshot folder."""
    return tuple(
        Mount(host_dir=folder, server_dir=str(volume["target"]))
        for volume in service.get("volumes", ())
        if volume.get("type") == "bind" and _host_path(volume).resolve() == folder.resolve()
    )


def exposed_ports(service: JsonObject) -> str:
    """Return the addresses beyond this machine on which the Qdrant service is published."""
    if service.get("network_mode") == "host":
        return "" if is_loopback(setting(service, "SERVICE__HOST")) else "network_mode: host"
    ports = [(str(p.get("host_ip") or "0.0.0.0"), p) for p in service.get("ports") or ()]  # noqa: S104
    return ", ".join(
        f"published on {address}:{port.get('published') or 'any port'}"
        for address, port in ports
        if not is_loopback(address)
    )


def memory_disks(service: JsonObject) -> list[PurePosixPath]:
    """Return where the service has memory disks, which are gone when its container stops."""
    given = service.get("tmpfs") or ()
    paths = [str(one).partition(":")[0] for one in ([given] if isinstance(given, str) else given)]
    paths += [str(v["target"]) for v in service.get("volumes", ()) if v["type"] == "tmpfs"]
    return [PurePosixPath(path) for path in paths]


def drill_services(count: int) -> tuple[str, ...]:
    """Return the names of a drill's services, one for each node, the first node first."""
    return (DRILL_SERVICE, *(f"{DRILL_SERVICE}-{number}" for number in range(1, count)))


def drill_document(
    service: JsonObject,
    *,
    version: str,
    ports: Sequence[tuple[int, int]],
    api_key: str | None,
    folder: Path,
    owner: str,
    cluster: bool = False,
    load: tuple[str, str] | None = None,
) -> dict[str, Any]:
    """Return a Compose document with only a fresh Qdrant, configured like the user's own.

    `ports` are on which ports of this machine it has its HTTP and gRPC APIs: one pair for each of
    its nodes. With `cluster`, these are a cluster of their own. `load` is a file in the folder and
    the collection that the first node restores from it when it starts.

    Everything is labelled with `owner`. What a node writes goes to new volumes of its own in the
    drill's project; mounted files, such as a configuration, are kept, but read-only.
    """
    names = drill_services(len(ports))
    copied = _copied_keys(service)
    environment = _drill_environment(service, api_key)
    labels = {DRILL_LABEL: owner}
    services: dict[str, JsonObject] = {}
    made: list[str] = []
    for name, (http_port, grpc_port) in zip(names, ports, strict=True):
        volumes, new = _drill_volumes(service, folder, name.removeprefix(DRILL_SERVICE))
        settings, arguments = _cluster_node(name, names) if cluster else ({}, ())
        if load and name == names[0]:
            settings |= _LOADING_SETTINGS
            arguments += load_argv(load, DRILL_SNAPSHOTS)
        made += new
        services[name] = (
            copied
            | {
                "image": image_for(service, version),
                "pull_policy": "missing",
                "environment": environment | settings,
                "labels": labels,
                "ports": [f"127.0.0.1:{http_port}:6333", f"127.0.0.1:{grpc_port}:6334"],
                "volumes": volumes,
                "restart": "no",
                # If memory runs out, it ends and not the live server.
                "oom_score_adj": 1000,
            }
            | ({"command": [ENTRY_POINT, *map(_literal, arguments)]} if arguments else {})
        )
    return {
        "services": services,
        "volumes": {name: {"labels": labels} for name in made},
        "networks": {"default": {"labels": labels}},
    }


def _copied_keys(service: JsonObject) -> dict[str, Any]:
    copied = {key: service[key] for key in _COPIED_KEYS if service.get(key) is not None}
    if "security_opt" in copied:
        copied["security_opt"] = [o for o in copied["security_opt"] if not _names_a_file(o)]
    return copied


def _drill_environment(service: JsonObject, api_key: str | None) -> dict[str, Any]:
    """Return the user's own settings, as far as they reach nothing outside the drill."""
    given: Mapping[str, Any] = service.get("environment") or {}
    environment = {
        name: value
        for name, value in given.items()
        # Qdrant reads these names in upper or lower case.
        if not name.upper().startswith(_LEFT_OUT_SETTINGS)
    } | _FIXED_SETTINGS
    if api_key:
        environment["QDRANT__SERVICE__API_KEY"] = _literal(api_key)
    return environment


def _cluster_node(name: str, names: tuple[str, ...]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the settings and arguments of one node of a cluster; they find each other by name."""
    # In a mounted configuration file, all nodes would have the same id.
    settings = {**cluster_environment(), "QDRANT__CLUSTER__PEER_ID": str(names.index(name) + 1)}
    if len(names) == 1:
        return settings, node_argv(f"127.0.0.1:{P2P_PORT}")
    joins = "" if name == names[0] else f"{names[0]}:{P2P_PORT}"
    return settings, node_argv(f"{name}:{P2P_PORT}", joins)


def _drill_volumes(
    service: JsonObject, folder: Path, suffix: str
) -> tuple[list[JsonObject], list[str]]:
    """Return a node's mounts, and the names of the volumes created for it, with this suffix."""
    names = [f"storage{suffix}", f"snapshots{suffix}"]
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
            names.append(f"data{len(names)}{suffix}")
            volumes.append(_new_volume(names[-1], target))
    return volumes + kept, names


def _is_near(target: str, place: str) -> bool:
    """Return whether one of two paths is the other one or inside it."""
    one, other = PurePosixPath(target), PurePosixPath(place)
    return one.is_relative_to(other) or other.is_relative_to(one)


def _would_be_made(target: str, kept: list[JsonObject]) -> bool:
    """Return whether Docker would have to create this mount point in a folder of the host."""
    for outer in kept:
        if PurePosixPath(target).is_relative_to(outer["target"]):
            inside = PurePosixPath(target).relative_to(outer["target"])
            if not (_host_path(outer) / inside).exists():
                return True
    return False


def _names_a_file(security_option: str) -> bool:
    """Return whether this is a seccomp profile in a file, whose path is relative to the user's."""
    kind, _, value = str(security_option).replace("=", ":", 1).partition(":")
    return kind == "seccomp" and value != "unconfined"


def _is_harmless(bind: JsonObject) -> bool:
    """Return whether a host path may be mounted read-only.

    A socket can still be used through a read-only mount, and a disk mounted below a read-only
    folder can still be written to. So the only folders allowed are those of a configuration.
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
    """Escape the text so that Compose does not treat a `$` in it as a variable."""
    return text.replace("$", "$$")


def _new_volume(name: str, target: str) -> JsonObject:
    return {"type": "volume", "source": name, "target": target}


def _read_only(source: str, target: str) -> JsonObject:
    return {"type": "bind", "source": source, "target": target, "read_only": True}
