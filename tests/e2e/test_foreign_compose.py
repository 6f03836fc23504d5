"""A user's own compose file: nothing is upgraded, moved or recreated unless it is asked for."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import running
from tests.e2e.stack import Stack, ask_docker, copy_project, new_stack, ok
from tests.support.ports import free_ports

OWN_DEFAULTS = """
services:
  qdrant:
    image: qdrant/qdrant:v${QDRANT_VERSION:-1.16.3}
    ports: ["127.0.0.1:${QDRANT_HTTP_PORT:-PORT}:6333"]
    volumes: ["storage:/qdrant/storage"]
volumes: {storage: }
"""
ELSEWHERE = """
services:
  vectors:
    image: docker.io/qdrant/qdrant:v1.16.3
    ports: ["0.0.0.0::6333", "6334"]
    env_file: [qdrant.env]
    volumes: ["storage:/qdrant/storage"]
  cache:
    image: qdrant-snapshot-tasks-ci/python:3.11
    command: [sleep, "600"]
volumes: {storage: }
"""
KEY = "not-to-be-printed"


@pytest.fixture
def foreign(docker: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A project without settings of ours, except for its engine; nothing runs yet."""
    stack = new_stack(copy_project(tmp_path_factory.mktemp("foreign")))
    for name in ("QDRANT_HTTP_PORT", "QDRANT_GRPC_PORT", "QDRANT_COLLECTION_NAME"):
        del stack.inv.environment[name]
    with running(stack):
        yield stack


def write(stack: Stack, text: str, **files: str) -> None:
    """Write the compose file, and other files by name."""
    stack.compose_file.write_text(text.replace("PORT}", f"{stack.port}}}"), encoding="utf-8")
    for name, content in files.items():
        (stack.root / name.replace("_", ".")).write_text(content, encoding="utf-8")


def image(stack: Stack) -> str:
    """Return the image of the container."""
    return str(stack.inspect()["Config"]["Image"])


def test_nothing_is_upgraded_or_moved_by_default(foreign: Stack) -> None:
    """The file's defaults hold in up and restart; what runs stays until `--recreate`."""
    write(foreign, OWN_DEFAULTS)
    foreign.up()
    before, container = foreign.identity(), foreign.container()
    result = ok(foreign.inv("stack.up", "--json")).document["result"]
    assert result["qdrant_version"] == "1.16.3"
    assert foreign.identity() == before
    ok(foreign.inv("stack.restart"))
    assert (image(foreign), foreign.container()) == ("qdrant/qdrant:v1.16.3", container)

    (foreign.root / ".env").write_text("QDRANT_VERSION=1.17.0\n", encoding="utf-8")
    kept = ok(foreign.inv("stack.up"))
    assert "v1.16.3 → qdrant/qdrant:v1.17.0" in kept.stderr
    assert "stack.restart --recreate" in kept.stderr
    unapplied = ok(foreign.inv("stack.restart", "--json")).document["result"]["not_applied"]
    assert unapplied == ["image qdrant/qdrant:v1.16.3 → qdrant/qdrant:v1.17.0"]
    assert foreign.container() == container
    dry = ok(foreign.inv("--dry", "stack.restart", "--recreate", "--json")).document["result"]
    assert f"change {unapplied[0]}" in dry["would"]
    assert foreign.container() == container
    done = ok(foreign.inv("stack.restart", "--recreate", "--json"))
    assert done.document["result"]["changed"] == unapplied
    assert unapplied[0] in done.stderr
    assert image(foreign) == "qdrant/qdrant:v1.17.0"


def test_a_recreation_that_cannot_work_stops_nothing(foreign: Stack) -> None:
    """A taken port, and an image that cannot be had: the container goes on running."""
    write(foreign, OWN_DEFAULTS)
    foreign.up()
    before = foreign.identity()
    (taken,) = free_ports(1)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", taken))
        holder.listen()
        done = foreign.inv("stack.restart", "--recreate", "--json", QDRANT_HTTP_PORT=str(taken))
        assert done.code == 14
        assert str(taken) in done.document["error"]["message"]
        moved = foreign.inv("stack.up", "--json", QDRANT_HTTP_PORT=str(taken))
        assert moved.code == 14
        assert "stack.restart --recreate" in moved.document["error"]["hint"]
    done = foreign.inv("stack.restart", "--recreate", "--json", QDRANT_VERSION="1.16.9")
    assert done.code == 13
    assert foreign.identity() == before


def test_service_port_and_key_are_read_from_the_file(foreign: Stack) -> None:
    """The only service with a Qdrant image, at a random port, with a key from an env_file."""
    write(foreign, ELSEWHERE, qdrant_env=f"qdrant__service__api_key={KEY}\n")
    off = foreign.inv("snapshot.create", "--collection", "some", "--json")
    assert off.code == 13
    assert "not running" in off.document["error"]["message"]
    up = ok(foreign.inv("stack.up", "--json"))
    port = ask_docker("port", foreign.container("vectors"), "6333").splitlines()[0].split(":")[1]
    status = ok(foreign.inv("stack.status", "--json")).document["result"]
    assert (status["url"], status["running"]) == (f"http://localhost:{port}", True)
    with_key(foreign, int(port))
    made = ok(foreign.inv("snapshot.create", "--json"))
    doctor = foreign.inv("doctor", "--json")
    # Each start of the container gets another port.
    drilled = ok(foreign.inv("snapshot.test-restore", "--in-place", "--yes", "--json"))
    for ran in (up, made, doctor, drilled):
        assert KEY not in ran.stdout + ran.stderr
    found = {f["check"]: f["message"] for f in doctor.document["result"]["findings"]}
    assert "with the key" in found["credentials"]
    ok(foreign.inv("stack.down", "--volumes", "--yes"))
    assert foreign.container("vectors") == ""


def with_key(stack: Stack, port: int) -> None:
    """Load a small collection into the server of a random port."""
    moved = Stack(inv=stack.inv, name=stack.name, port=port)
    with moved.loader(KEY) as loader:
        loader.plain("small", points=50)


def test_a_qdrant_of_the_local_network_is_found_there(foreign: Stack) -> None:
    """It is only published at an address of this machine; that is where it is said to be."""
    lan = lan_address()
    write(foreign, OWN_DEFAULTS.replace("127.0.0.1", lan))
    at_lan, at_localhost = (f"http://{host}:{foreign.port}" for host in (lan, "localhost"))
    ok(foreign.inv("stack.up"))
    assert ok(foreign.inv("stack.status", "--json")).document["result"]["url"] == at_lan
    ok(foreign.inv("stack.up", QDRANT_URL=at_lan))
    wrong = foreign.inv("stack.up", "--json", QDRANT_URL="http://db.example:6333")
    assert wrong.code == 14
    assert f"listens at {at_lan}." in wrong.document["error"]["message"]
    (moved,) = free_ports(1)
    other = foreign.inv("stack.up", "--json", QDRANT_HTTP_PORT=str(moved))
    assert other.code == 14
    assert f"listens at {at_lan}, not at http://{lan}:{moved}" in other.document["error"]["message"]
    down = ok(foreign.inv("stack.down", "--json", QDRANT_URL=at_lan)).document["result"]
    assert len(down["stopped"]) == 1
    assert at_localhost not in ok(foreign.inv("stack.down")).stdout


def lan_address() -> str:
    """Return an IPv4 address of this machine that is no loopback."""
    found = (a for addresses in psutil.net_if_addrs().values() for a in addresses)
    return next(
        a.address for a in found if a.family is socket.AF_INET and not a.address.startswith("127.")
    )


def test_data_is_never_upgraded_unsaid_and_never_taken_back(foreign: Stack) -> None:
    """After `down`, another version is said before; an older one, and a skipped one, is 24."""
    write(foreign, OWN_DEFAULTS)
    # Started by Compose itself: the version is recorded before the container is removed.
    foreign.up()
    ok(foreign.inv("stack.down"))
    skips = foreign.inv("stack.up", "--json", QDRANT_VERSION="1.18.0")
    assert (skips.code, foreign.container()) == (24, "")
    upgraded = ok(foreign.inv("stack.up", QDRANT_VERSION="1.17.0"))
    assert "from Qdrant 1.16.3 to 1.17.0" in upgraded.stderr
    back = foreign.inv("stack.restart", "--recreate", "--json")
    assert back.code == 24
    assert image(foreign) == "qdrant/qdrant:v1.17.0"
    ok(foreign.inv("stack.down"))
    back = foreign.inv("stack.up", "--json")
    assert (back.code, foreign.container()) == (24, "")
    assert "1.17.0" in back.document["error"]["message"]
    ok(foreign.inv("stack.down", "--volumes", "--yes"))
    new = ok(foreign.inv("stack.up", "--json"))
    assert new.document["result"]["qdrant_version"] == "1.16.3"


NO_PORT = "services: {db: {image: 'qdrant/qdrant:v1.16.3@sha256:%s'}}\n" % ("0" * 64)
TWO = """
services:
  one: {image: "qdrant/qdrant:v1.16.3-gpu-nvidia"}
  two: {image: "mirror.example:5000/hub/qdrant/qdrant:v1.17.0-unprivileged"}
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [(NO_PORT, ("db", "sidecar", "QDRANT_DRILL_ENGINE")), (TWO, ("one, two", "QDRANT_COMPOSE_"))],
    ids=["no port", "two"],
)
@pytest.mark.parametrize("task", ["stack.up", "snapshot.create", "stack.status", "doctor"])
def test_what_cannot_be_meant_or_reached_is_told_at_once(
    foreign: Stack, text: str, words: tuple[str, ...], task: str
) -> None:
    """14, with the candidates or the two ways out; nothing is started."""
    write(foreign, text)
    done = foreign.inv(task, "--json")
    assert done.code == 14
    error = done.document["error"]
    assert all(word in error["message"] + error["hint"] for word in words)
    assert foreign.identity() == {}


def test_the_service_can_be_named(foreign: Stack, tmp_path: Path) -> None:
    """`QDRANT_COMPOSE_SERVICE` wins, and one that does not exist is told with those that do."""
    write(foreign, TWO)
    done = foreign.inv("stack.up", "--json", QDRANT_COMPOSE_SERVICE="two")
    assert "two publishes no port" in done.document["error"]["message"]
    done = foreign.inv("stack.up", "--json", QDRANT_COMPOSE_SERVICE="three")
    assert done.code == 14
    assert "one, two" in done.document["error"]["hint"]
