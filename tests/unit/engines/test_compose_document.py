"""Whatever the user's compose file contains, a drill can never reach the live stack."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from snapshot_tasks.engines.compose_document import (
    DRILL_SNAPSHOTS,
    drill_document,
    exposed_ports,
    image_for,
    snapshot_mounts,
)
from snapshot_tasks.engines.compose_stack import find_stack
from snapshot_tasks.qdrant.mounts import server_path
from snapshot_tasks.system.errors import SettingsError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The snapshot folder."""
    made = tmp_path / "snapshots"
    made.mkdir()
    return made


def hostile(tmp_path: Path) -> dict[str, Any]:
    """Return a resolved compose file with everything that ties a container to a live stack."""
    return {
        "name": "live",
        "services": {
            "qdrant": {
                "image": "qdrant/qdrant:v1.16.3",
                "container_name": "live-qdrant",
                "hostname": "live-host",
                "network_mode": "host",
                "networks": {"live-net": {"aliases": ["live-alias"]}},
                "links": ["live-app"],
                "external_links": ["live-other"],
                "extra_hosts": ["live-db=10.0.0.1"],
                "depends_on": {"live-app": {"condition": "service_started"}},
                "ports": [{"target": 6333, "published": "6333", "host_ip": "0.0.0.0"}],
                "expose": ["6335"],
                "restart": "always",
                "privileged": True,
                "pid": "host",
                "ipc": "host",
                "devices": ["/dev/live"],
                "volumes_from": ["live-app"],
                "labels": {"traefik.enable": "live"},
                "secrets": [{"source": "live-secret"}],
                "configs": [{"source": "live-config"}],
                "profiles": ["live-only"],
                "scale": 3,
                "deploy": {"replicas": 3, "labels": {"live": "yes"}},
                "build": {"context": "/live/build"},
                "logging": {"driver": "live-driver"},
                "environment": {
                    "QDRANT__LOG_LEVEL": "WARN",
                    "QDRANT__SERVICE__API_KEY": "live-key",
                    "QDRANT__SERVICE__ENABLE_TLS": "true",
                },
                "mem_limit": "2147483648",
                "user": "1000:1000",
                "volumes": [
                    {"type": "volume", "source": "live-storage", "target": "/qdrant/storage"},
                    {"type": "bind", "source": str(tmp_path), "target": "/qdrant/snapshots"},
                    {"type": "volume", "target": "/qdrant/anonymous"},
                ],
            },
            "live-app": {"image": "live/app", "volumes": []},
        },
        "volumes": {"live-storage": {"name": "live-storage-name", "external": True}},
        "networks": {"live-net": {"name": "live-net-name", "external": True}},
        "secrets": {"live-secret": {"file": "/live/secret"}},
        "configs": {"live-config": {"file": "/live/config"}},
    }


def drill(document: dict[str, Any], folder: Path, **changes: Any) -> dict[str, Any]:
    """Return the drill's document."""
    facts: dict[str, Any] = {
        "version": "1.17.0",
        "ports": ((40001, 40002),),
        "api_key": None,
        "folder": folder,
        "owner": "machine/start/folders/mine",
    }
    return drill_document(find_stack(document).service, **(facts | changes))


def with_volumes(*volumes: dict[str, Any], **service: Any) -> dict[str, Any]:
    """Return a compose file whose Qdrant has these volumes."""
    return {"services": {"qdrant": {"image": "qdrant/qdrant", "volumes": [*volumes], **service}}}


def test_shard_keys_get_a_cluster_of_one_node(tmp_path: Path) -> None:
    """Nothing of the user's own cluster is copied, and the port is not published."""
    given = {"services": {"qdrant": {"environment": {"QDRANT__CLUSTER__P2P__PORT": "7"}}}}
    service = drill(given, tmp_path, cluster=True)["services"]["qdrant"]
    assert service["environment"]["QDRANT__CLUSTER__ENABLED"] == "true"
    assert service["environment"]["QDRANT__CLUSTER__P2P__PORT"] == "6335"
    assert service["command"] == ["./entrypoint.sh", "--uri", "http://127.0.0.1:6335"]
    assert not any("6335" in port for port in service["ports"])
    assert service["environment"]["QDRANT__CLUSTER__P2P__ENABLE_TLS"] == "false"
    plain = drill(given, tmp_path)["services"]["qdrant"]
    assert plain["environment"]["QDRANT__CLUSTER__ENABLED"] == "false"
    assert "command" not in plain


def test_each_node_has_its_own_service(tmp_path: Path, folder: Path) -> None:
    """Its own name, id, ports and volumes; all else is as for one node, and nothing is live."""
    ports = ((40001, 40002), (40003, 40004), (40005, 40006))
    made = drill(hostile(tmp_path), folder, ports=ports, cluster=True)
    assert "live" not in json.dumps(made)
    one = drill(hostile(tmp_path), folder, cluster=True)["services"]["qdrant"]
    for number, (name, service) in enumerate(made["services"].items()):
        suffix = f"-{number}" if number else ""
        assert name == f"qdrant{suffix}"
        assert service["command"][-2:] == ["--uri", f"http://{name}:6335"]
        assert service["environment"].pop("QDRANT__CLUSTER__PEER_ID") == str(number + 1)
        published = [port.split(":")[:2] for port in service["ports"]]
        assert published == [["127.0.0.1", str(port)] for port in ports[number]]
        sources = {v["target"]: v["source"] for v in service["volumes"]}
        assert sources["/qdrant/storage"] == f"storage{suffix}"
        assert sources["/qdrant/snapshots"] == f"snapshots{suffix}"
        for key in service.keys() - {"command", "environment", "ports", "volumes"}:
            assert service[key] == one[key]
    first, *others = (service["command"] for service in made["services"].values())
    assert "--bootstrap" not in first
    assert all(one[1:3] == ["--bootstrap", "http://qdrant:6335"] for one in others)
    used = [
        volume["source"]
        for service in made["services"].values()
        for volume in service["volumes"]
        if volume["type"] == "volume"
    ]
    assert len(used) == len(set(used))
    assert set(used) == set(made["volumes"])


def test_only_the_first_node_restores_the_file(tmp_path: Path) -> None:
    """Otherwise, each would restore a collection of its own."""
    given: dict[str, Any] = {"services": {"qdrant": {}}}
    load = ("a.snapshot", "books")
    services = drill(given, tmp_path, ports=((1, 2), (3, 4)), cluster=True, load=load)["services"]
    assert ["--snapshot" in service["command"] for service in services.values()] == [True, False]


def test_only_the_first_start_restores_the_file(tmp_path: Path) -> None:
    """With the same argument, the next start would fail; a `$` is no variable."""
    given = {"services": {"qdrant": {"command": ["--something"]}}}
    service = drill(given, tmp_path, load=("a$b.snapshot", "books"))["services"]["qdrant"]
    file = "/qdrant/snapshots/drill/a$$b.snapshot:books"
    assert service["command"] == ["./entrypoint.sh", "--snapshot", file]
    assert service["environment"]["QDRANT__STORAGE__TEMP_PATH"].startswith(
        "/qdrant/storage/collections/"
    )
    next_one = drill(given, tmp_path)["services"]["qdrant"]
    assert "command" not in next_one
    temporary = next_one["environment"]["QDRANT__STORAGE__TEMP_PATH"]
    assert temporary == "/qdrant/storage/snapshots_temp"


def mounts(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the drill's mounts by their target."""
    volumes = document["services"]["qdrant"]["volumes"]
    assert len({v["target"] for v in volumes}) == len(volumes)
    return {v["target"]: v for v in volumes}


def test_nothing_of_the_old_stack_is_left(tmp_path: Path, folder: Path) -> None:
    """No name, network, port, volume, secret or label of the live stack is in the drill's file."""
    made = drill(hostile(tmp_path), folder)
    text = json.dumps(made)
    assert "live" not in text
    assert "external" not in text
    assert "host_ip" not in text
    assert set(made) == {"services", "volumes", "networks"}
    assert set(made["services"]) == {"qdrant"}
    assert set(made["services"]["qdrant"]) == {
        *("image", "pull_policy", "environment", "labels", "ports", "volumes", "restart"),
        *("mem_limit", "oom_score_adj"),
    }


def test_the_drills_own_things_are_its_own(tmp_path: Path, folder: Path) -> None:
    """Ports on this machine only, no restart, and labels that identify leftovers."""
    made = drill(hostile(tmp_path), folder)
    service = made["services"]["qdrant"]
    assert service["ports"] == ["127.0.0.1:40001:6333", "127.0.0.1:40002:6334"]
    assert (service["restart"], service["image"]) == ("no", "qdrant/qdrant:v1.17.0")
    labels = {"io.qdrant-snapshot-tasks.drill": "machine/start/folders/mine"}
    assert service["labels"] == labels
    assert made["networks"] == {"default": {"labels": labels}}
    assert all(volume == {"labels": labels} for volume in made["volumes"].values())


def test_no_volume_is_shared(tmp_path: Path, folder: Path) -> None:
    """Named, external and anonymous volumes and writable folders become new, empty volumes."""
    made = drill(hostile(tmp_path), folder)
    found = mounts(made)
    for target in ("/qdrant/storage", "/qdrant/snapshots", "/qdrant/anonymous"):
        if target in found:
            assert found[target]["type"] == "volume"
            assert set(made["volumes"][found[target]["source"]]) == {"labels"}
    assert {"/qdrant/storage", "/qdrant/snapshots"} <= set(found)
    assert "live" not in json.dumps(list(found.values()))
    assert all(v["read_only"] for v in found.values() if v["type"] == "bind")


def test_the_snapshots_are_read_only(folder: Path) -> None:
    """The drill can read the snapshot folder but not write to it."""
    mount = mounts(drill(with_volumes(), folder))[DRILL_SNAPSHOTS]
    assert (mount["source"], mount["read_only"]) == (str(folder.resolve()), True)


def test_a_configuration_file_stays(tmp_path: Path, folder: Path) -> None:
    """A file that configures the server is mounted, always read-only."""
    config = tmp_path / "production.yaml"
    config.touch()
    target = "/qdrant/config/production.yaml"
    document = with_volumes({"type": "bind", "source": str(config), "target": target})
    assert mounts(drill(document, folder))[target] == {
        "type": "bind",
        "source": str(config),
        "target": target,
        "read_only": True,
    }


@pytest.fixture
def docker_socket(tmp_path: Path) -> Iterator[str]:
    """A socket like the one of the Docker daemon."""
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        yield str(path)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_socket_of_this_host_never_gets_in(
    docker_socket: str, folder: Path, read_only: bool
) -> None:
    """A socket can be used even through a read-only mount, so it is never copied."""
    mount = {"type": "bind", "source": docker_socket, "target": "/run/x", "read_only": read_only}
    assert docker_socket not in json.dumps(drill(with_volumes(mount), folder))


def test_the_snapshot_folder_may_be_mounted_already(folder: Path) -> None:
    """No target is mounted twice, which Compose would reject."""
    mount = {"type": "bind", "source": str(folder), "target": DRILL_SNAPSHOTS, "read_only": True}
    mounts(drill(with_volumes(mount), folder))


def test_a_dollar_stays_a_dollar(tmp_path: Path) -> None:
    """Compose interpolates the drill's document, so keys and paths are escaped."""
    folder = tmp_path / "a$b"
    folder.mkdir()
    made = drill(with_volumes(), folder, api_key="k$ey")
    environment = made["services"]["qdrant"]["environment"]
    assert environment["QDRANT__SERVICE__API_KEY"] == "k$$ey"
    assert mounts(made)[DRILL_SNAPSHOTS]["source"].endswith("a$$b")


def test_the_key_is_that_of_the_settings(tmp_path: Path, folder: Path) -> None:
    """The drill uses the key of the settings, or no key; never the key in the file."""
    environment = drill(hostile(tmp_path), folder)["services"]["qdrant"]["environment"]
    assert environment["QDRANT__LOG_LEVEL"] == "WARN"
    assert not [name for name in environment if "API_KEY" in name]
    with_key = drill(hostile(tmp_path), folder, api_key="mine")["services"]["qdrant"]["environment"]
    assert with_key["QDRANT__SERVICE__API_KEY"] == "mine"


@pytest.mark.parametrize(
    "service",
    [
        {"environment": {"QDRANT__CLUSTER__ENABLED": "true"}},
        {"command": ["./qdrant", "--bootstrap", "http://live-1:6335"]},
        {"environment": {"QDRANT__STORAGE__SNAPSHOTS_CONFIG__S3_CONFIG__BUCKET": "live"}},
        {"environment": {"qdrant__cluster__enabled": "true", "Qdrant__Service__Api_Key": "live"}},
        {"environment": {"QDRANT__STORAGE__TEMP_PATH": "/live", "QDRANT__TLS__CERT": "/live"}},
    ],
)
def test_a_drill_joins_no_cluster_and_no_bucket(folder: Path, service: dict[str, Any]) -> None:
    """Settings that make a server contact others are left out, since networks cannot stop it."""
    made = drill(with_volumes(**service), folder)["services"]["qdrant"]
    assert "live" not in json.dumps(made)
    assert "true" not in made["environment"].values()


def test_the_server_writes_only_to_new_volumes(folder: Path) -> None:
    """Paths and ports are fixed, whatever the environment or a mounted configuration sets."""
    moved = {"QDRANT__STORAGE__STORAGE_PATH": "/live", "qdrant__storage__snapshots_path": "/live"}
    document = drill(with_volumes(environment=moved), folder)
    environment, found = document["services"]["qdrant"]["environment"], mounts(document)
    assert "/live" not in environment.values()
    for name in ("STORAGE_PATH", "SNAPSHOTS_PATH"):
        assert found[environment[f"QDRANT__STORAGE__{name}"]]["type"] == "volume"
    assert environment["QDRANT__STORAGE__TEMP_PATH"].startswith("/qdrant/storage/")


@pytest.mark.parametrize(
    "target",
    [
        *(
            "/",
            "/qdrant",
            "/qdrant/storage",
            "/qdrant/storage/",
            "/qdrant/storage/aliases/data.json",
        ),
        *("/qdrant/snapshots", "/qdrant//snapshots/host", "/qdrant/snapshots/../storage"),
    ],
)
def test_nothing_of_the_hosts_lies_where_the_server_writes(folder: Path, target: str) -> None:
    """Neither over nor in its two folders; a read-only mount there would stop it from starting."""
    mount = {"type": "bind", "source": str(folder.parent), "target": target, "read_only": True}
    found = mounts(drill(with_volumes(mount), folder))
    assert set(found) == {"/qdrant/storage", "/qdrant/snapshots", DRILL_SNAPSHOTS}


def test_no_mount_point_is_made_in_a_folder_of_the_hosts(tmp_path: Path, folder: Path) -> None:
    """Docker creates a missing mount point, in a folder of the host if the mount is nested."""
    settings = tmp_path / "settings"
    (settings / "there").mkdir(parents=True)
    outer = {"type": "bind", "source": str(settings), "target": "/qdrant/config", "read_only": True}
    nested = [
        {"type": "volume", "source": name, "target": f"/qdrant/config/{name}"}
        for name in ("there", "missing")
    ]
    found = mounts(drill(with_volumes(*nested, outer), folder))
    assert {"/qdrant/config", "/qdrant/config/there"} <= set(found)
    assert "/qdrant/config/missing" not in found


@pytest.mark.parametrize("target", ["/host", "/qdrant/other", "/qdrant/configuration"])
def test_a_folder_of_the_hosts_stays_only_as_configuration(
    tmp_path: Path, folder: Path, target: str
) -> None:
    """Sockets and disks inside a read-only folder are not read-only."""
    mount = {"type": "bind", "source": str(tmp_path), "target": target, "read_only": True}
    found = mounts(drill(with_volumes(mount), folder))
    assert found[target]["type"] == "volume"
    found = mounts(drill(with_volumes({**mount, "target": "/qdrant/config"}), folder))
    assert found["/qdrant/config"]["read_only"]


def test_what_only_the_live_folders_need_is_left_out(folder: Path) -> None:
    """The user of the live folder owns no new volume, and a file's path is relative elsewhere."""
    service = {
        "user": "1000:1000",
        "working_dir": "/live",
        "tmpfs": ["/qdrant/storage"],
        "healthcheck": {"test": ["CMD", "touch", "/live"]},
        "security_opt": ["no-new-privileges:true", "seccomp:./live.json", "seccomp=unconfined"],
    }
    made = drill(with_volumes(**service), folder)["services"]["qdrant"]
    assert "/live" not in json.dumps(made)
    assert made["security_opt"] == ["no-new-privileges:true", "seccomp=unconfined"]
    assert not {"user", "working_dir", "tmpfs", "healthcheck"} & set(made)


def test_the_users_document_is_not_changed(tmp_path: Path, folder: Path) -> None:
    """Creating a drill's document does not change the user's document."""
    document = hostile(tmp_path)
    drill(document, folder, api_key="mine")
    assert document == hostile(tmp_path)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("qdrant/qdrant", "qdrant/qdrant:v1.17.0"),
        ("qdrant/qdrant:latest", "qdrant/qdrant:v1.17.0"),
        ("qdrant/qdrant:v1.16.3", "qdrant/qdrant:v1.17.0"),
        ("qdrant/qdrant:v1.16.3-unprivileged", "qdrant/qdrant:v1.17.0-unprivileged"),
        ("qdrant/qdrant:v1.16.3-gpu-nvidia", "qdrant/qdrant:v1.17.0-gpu-nvidia"),
        ("qdrant/qdrant@sha256:abc", "qdrant/qdrant:v1.17.0"),
        ("qdrant/qdrant:v1.16.3@sha256:abc", "qdrant/qdrant:v1.17.0"),
        ("qdrant/qdrant:v1.16.3-unprivileged@sha256:a", "qdrant/qdrant:v1.17.0-unprivileged"),
        ("registry.example:5000/qdrant", "registry.example:5000/qdrant:v1.17.0"),
        ("registry.example:5000/q/qdrant:v1.16.3", "registry.example:5000/q/qdrant:v1.17.0"),
        ("registry.example:5000/qdrant@sha256:abc", "registry.example:5000/qdrant:v1.17.0"),
    ],
)
def test_an_image_gets_another_version(image: str, expected: str) -> None:
    """Registry, port and variant stay; tag and digest are replaced by the version."""
    assert image_for({"image": image}, "1.17.0") == expected


def test_a_service_without_an_image_takes_the_official_one() -> None:
    """An image that is built locally is not available in another version."""
    assert image_for({"build": {"context": "."}}, "1.17.0") == "qdrant/qdrant:v1.17.0"


@pytest.mark.parametrize(
    "document", [{}, {"services": {}}, {"services": {"db": {}}}, {"services": {"qdrant": None}}]
)
def test_a_file_without_qdrant_is_refused(document: dict[str, Any]) -> None:
    """Without the service there is nothing to run."""
    with pytest.raises(SettingsError) as caught:
        find_stack(document)
    assert caught.value.exit_code == 14


def test_the_mount_of_the_folder_is_found(folder: Path) -> None:
    """Only a bind mount of exactly this folder lets the server read its files."""
    document = with_volumes(
        {"type": "volume", "source": "storage", "target": "/qdrant/storage"},
        {"type": "bind", "source": str(folder.parent), "target": "/elsewhere"},
        {"type": "bind", "source": str(folder / ".." / folder.name), "target": "/in"},
    )
    (mount,) = snapshot_mounts(find_stack(document).service, folder)
    assert server_path(mount, folder / "books.snapshot") == "/in/books.snapshot"
    assert server_path(mount, folder.parent / "books.snapshot") is None


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ({}, ""),
        ({"ports": [{"target": 6333, "published": "6333", "host_ip": "127.0.0.1"}]}, ""),
        ({"ports": [{"target": 6333, "published": "6333", "host_ip": "::1"}]}, ""),
        ({"ports": [{"target": 6333, "published": "7"}]}, "published on 0.0.0.0:7"),
        ({"ports": [{"target": 6333, "host_ip": "0.0.0.0"}]}, "published on 0.0.0.0:any port"),
        ({"ports": [{"published": "7", "host_ip": "10.0.0.1"}]}, "published on 10.0.0.1:7"),
        ({"network_mode": "host"}, "network_mode: host"),
        ({"network_mode": "host", "environment": {"QDRANT__SERVICE__HOST": "127.0.0.1"}}, ""),
    ],
)
def test_where_other_machines_reach_it(service: dict[str, Any], expected: str) -> None:
    """Only what is published on a loopback address is out of their reach."""
    assert exposed_ports(service) == expected
