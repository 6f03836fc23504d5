"""A compose file that shares names across projects: the drill still cannot reach the live data."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Seeds, running
from tests.e2e.drills import Moment, drill, findings, interrupted
from tests.e2e.stack import SMALL, Stack, ask_docker, content, copy_project, lines, new_stack, ok

HOSTILE = """
services:
  qdrant:
    image: qdrant/qdrant:v1.17.0
    container_name: {name}-fixed
    hostname: {name}-fixed
    restart: always
    ports:
      - "127.0.0.1:{port}:6333"
    environment:
      QDRANT__STORAGE__SNAPSHOTS_PATH: /qdrant/snapshots
    networks:
      shared:
        aliases: [qdrant-live]
    volumes:
      - storage:/qdrant/storage
      - ./server_snapshots:/qdrant/snapshots
      - ./qdrant_snapshots:/qdrant/snapshots/host:ro
      - ./precious:/precious
    depends_on: [neighbour]
  neighbour:
    image: qdrant/qdrant:v1.17.0
    container_name: {name}-neighbour
    entrypoint: ["bash", "-c", "sleep 600"]
    init: true
volumes:
  storage:
    name: {name}-shared-storage
networks:
  shared:
    name: {name}-shared-network
"""
WRITES = "    command: [bash, -c, 'touch /precious/touched; exec ./entrypoint.sh']\n"


@pytest.fixture(scope="module")
def hostile(
    docker: None, seeds: Seeds, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A live stack with a fixed volume, container and network name, ports and a writable mount."""
    with running(new_stack(copy_project(tmp_path_factory.mktemp("hostile")))) as stack:
        text = HOSTILE.format(name=stack.name, port=stack.port)
        stack.compose_file.write_text(text, encoding="utf-8")
        for name in ("server_snapshots", "precious"):
            (stack.root / name).mkdir()
        (stack.root / "precious" / "data").write_text("as it was", encoding="utf-8")
        seeds.give(stack, SMALL)
        ok(stack.inv("stack.up"))
        # From now on any container of this service would write into the mounted folder.
        with_command = text.replace("    restart: always\n", WRITES)
        stack.compose_file.write_text(with_command, encoding="utf-8")
        yield stack


def everything(stack: Stack) -> dict[str, object]:
    """Return all that a drill could have reached."""
    shared = lines("volume", "ls", "--quiet", "--filter", f"name={stack.name}-shared")
    state = "{{.Id}} {{.State.StartedAt}} {{.State.Status}}"
    files = [p for name in ("server_snapshots", "precious") for p in (stack.root / name).rglob("*")]
    with stack.loader() as loader:
        return {
            "container": ask_docker("inspect", "--format", state, f"{stack.name}-fixed"),
            "neighbour": ask_docker("inspect", "--format", state, f"{stack.name}-neighbour"),
            "volumes": shared,
            "networks": lines("network", "ls", "--quiet", "--filter", f"name={stack.name}-shared"),
            "files": sorted(str(p) for p in files if p.is_file()),
            "points": content(loader, SMALL),
        }


def test_a_drill_beside_it(hostile: Stack, no_residue: Callable[[], set[str]]) -> None:
    """The drill passes, and container, volume, network, folder and points stay as they were."""
    before = everything(hostile)
    done = ok(drill(hostile))
    assert set(findings(done).values()) == {"OK"}
    assert everything(hostile) == before
    assert Path(hostile.root / "precious" / "data").read_text(encoding="utf-8") == "as it was"
    assert no_residue() == set()


def test_an_interrupted_drill_beside_it(hostile: Stack, no_residue: Callable[[], set[str]]) -> None:
    """The teardown after a signal reaches nothing but the drill."""
    before = everything(hostile)
    assert interrupted(hostile, Moment("container start"), signal.SIGTERM).code == 130
    assert everything(hostile) == before
    assert no_residue() == set()


def test_a_failed_drill_beside_it(hostile: Stack, no_residue: Callable[[], set[str]]) -> None:
    """The teardown after a failed proof reaches nothing but the drill."""
    before = everything(hostile)
    (file,) = hostile.snapshots.glob(f"{SMALL}_[0-9]*.snapshot")
    hostile.manifest(file, points_count=1, source_points_before=1, source_points_after=1)
    done = drill(hostile)
    assert done.code == 22
    assert everything(hostile) == before
    assert no_residue() == set()
