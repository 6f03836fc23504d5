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

from tests.conftest import ROOT
from tests.e2e.stack import copy_project, lines
from tests.support.ports import free_ports

PORTS = ("6333", "6343", "6353")
CLUSTER = "examples/cluster/docker-compose.yml"
# Asked before the page cleans up: how many points each of the nodes sees that the page names last.
COUNT = """
for url in ${QDRANT_CLUSTER_URLS//,/ }; do
  curl -sSf -X POST "$url/collections/documents/points/count" -H 'Content-Type: application/json' \\
    -d '{"exact": true}'
done
"""


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


def test_every_command_of_the_page(clone: dict[str, str], project: Path) -> None:
    """They all succeed, and all points are back on two nodes."""
    *blocks, last = page_commands()
    script = "\n".join([*blocks, COUNT, last]).replace("./inv ", f"{sys.executable} -m invoke ")
    for number, port in enumerate(PORTS):
        script = script.replace(f"localhost:{port}", f"localhost:{clone[f'NODE_{number}_PORT']}")
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=project,
        env=clone,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count('"count":300') == 2
    assert "PROVEN" in done.stdout
    mine = f"label=com.docker.compose.project={clone['COMPOSE_PROJECT_NAME']}"
    assert not lines("ps", "--all", "--filter", mine, "--format", "{{.Names}}")
