"""The image of the Dockerfile, used by itself: no compose file, no Docker inside, no root."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import Seeds
from tests.e2e.stack import SMALL, Stack, ask_docker

ANYBODY = "54321:0"
MAX_BYTES = 350_000_000
IMPORT_ALL = """
import pkgutil, importlib, sys
import snapshot_tasks
for module in pkgutil.walk_packages(snapshot_tasks.__path__, "snapshot_tasks."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""


def test_it_is_not_root_and_starts_the_tasks(image: str) -> None:
    """Without arguments it lists the tasks; its user is not root."""
    user = ask_docker("image", "inspect", "--format", "{{.Config.User}}", image)
    assert user.partition(":")[0] not in ("", "0", "root")
    assert "snapshot.create" in ask_docker("run", "--rm", image)


def test_it_is_small_and_has_all_that_it_needs(image: str) -> None:
    """At most 350 MB; every module can be imported, and nothing can install packages."""
    assert int(ask_docker("image", "inspect", "--format", "{{.Size}}", image)) <= MAX_BYTES
    python = ("run", "--rm", "--entrypoint", "/opt/venv/bin/python", image)
    ask_docker(*python, "-c", IMPORT_ALL)
    found = "import importlib.util as u; print([u.find_spec(n) for n in ('pip', 'setuptools')])"
    assert ask_docker(*python, "-c", found) == "[None, None]"


@pytest.mark.usefixtures("drill_turn")
def test_a_drill_inside_proves(image: str, stack: Stack, seeds: Seeds) -> None:
    """Any user, a read-only root, no capability and no network are enough for a proof."""
    seeds.give(stack, SMALL)
    folder: Path = stack.snapshots
    folder.chmod(0o777)
    for file in folder.iterdir():
        file.chmod(0o644)
    limits = ["--read-only", "--tmpfs", "/tmp:mode=1777", "--cap-drop", "ALL", "--network", "none"]
    limits += ["--security-opt", "no-new-privileges", "--user", ANYBODY]
    mount = ("--volume", f"{folder}:/snapshots")
    drill = ("snapshot.test-restore", "--collection", SMALL, "--json")
    document = json.loads(ask_docker("run", "--rm", *limits, *mount, image, *drill))
    assert document["ok"], document
    assert len(document["result"]["drills"]) == 1
