"""A drill on several containers: a cluster of its own, which leaves no trace either."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from snapshot_tasks.engines.base import FreshRequest, FreshServer
from snapshot_tasks.engines.compose import ComposeEngine
from snapshot_tasks.qdrant.nodes import open_nodes
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.settings import load_settings
from snapshot_tasks.system.errors import Unreachable
from snapshot_tasks.system.progress import Silent
from tests.conftest import NEWER
from tests.e2e.conftest import running
from tests.e2e.drills import DRILL_LABEL, Moment, drill, findings, interrupted
from tests.e2e.stack import Stack, ask_docker, copy_project, edit, lines, new_stack, ok
from tests.support.cluster import AUTO, KEYED, binary, fill, of_cluster
from tests.support.nodes import nodes

pytestmark = pytest.mark.usefixtures("drill_turn")

Residue = Callable[[], set[str]]
# A configuration file of a node of the user's own cluster.
CONFIGURATION = "cluster: {enabled: true, peer_id: 7, p2p: {port: 7000, enable_tls: true}}\n"


@pytest.fixture(scope="module")
def taken(docker: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack, which never runs, with the snapshots of a cluster's two collections."""
    folder = tmp_path_factory.mktemp("taken")
    with running(new_stack(copy_project(folder / "project"))) as stack:
        with nodes(binary(folder, NEWER), folder / "nodes", 3) as found:
            fill(found[0])
            ok(of_cluster(stack.inv, found)("snapshot.create", "--all"))
        mounted = folder / "project" / "node.yaml"
        mounted.write_text(CONFIGURATION, encoding="utf-8")
        mount = "- ./node.yaml:/qdrant/config/local.yaml:ro"
        storage = "      - qdrant_storage:/qdrant/storage\n"
        edit(stack.compose_file, storage, f"{storage}      {mount}\n", count=1)
        yield stack


def fresh_server(stack: Stack, *, count: int) -> AbstractContextManager[FreshServer]:
    """Run what a drill restores into."""
    settings = load_settings(stack.root, stack.inv.environment)
    request = FreshRequest(version=NEWER, folder=stack.snapshots, cluster_nodes=count)
    return ComposeEngine(settings).fresh(request, Silent())


def test_every_replica_on_three_nodes(taken: Stack, no_residue: Residue) -> None:
    """Compared with its seal before and after the restart of all nodes; nothing is left."""
    done = ok(drill(taken, "--collection", AUTO, "--nodes", "3"))
    (report,) = done.document["result"]["drills"]
    assert (report["engine"], report["verdict"]) == ("compose", "PROVEN")
    assert set(findings(done).values()) == {"OK"}
    said = {f["check"]: f["message"] for f in report["findings"]}
    for check in ("replicas", "after restart: replicas"):
        assert said[check].startswith("12 replicas of 6 shards")
    assert no_residue() == set()
    assert taken.identity() == {}


def test_keep_names_a_command_that_removes_all_nodes(taken: Stack, no_residue: Residue) -> None:
    """Custom keys on two nodes, which keep running until the printed command removes them."""
    done = ok(drill(taken, "--collection", KEYED, "--nodes", "2", "--keep"))
    kept = no_residue()
    assert sorted(name.split()[0] for name in kept) == [
        *("container", "container", "network"),
        *("volume", "volume", "volume", "volume"),
    ]
    (report,) = done.document["result"]["drills"]
    command = report["kept"].split("remove it with: ")[1].rstrip(")").split()
    subprocess.run(command, cwd=taken.root, env=dict(os.environ), check=True, capture_output=True)
    assert no_residue() == set()


@pytest.mark.parametrize(
    "moment",
    [Moment("container create", nth=2), Moment("container kill", nth=2)],
    ids=["joining", "restarting"],
)
def test_the_next_drill_clears_all_nodes_of_a_killed_one(
    taken: Stack, no_residue: Residue, moment: Moment
) -> None:
    """Kill -9 while the nodes join, and while they restart: the next drill first removes them."""
    arguments = ("--collection", AUTO, "--nodes", "2")
    assert interrupted(taken, moment, signal.SIGKILL, arguments=arguments).code == -signal.SIGKILL
    assert len([name for name in no_residue() if name.startswith("volume")]) == 4
    with fresh_server(taken, count=0):
        kinds = sorted(name.split()[0] for name in no_residue())
        assert kinds == ["container", "network", "volume", "volume"]
    assert no_residue() == set()


def test_each_node_is_looked_after(taken: Stack, no_residue: Residue) -> None:
    """One that was killed is found and comes back; one that cannot start says why."""
    with fresh_server(taken, count=3) as fresh:
        (last,) = lines(
            *("ps", "--filter", f"label={DRILL_LABEL}"),
            *("--filter", "label=com.docker.compose.service=qdrant-2", "--quiet"),
        )
        assert fresh.last_words().exit_code is None
        ask_docker("kill", last)
        assert fresh.last_words().exit_code == -signal.SIGKILL
        fresh.restart()
        with (
            Server(fresh.endpoint, operation_timeout_seconds=60) as entry,
            open_nodes(entry) as found,
        ):
            assert len(found) == 3
        ask_docker("exec", last, "bash", "-c", "echo damaged > storage/raft_state.json")
        with pytest.raises(Unreachable, match="exited while it was starting"):
            fresh.restart()
        assert fresh.last_words().exit_code
    assert no_residue() == set()
