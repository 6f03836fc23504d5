"""Every task as a separate process: the tests that call tasks in process rely on this."""

from __future__ import annotations

import dataclasses

import pytest

from snapshot_tasks.cli.namespace import namespace
from tests.conftest import Inv
from tests.support.ports import free_ports

# What would stay in the foreground.
FLAGS = {"snapshot.keep": ("--health",)}


@pytest.fixture
def alone(inv: Inv) -> Inv:
    """`inv` where nothing responds, neither a Qdrant nor GitHub."""
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    nobody = {"QDRANT_URL": url, "QDRANT_RELEASES_URL": url, "QDRANT_ENGINE": "external"}
    nobody["QDRANT_DRILL_ENGINE"] = "native"
    return dataclasses.replace(inv, environment=inv.environment | nobody)


@pytest.mark.parametrize("task", sorted(namespace.task_names))
def test_a_task_ends_alike_in_a_process_and_in_this_one(alone: Inv, task: str) -> None:
    """One JSON document of that task on stdout, its exit code, and no traceback."""
    words = (task, *FLAGS.get(task, ()), "--json")
    ran = alone.process(*words)
    assert ran.document["task"] == task
    assert ran.document["exit_code"] == ran.code
    assert "Traceback" not in ran.stderr
    called = alone(*words)
    assert (called.code, called.document["error"]) == (ran.code, ran.document["error"])


def test_what_is_no_task_ends_alike(alone: Inv) -> None:
    """Invoke's own messages too, on both streams."""
    assert alone("--list") == alone.process("--list")
    assert alone("snapshot.creat") == alone.process("snapshot.creat")
