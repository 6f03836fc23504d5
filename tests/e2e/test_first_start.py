"""Snapshots that Qdrant only restores while it starts empty come back with `stack.up`."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from snapshot_tasks.domain.versions import known
from snapshot_tasks.operations.restore import demands
from tests.conftest import NEWER
from tests.e2e.stack import Stack, ask_docker, ok

NAME = "BAAI/bge-small"
VECTORS: dict[str, Any] = {NAME: {"size": 2, "distance": "Dot"}}


@pytest.fixture
def lost(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A stack without data, and a snapshot that 1.17.0 is judged to restore only at the start.

    Only 1.18 refuses such names, and there is no image of it here. 1.17.0 knows the same argument.
    """
    ok(stack.inv("stack.up"))
    with stack.loader() as loader:
        loader.request("PUT", "/collections/named", {"vectors": VECTORS})
        points = [{"id": number, "vector": {NAME: [1, number]}} for number in range(30)]
        loader.request("PUT", "/collections/named/points", {"points": points})
        loader.alias("short", "named")
    ok(stack.inv("snapshot.create", "--collection", "named"))
    ok(stack.inv("stack.down", "--volumes", "--yes"))
    refusing = dataclasses.replace(known(NEWER), refuses_names=True)
    monkeypatch.setattr(demands, "known", lambda version: refusing)
    return stack


def test_an_empty_stack_is_first_started_with_the_file(lost: Stack) -> None:
    """Then the service starts as always, with all points, and nothing else is left."""
    done = ok(lost.inv("stack.up", "--json"))
    assert [r["way"] for r in done.document["result"]["restored"]] == ["start-up"]
    assert "--snapshot" not in str(lost.inspect()["Config"]["Cmd"])
    assert "first-start" not in ask_docker("ps", "--all", "--format", "{{.Names}}")
    ok(lost.inv("stack.restart"))
    with lost.loader() as loader:
        assert (loader.count("named"), loader.count("short")) == (30, 30)


def test_data_that_is_there_is_never_started_with_a_file(lost: Stack) -> None:
    """A volume may hold anything: the snapshot is refused with its ways out, as before."""
    ok(lost.inv("stack.up", "--no-restore"))
    ok(lost.inv("stack.down"))
    done = lost.inv("stack.up", "--json")
    assert done.code == 24
    assert "vector names" in done.stderr


def test_a_first_start_that_fails_leaves_no_container(
    lost: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last words say why."""
    monkeypatch.setattr(
        "snapshot_tasks.engines.compose_first_start.load_argv",
        lambda load, folder: ("--snapshot", "/not/there:named"),
    )
    done = lost.inv("stack.up", "--json")
    assert done.code == 13
    assert "exited while it was starting" in done.stderr
    assert "first-start" not in ask_docker("ps", "--all", "--format", "{{.Names}}")


def test_an_interrupted_first_start_leaves_no_container(
    lost: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while the container restores removes it."""

    def interrupt(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("snapshot_tasks.engines.compose_start.check_container", interrupt)
    monkeypatch.setattr("snapshot_tasks.qdrant.server.Server.is_ready", lambda server: False)
    assert lost.inv("stack.up", "--json").code == 130
    assert "first-start" not in ask_docker("ps", "--all", "--format", "{{.Names}}")
