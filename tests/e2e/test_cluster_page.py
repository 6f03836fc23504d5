"""docs/cluster.md: every command of the page, in its order, on a real cluster of containers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.conftest import DRILL_TURN, ROOT
from tests.e2e.stack import copy_project, lines
from tests.support.ports import free_ports

# Each takes minutes on a busy machine, and waits for another test's drill.
pytestmark = pytest.mark.timeout(600)

PORTS = ("6333", "6343", "6353")
CLUSTER = "examples/cluster/docker-compose.yml"
# Asked before the page cleans up: how many points each of the nodes sees that the page names last.
COUNT = """
for url in ${QDRANT_CLUSTER_URLS//,/ }; do
  curl -sSf -X POST "$url/collections/documents/points/count" -H 'Content-Type: application/json' \\
    -d '{"exact": true}'
done
"""


Completed = subprocess.CompletedProcess[str]


def page_commands() -> list[str]:
    """Return the page's blocks of commands."""
    page = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    return re.findall(r"^```bash\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


@pytest.fixture
def clone(docker: None, project: Path) -> Iterator[dict[str, str]]:
    """The environment of a project folder with the example in it; its cluster is removed."""
    inv = copy_project(project)
    shutil.copytree(ROOT / "examples", project / "examples")
    nodes = {f"NODE_{n}_PORT": str(port) for n, port in enumerate(free_ports(3))}
    name = {"COMPOSE_PROJECT_NAME": f"qst-e2e-{uuid4().hex[:8]}"}
    environment = {**os.environ, **inv.environment, **nodes, **name}
    yield environment
    down = ("docker", "compose", "-f", CLUSTER, "down", "-v", "--timeout", "0")
    subprocess.run(down, cwd=project, env=environment, check=True, capture_output=True)


def in_bash(script: str, environment: dict[str, str], folder: Path) -> Completed:
    """Run the commands until one fails."""
    return subprocess.run(
        ["bash", "-euc", script.replace("./inv ", f"{sys.executable} -m invoke ")],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )


@pytest.mark.timeout(600)
def test_every_command_of_the_page(clone: dict[str, str], project: Path) -> None:
    """They all succeed, and all points are back on two nodes."""
    *blocks, last = page_commands()
    drill = "./inv snapshot.test-restore"
    # Only the drill keeps others waiting.
    script = "\n".join([*blocks, COUNT, last]).replace(drill, f"flock {DRILL_TURN} {drill}")
    for number, port in enumerate(PORTS):
        script = script.replace(f"localhost:{port}", f"localhost:{clone[f'NODE_{number}_PORT']}")
    done = in_bash(script, clone, project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count('"count":300') == 2
    assert "PROVEN" in done.stdout
    mine = f"label=com.docker.compose.project={clone['COMPOSE_PROJECT_NAME']}"
    assert not lines("ps", "--all", "--filter", mine, "--format", "{{.Names}}")


# What the project's own tasks do with such a compose file: start every node, restore into all.
OWN_STACK = """
export COMPOSE_FILE=examples/cluster/docker-compose.yml QDRANT_ENGINE=compose
export QDRANT_COMPOSE_SERVICE=node-0 QDRANT_URL=http://localhost:$NODE_0_PORT
export QDRANT_CLUSTER_URLS=$QDRANT_URL,http://localhost:$NODE_1_PORT,http://localhost:$NODE_2_PORT
./inv stack.up --no-restore
curl -sSf -X PUT $QDRANT_URL/collections/documents -H 'Content-Type: application/json' \\
  -d '{"vectors": {"size": 1, "distance": "Dot"}, "replication_factor": 3}'
./inv snapshot.create --collection documents
if ./inv stack.down --volumes --yes; then exit 1; fi
docker compose down -v
./inv stack.up
"""


def test_the_stack_of_a_cluster(clone: dict[str, str], project: Path) -> None:
    """`stack.up` starts every node and restores into all; one node alone is never taken down."""
    done = in_bash(OWN_STACK, clone, project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "9 replicas of 3 shards, each identical to its seal" in done.stdout
    assert "QDRANT_CLUSTER_URLS names 3 nodes, and this would stop only one" in done.stderr
