"""`stack.down` and the drill in place beside a second service with data: its bytes all stay."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Seeds, running
from tests.e2e.stack import SMALL, SMALL_POINTS, Stack, ask_docker, copy_project, new_stack, ok

POSTGRES = """
services:
  qdrant:
    image: qdrant/qdrant:v1.17.0
    ports: ["127.0.0.1:{port}:6333"]
    volumes: ["storage:/qdrant/storage", "{extra}"]
  postgres:
    image: qdrant/qdrant:v1.17.0
    entrypoint: [bash, -c, "echo precious > /data/file; exec sleep 600"]
    init: true
    volumes: ["pg:/data", "{shared}"]
volumes: {{storage: , pg: , cache: }}
"""


@pytest.fixture
def beside(docker: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of one's own with a second service; nothing runs yet."""
    stack = new_stack(copy_project(tmp_path_factory.mktemp("beside")))
    with running(stack):
        yield stack


def start(stack: Stack, *, extra: str = "cache:/cache", shared: str = "pg:/again") -> None:
    """Start both services."""
    text = POSTGRES.format(port=stack.port, extra=extra, shared=shared)
    stack.compose_file.write_text(text, encoding="utf-8")
    assert stack.compose("up", "--detach").code == 0


def precious(stack: Stack) -> tuple[str, str]:
    """Return since when the second service runs, and its bytes."""
    started = ask_docker("inspect", "-f", "{{.State.StartedAt}}", stack.container("postgres"))
    return started, stack.compose("exec", "-T", "postgres", "cat", "/data/file").stdout


def test_only_qdrant_is_stopped_and_deleted(beside: Stack) -> None:
    """The other service goes on, with its volume; Qdrant's two are gone, as the dry run said."""
    start(beside)
    before, everything = precious(beside), beside.identity()
    dry = ok(beside.inv("stack.down", "--volumes", "--dry-run", "--json")).document["result"]
    assert beside.identity() == everything
    asked = beside.inv("stack.down", "--volumes", "--json")
    assert asked.code == 24
    assert all(step in asked.document["error"]["message"] for step in dry["would"])
    done = ok(beside.inv("stack.down", "--volumes", "--yes", "--json")).document["result"]
    assert done["stopped"] == [f"container {beside.name}-qdrant-1"]
    assert done["deleted"] == [f"volume {beside.name}_cache", f"volume {beside.name}_storage"]
    assert dry["would"] == [f"stop {done['stopped'][0]}", *(f"delete {d}" for d in done["deleted"])]
    assert precious(beside) == before
    assert f"{beside.name}_storage" not in beside.identity()
    assert beside.container() == ""


@pytest.mark.parametrize("shared", ["storage:/shared", "folder"])
def test_shared_data_is_refused(beside: Stack, shared: str) -> None:
    """Data that the other service mounts too, or in a folder: 24, named, and nothing is stopped."""
    if shared == "folder":
        start(beside, extra="./here:/qdrant/storage/collections")
    else:
        start(beside, shared=shared)
    everything = beside.identity()
    for words in (("stack.down", "--volumes"), ("snapshot.test-restore", "--in-place")):
        done = beside.inv(*words, "--yes", "--json")
        assert done.code == 24
        wanted = "here" if shared == "folder" else "postgres"
        assert wanted in done.document["error"]["message"]
    assert beside.identity() == everything
    ok(beside.inv("stack.down"))


def test_the_drill_in_place_spares_the_other_service(beside: Stack, seeds: Seeds) -> None:
    """It deletes Qdrant's data and restores it; the other service does not notice."""
    start(beside)
    seeds.give(beside, SMALL)
    ok(beside.inv("stack.up"))
    before = precious(beside)
    ok(beside.inv("snapshot.test-restore", "--in-place", "--yes"))
    assert precious(beside) == before
    with beside.loader() as loader:
        assert loader.count(SMALL) == SMALL_POINTS
