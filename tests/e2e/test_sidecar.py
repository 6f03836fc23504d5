"""The sidecar and `up --wait`, with the real Docker Compose."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.e2e.conftest import Seeds, running
from tests.e2e.stack import RESTORE, SMALL, Stack, ask_docker, copy_project, edit, new_stack, ok
from tests.support.amount import only_full
from tests.support.collections import plain_points
from tests.support.ports import free_ports
from tests.support.world import wait_until

BACKUP = "qdrant-backup"
# Docker itself would wait ten seconds for a process that ignores TERM.
AT_ONCE_SECONDS = 5.0
ROUNDS, KEPT = 10, 3
DAILY = '"--every", "24h", "--at", "02:15", "--drill-every", "7d"'
MINUTELY = '"--every", "1min", "--drill-every", "1min"'
FOREIGN = """\
services:
  qdrant:
    image: qdrant/qdrant:v1.17.0
    ports: ["127.0.0.1:{port}:6333"]
    environment: {{QDRANT__SERVICE__API_KEY: "k$$y"}}
"""


@pytest.fixture
def copied(docker: None, project: Path) -> Iterator[Stack]:
    """This test's own stack, whose image is built from the repository."""
    with running(new_stack(copy_project(project))) as stack:
        yield stack


def taken(folder: Path) -> list[Path]:
    """Return the snapshots in a folder, without the links to the newest."""
    return [path for path in folder.glob("*.snapshot") if not path.is_symlink()]


def stops_at_once(container: str) -> None:
    """Assert that TERM ends a container at once, and well."""
    begun = time.monotonic()
    ask_docker("stop", container)
    assert time.monotonic() - begun < AT_ONCE_SECONDS
    assert ask_docker("inspect", "--format", "{{.State.ExitCode}}", container) == "0"


def test_up_wait_succeeds_with_the_data_restored(copied: Stack, seeds: Seeds) -> None:
    """On a clean state, on a second call and after `down -v`; what it says is true."""
    seeds.give(copied, SMALL)
    for before in ("", "", "down"):
        if before:
            assert copied.compose("down", "--volumes").code == 0
        done = copied.compose("up", "--detach", "--wait")
        assert done.code == 0, done.stderr
        assert copied.content(SMALL) == seeds.content[SMALL]


def test_changed_code_is_what_restores(copied: Stack) -> None:
    """After an update, a plain `up` does not go on with an image of the code before."""
    assert copied.compose("up", "--detach", "--wait").code == 0
    program = copied.root / "snapshot_tasks/cli/program.py"
    program.write_text("def main():\n    raise SystemExit('changed')\n", encoding="utf-8")
    assert copied.compose("up", "--detach", "--wait").code == 1
    assert "changed" in copied.log(RESTORE)


@pytest.mark.usefixtures("drill_turn")
def test_the_profile_takes_and_proves(copied: Stack, seeds: Seeds) -> None:
    """`--profile backup up --wait` returns once a snapshot is taken and proven; TERM ends it."""
    copied.inv.environment["COMPOSE_PROFILES"] = "backup"
    copied.inv.environment["SNAPSHOT_TASKS_USER"] = f"{os.getuid()}:0"
    (copied.root / ".env").write_text("QDRANT_KEEP_LAST=1\n", encoding="utf-8")
    seeds.give(copied, SMALL)
    (seed,) = taken(copied.snapshots)
    done = copied.compose("up", "--detach", "--wait")
    assert done.code == 0, done.stderr + copied.log(BACKUP)
    log = copied.log(BACKUP)
    assert "snapshot.test-restore: succeeded" in log
    (newest,) = taken(copied.snapshots)
    assert newest != seed, "QDRANT_KEEP_LAST of .env was not read"
    assert newest.stat().st_uid == os.getuid()
    assert copied.inv("snapshot.check").code == 0
    stops_at_once(copied.container(BACKUP))
    ask_docker("start", copied.container(BACKUP))
    ok(copied.inv("snapshot.test-restore", "--in-place", "--yes"))
    assert copied.inspect(BACKUP)["State"]["Running"], "nobody would start the backups again"
    down = ok(copied.inv("stack.down", COMPOSE_PROFILES="")).stdout
    assert BACKUP in down
    assert copied.container(BACKUP) == ""


def has_proven(stack: Stack, times: int) -> bool:
    """Return whether the sidecar says that it has proven snapshots that often."""
    return stack.log(BACKUP).count("snapshot.test-restore: succeeded") >= times


@only_full
@pytest.mark.timeout(90 * (ROUNDS + 2))
def test_ten_rounds_of_a_minute(copied: Stack) -> None:
    """Each round takes and proves what was added since the last one, and leaves nothing else."""
    edit(copied.compose_file, DAILY, MINUTELY)
    copied.inv.environment["COMPOSE_PROFILES"] = "backup"
    (copied.root / ".env").write_text(f"QDRANT_KEEP_LAST={KEPT}\n", encoding="utf-8")
    copied.up()
    with copied.loader() as loader:
        loader.plain(SMALL, points=ROUNDS)
    assert copied.compose("up", "--detach", "--wait").code == 0
    for number in range(1, ROUNDS + 1):
        wait_until(partial(has_proven, copied, number), seconds=90)
        with copied.loader() as loader:
            loader.fill(SMALL, plain_points(ROUNDS + number, 64))
    log = copied.log(BACKUP)
    assert "failed" not in log
    minutes = set(re.findall(r"snapshot\.create: due at (\S+):00Z", log))
    assert len(minutes) >= ROUNDS - 1, log
    assert copied.inspect(BACKUP)["RestartCount"] == 0
    assert len(taken(copied.snapshots)) == KEPT
    listed = copied.inv("snapshot.list", "--json").document["result"]["snapshots"]
    # The last round may have begun before the last points were added.
    assert listed[0]["points_count"] >= 2 * ROUNDS - 1
    assert all(one["proven_at"] for one in listed[1:])
    assert copied.inv("snapshot.check").code == 0
    stops_at_once(copied.container(BACKUP))


@pytest.mark.usefixtures("drill_turn")
def test_beside_a_foreign_stack(copied: Stack, image: str) -> None:
    """The example works beside a compose file of another project, with a key and no port."""
    (port,) = free_ports(1)
    (copied.root / "docker-compose.yml").write_text(FOREIGN.format(port=port), encoding="utf-8")
    shutil.copy(ROOT / "examples/compose-sidecar.yml", copied.root)
    environment = {
        "COMPOSE_FILE": "docker-compose.yml:compose-sidecar.yml",
        "SNAPSHOT_TASKS_IMAGE": image,
        "QDRANT_API_KEY": "k$y",
    }
    copied.inv.environment.update(environment)
    stack = Stack(inv=copied.inv, name=copied.name, port=port)
    assert stack.compose("up", "--detach", "--wait", "qdrant").code == 0
    with stack.loader("k$y") as loader:
        wait_until(lambda: loader.names() == [], seconds=20)
        loader.plain(SMALL, points=50)
    done = stack.compose("up", "--detach", "--wait")
    assert done.code == 0, done.stderr + stack.log(BACKUP)
    assert len(taken(stack.snapshots)) == 1
    assert "k$y" not in stack.log(BACKUP)
    assert not any(stack.inspect(BACKUP)["NetworkSettings"]["Ports"].values())
    stops_at_once(stack.container(BACKUP))
    assert stack.compose("down", "--volumes").code == 0
