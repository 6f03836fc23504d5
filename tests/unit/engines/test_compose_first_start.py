"""When and how a container starts once with snapshots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from snapshot_tasks.engines.compose_down import DockerState
from snapshot_tasks.engines.compose_first_start import first_start_argv, version_if_empty
from snapshot_tasks.engines.compose_stack import Stack

STORAGE = {"type": "volume", "source": "data", "target": "/qdrant/storage"}


def stack(**service: Any) -> Stack:
    """A stack of one service, as Compose resolves it."""
    described = {"image": "qdrant/qdrant:v1.18.3", "volumes": [STORAGE], **service}
    document = {"name": "p", "services": {"db": described}, "volumes": {"data": {}}}
    return Stack(document=document, name="db")


@pytest.mark.parametrize(
    ("service", "version"),
    [
        ({}, "1.18.3"),
        ({"image": "mirror.example/qdrant/qdrant:v1.19.0-unprivileged"}, "1.19.0"),
        ({"image": "qdrant/qdrant"}, ""),
        ({"volumes": []}, ""),
        ({"volumes": [{**STORAGE, "type": "bind", "source": "/data"}]}, ""),
    ],
)
def test_only_a_new_volume_is_empty(service: dict[str, Any], version: str) -> None:
    """What a folder holds is not looked at, and what is in a container goes with it."""
    assert version_if_empty(stack(**service), DockerState()) == version


def test_a_volume_that_exists_may_hold_data() -> None:
    """Also without a container."""
    assert version_if_empty(stack(), DockerState(volumes={"p_data": {}})) == ""


@pytest.mark.parametrize(
    ("service", "command"),
    [
        ({}, ["./entrypoint.sh"]),
        ({"command": ["./qdrant", "--x", "a$$b"]}, ["./qdrant", "--x", "a$b"]),
        ({"entrypoint": ["./qdrant"]}, []),
    ],
)
def test_the_arguments_follow_the_command(
    service: dict[str, Any], command: list[str], tmp_path: Path
) -> None:
    """The file is mounted read-only, wherever a link leads."""
    file = tmp_path / "disk" / "a.snapshot"
    file.parent.mkdir()
    file.touch()
    link = tmp_path / "link.snapshot"
    link.symlink_to(file)
    argv = first_start_argv(stack(**service), "once", {"a": link})
    assert f"{file}:/qdrant/snapshots/first-start/link.snapshot:ro" in argv
    at = argv.index("db")
    load = ["--snapshot", "/qdrant/snapshots/first-start/link.snapshot:a"]
    assert list(argv[at + 1 :]) == [*command, *load]
