"""Stacks in the shapes of public compose files: every task, and what is not Qdrant's stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import drilling
from tests.e2e.shaped import COLLECTION, POINTS, SHAPES, Shape, Shaped, started
from tests.e2e.stack import lines, ok

ALL = (
    Shape(name="starter", fails=("image", "access")),
    Shape(name="memory", service="mem0_store"),
    Shape(name="platform", key="difyai123456", refusal="volumes/qdrant (/qdrant/storage)"),
    Shape(name="gateway", settings=(("QDRANT_URL", "http://localhost:16333"),)),
    Shape(name="extended", service="vectordb"),
    Shape(name="named", service="vector-db"),
    Shape(name="external", refusal="external to this project"),
    Shape(name="shared", refusal="also mounted by the service archive"),
    Shape(name="configured", key="only-in-this-file", keeps_container=True),
    Shape(name="hardened", key="of-the-env-file"),
    Shape(name="unprivileged", refusal="also mounted by the service permissions"),
    Shape(name="random", chooses_port=True),
    Shape(name="ephemeral", keeps_container=True, fails=("storage",)),
    Shape(name="two", service="qdrant-live"),
    Shape(name="layer", key="${lower}case", keeps_container=True, fails=("storage",)),
    Shape(name="disks", refusal="disk/vectors"),
)


@pytest.fixture
def shaped(docker: None, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Shaped]:
    """A stack of the wanted shape, running and filled."""
    with started(request.param, tmp_path / "theirs") as stack:
        yield stack


def test_each_shape_is_tried() -> None:
    """No folder is forgotten."""
    folders = {path.name for path in SHAPES.iterdir() if path.is_dir()}
    assert folders == {shape.name for shape in ALL}


@pytest.mark.parametrize("shaped", ALL, ids=lambda shape: shape.name, indirect=True)
def test_only_what_is_qdrants_is_touched(shaped: Shaped) -> None:
    """From doctor to `down --volumes`; after each, all of the other services is as it was."""
    others, points, whole = shaped.others(), shaped.points(), shaped.stack.identity()
    for step in (doctor, create, prove, status, up):
        step(shaped)
        assert shaped.others() == others, step.__name__
    assert (shaped.points(), shaped.stack.identity()) == (points, whole)
    volumes = shaped.own_volumes()
    down(shaped)
    assert shaped.others() == others
    assert volumes <= lines("volume", "ls", "--quiet")
    if shaped.shape.refusal:
        down_is_refused(shaped)
        assert shaped.others() == others
        ok(shaped.inv("stack.up"))
        assert shaped.points() == points
    else:
        down_with_volumes(shaped, volumes)
        assert shaped.others() == others


def doctor(shaped: Shaped) -> None:
    """It finds the server, and fails only for what is wrong with this shape."""
    ran = shaped.inv("doctor", "--json")
    found = ran.document["result"]["findings"]
    fails = [one for one in found if one["status"] == "FAIL"]
    assert {one["check"] for one in fails} == set(shaped.shape.fails), fails


def create(shaped: Shaped) -> None:
    """It takes the collection's points."""
    (made,) = ok(shaped.inv("snapshot.create", "--json")).document["result"]["snapshots"]
    assert (made["collection"], made["points_count"]) == (COLLECTION, POINTS)


def prove(shaped: Shaped) -> None:
    """The file is proven with the settings of this compose file."""
    with drilling():
        assert "PROVEN" in ok(shaped.inv("snapshot.test-restore")).stdout


def status(shaped: Shaped) -> None:
    """It says that Qdrant runs, where, and what is in it."""
    result = ok(shaped.inv("stack.status", "--json")).document["result"]
    assert (result["running"], result["url"]) == (True, shaped.url())
    assert result["collections"] == [{"name": COLLECTION, "points_count": POINTS}]


def up(shaped: Shaped) -> None:
    """It finds everything in place."""
    restored = ok(shaped.inv("stack.up", "--json")).document["result"]["restored"]
    assert all(one["skipped"] for one in restored)


def down(shaped: Shaped) -> None:
    """It stops Qdrant; the container itself stays only if the points may be in it."""
    shape, container = shaped.shape, shaped.stack.inspect(shaped.shape.service)["Name"].strip("/")
    ran = ok(shaped.inv("stack.down", "--json"))
    (stopped,) = ran.document["result"]["stopped"]
    assert stopped.startswith(f"container {container}")
    assert bool(shaped.stack.container(shape.service)) == shape.keeps_container


def down_is_refused(shaped: Shaped) -> None:
    """The data is not Qdrant's alone: the message names it, and nothing is deleted."""
    before = shaped.stack.identity()
    ran = shaped.inv("stack.down", "--volumes", "--yes", "--json")
    assert ran.code == 24
    assert shaped.shape.refusal in ran.document["error"]["message"]
    assert shaped.stack.identity() == before


def down_with_volumes(shaped: Shaped, volumes: set[str]) -> None:
    """Qdrant's own volumes are gone, as it says, and no others."""
    result = ok(shaped.inv("stack.down", "--volumes", "--yes", "--json")).document["result"]
    assert {name.removeprefix("volume ") for name in result["deleted"]} == volumes
    assert not volumes & lines("volume", "ls", "--quiet")
    assert not shaped.stack.container(shaped.shape.service)
