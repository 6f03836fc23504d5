"""Which service is Qdrant, where it is, and what another container of it would change."""

from __future__ import annotations

from typing import Any

import pytest

from snapshot_tasks.engines.compose_address import address_of
from snapshot_tasks.engines.compose_changes import changes
from snapshot_tasks.engines.compose_stack import Stack, find_stack, is_qdrant
from snapshot_tasks.system.errors import SettingsError, Unreachable


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("qdrant/qdrant", True),
        ("qdrant/qdrant:v1.17.0-gpu-nvidia", True),
        ("docker.io/qdrant/qdrant:v1.16.3-unprivileged", True),
        ("mirror.example:5000/hub/qdrant/qdrant@sha256:00", True),
        ("mirror.example:5000/qdrant/qdrant", True),
        ("other/qdrant", False),
        ("notqdrant/qdrant", False),
        ("qdrant/qdrant-web-ui:latest", False),
        ("", False),
    ],
)
def test_qdrants_image_is_known_in_every_variant(image: str, expected: bool) -> None:
    """From any registry, with a digest or a variant; a similar name is not enough."""
    assert is_qdrant(image) is expected


def test_the_usual_name_is_enough() -> None:
    """It wins over other services with the image, and a setting wins over it."""
    services = {"qdrant": {"build": "."}, "spare": {"image": "qdrant/qdrant"}}
    assert find_stack({"services": services}).name == "qdrant"
    assert find_stack({"services": services}, "spare").name == "spare"


def stack(ports: list[Any], **service: Any) -> Stack:
    """Return a stack with these ports."""
    return Stack(document={"services": {"db": {"ports": ports} | service}}, name="db")


@pytest.mark.parametrize(
    ("ports", "url"),
    [
        ([{"target": 6333, "published": "7000", "host_ip": "0.0.0.0"}], "http://localhost:7000"),
        ([{"target": 6333, "published": "7000", "host_ip": "10.0.0.1"}], "http://10.0.0.1:7000"),
        ([{"target": 6333}], "http://localhost:32768"),
        ([{"target": 7333, "published": "7000"}, {"target": 6334}], "http://localhost:7000"),
    ],
    ids=["everywhere", "one address", "chosen by Docker", "moved by a mounted file"],
)
def test_the_address_is_that_of_the_published_port(ports: list[Any], url: str) -> None:
    """What Docker chose is asked for."""
    found = address_of(stack(ports), lambda target: "0.0.0.0:32768\n")
    assert found.url == url


def test_the_key_is_read_in_any_case_and_not_shown() -> None:
    """Compose doubles every `$` in its output."""
    ports = [{"target": 6333, "published": "7000"}]
    found = address_of(
        stack(ports, environment={"qdrant__service__API_KEY": "a$$b"}), lambda target: ""
    )
    assert found.api_key == "a$b"
    assert "a$b" not in repr(found)


def test_what_cannot_be_reached_says_why() -> None:
    """No port is a wrong setting; a port that Docker chooses is not known before the start."""
    with pytest.raises(SettingsError, match="publishes no port"):
        address_of(stack([{"target": 6334, "published": "7000"}]), lambda target: "")
    with pytest.raises(Unreachable, match="not running"):
        address_of(stack([{"target": 6333}]), lambda target: "")


def test_changes_show_no_values() -> None:
    """Images and ports are shown old → new, variables by name; an equal hash has none."""
    container = {
        "Image": "sha256:1",
        "Config": {
            "Image": "qdrant/qdrant:v1.16.3",
            "Labels": {"com.docker.compose.config-hash": "old"},
            "Env": ["QDRANT__SERVICE__API_KEY=secret", "PATH=/bin"],
        },
        "HostConfig": {"PortBindings": {"6333/tcp": [{"HostPort": "6333"}]}},
    }
    service = {
        "environment": {"QDRANT__SERVICE__API_KEY": "hidden"},
        "ports": [{"target": 6333, "published": "7000"}],
    }
    image = "qdrant/qdrant:v1.17.0"
    found = changes(container, service, config_hash="new", image=image, image_id="")
    assert found == (
        f"image qdrant/qdrant:v1.16.3 → {image}",
        "ports 6333:6333 → 7000:6333",
        "environment QDRANT__SERVICE__API_KEY",
    )
    same = changes(
        container, service, config_hash="old", image="qdrant/qdrant:v1.16.3", image_id="sha256:1"
    )
    assert same == ()
