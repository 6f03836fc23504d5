"""Compose files that reach out of their project: a drill next to them changes nothing there.

Each is tested in one state of its live stack; with `--full`, all are tested in all states.
"""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import Seeds, running
from tests.e2e.drills import Moment, drill, findings, interrupted
from tests.e2e.hostile import HOSTILE, Hostile
from tests.e2e.stack import (
    SMALL,
    SMALL_POINTS,
    Stack,
    ask_docker,
    copy_project,
    lines,
    new_stack,
    ok,
)
from tests.support.amount import FULL
from tests.support.world import is_ready, processes_below, scratch_left, wait_until

pytestmark = pytest.mark.usefixtures("drill_turn")
SETTLED_SECONDS = 5.0

RUNNING, STOPPED, REMOVED = "running", "stopped", "removed"
STATES = (RUNNING, STOPPED, REMOVED)
# Without their profile, Compose would not remove some of the services.
ALL = ("--profile", "*")
COMMANDS = {
    STOPPED: (*ALL, "stop", "--timeout", "1"),
    REMOVED: (*ALL, "down", "--timeout", "1"),
}
# Some of the files run the live server as this user, who must then own its folders.
UID = 1000
# What a drill does write in the project's folder: its proof and its lock.
OUR_OWN = (".proofs.jsonl", ".lock", ".runs.json")

Residue = Callable[[], set[str]]


def pairs() -> list[tuple[Hostile, str]]:
    """Return which file is tested in which state of its live stack."""
    if FULL:
        return [(hostile, state) for hostile in HOSTILE for state in STATES]
    return [(hostile, STATES[number % 3]) for number, hostile in enumerate(HOSTILE)]


@dataclass(frozen=True)
class Live:
    """A live stack, and the volumes with which it was started."""

    stack: Stack
    hostile: Hostile
    volumes: tuple[str, ...]

    @property
    def temporary(self) -> Path:
        """The temporary folder of its drills."""
        return Path(self.stack.inv.environment["TMPDIR"])

    def seen(self, state: str) -> dict[str, object]:
        """Return everything that a drill could have reached, in that state."""
        of_mine = f"name={self.stack.name}"
        found: dict[str, object] = {
            "orphaned ports": orphaned_ports(),
            "images": images(self.stack),
        }
        shown = "{{.State.StartedAt}} {{.State.FinishedAt}} {{.RestartCount}} {{.State.Status}}"
        for name in lines("ps", "--all", "--quiet", "--no-trunc", "--filter", of_mine):
            found[name] = ask_docker("inspect", "--format", shown, name)
        for name in lines("network", "ls", "--quiet", "--no-trunc", "--filter", of_mine):
            shown = "{{.Created}} {{len .Containers}}"
            found[name] = ask_docker("network", "inspect", "--format", shown, name)
        for name in {*self.volumes, *lines("volume", "ls", "--quiet", "--filter", of_mine)}:
            shown = "{{.Options}} {{.Labels}}"
            found[name] = ask_docker("volume", "inspect", "--format", shown, name)
            place = ask_docker("volume", "inspect", "--format", "{{.Mountpoint}}", name)
            found |= files(Path(place), at_work=state == RUNNING)
        found |= files(self.stack.root, at_work=state == RUNNING)
        if state == RUNNING and self.hostile.port:
            found["points"] = self.stack.content(SMALL)
        return found

    def residue(self) -> list[object]:
        """Return the files and processes that drills have left."""
        return [*scratch_left(self.temporary), *processes_below(self.temporary)]


def files(folder: Path, *, at_work: bool) -> dict[str, object]:
    """Return owner, mode, time and hash of all files; a running server changes its collections."""
    found: dict[str, object] = {}
    for path in folder.rglob("*"):
        if path.name.endswith(OUR_OWN) or (at_work and "collections" in path.parts):
            continue
        status = path.lstat()
        found[str(path)] = (status.st_mode, status.st_uid)
        if stat.S_ISREG(status.st_mode):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path)] = (status.st_mode, status.st_uid, status.st_mtime_ns, digest)
    return found


def images(stack: Stack) -> set[str]:
    """Return all images except those of other tests, whose projects have names like ours."""
    listed = lines("image", "ls", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}")
    return {line for line in listed if "qst-" not in line or stack.name in line}


def orphaned_ports() -> set[str]:
    """Return the ports that Docker holds for good although no container publishes them.

    For a moment, every container that ends has some: those of other tests do not count.
    """
    found = _unpublished_ports()
    deadline = time.monotonic() + SETTLED_SECONDS
    while found and time.monotonic() < deadline:
        time.sleep(0.2)
        found &= _unpublished_ports()
    return found


def _unpublished_ports() -> set[str]:
    held = set()
    for process in psutil.process_iter(["name", "cmdline"]):
        argv = process.info["cmdline"] or []
        if process.info["name"] == "docker-proxy" and "-host-port" in argv:
            held.add(argv[argv.index("-host-port") + 1])
    published = "\n".join(lines("ps", "--format", "{{.Ports}}"))
    return {port for port in held if f":{port}->" not in published}


@contextmanager
def live(hostile: Hostile, folder: Path, seeds: Seeds) -> Iterator[Live]:
    """Run a live stack of that file with points in it; at the end, remove all that has its name."""
    stack = new_stack(copy_project(folder / "project"))
    for name in (".", "storage", "snapshots", "temp", "settings"):
        (stack.root / "precious" / name).mkdir(parents=True, exist_ok=True)
        os.chown(stack.root / "precious" / name, UID, UID)
    (stack.root / "settings" / "precious").mkdir(parents=True)
    texts = {"docker-compose.yml": hostile.compose, "precious/data": "{}", **hostile.files}
    known = {"name": stack.name, "port": str(stack.port), "root": str(stack.root)}
    for name, text in texts.items():
        filled = text
        for key, value in known.items():
            filled = filled.replace(f"{{{key}}}", value)
        (stack.root / name).write_text(filled, encoding="utf-8")
    if "\nname:" in hostile.compose:
        del stack.inv.environment["COMPOSE_PROJECT_NAME"]
    (folder / "tmp").mkdir()
    stack.inv.environment.update(hostile.environment, TMPDIR=str(folder / "tmp"))
    stack.inv.environment["PYTHONDONTWRITEBYTECODE"] = "1"
    seeds.give(stack, SMALL)
    for kind in ("volume", "network"):
        ask_docker(kind, "create", f"{stack.name}-external")
    volumes: tuple[str, ...] = ()
    try:
        with running(stack):
            ok(stack.compose("up", "--detach", "--wait", "qdrant"))
            fill(stack, hostile)
            volumes = tuple(mounted(stack))
            yield Live(stack=stack, hostile=hostile, volumes=volumes)
    finally:
        remove_all(stack, volumes)


def fill(stack: Stack, hostile: Hostile) -> None:
    """Load points as soon as the server is ready."""
    if not hostile.port:
        return
    wait_until(lambda: is_ready(f"http://127.0.0.1:{stack.port}/readyz"))
    with stack.loader() as loader:
        loader.plain(SMALL, points=SMALL_POINTS, dimensions=64)


def mounted(stack: Stack) -> Iterator[str]:
    """Return the volumes of all containers of a stack, including unnamed ones."""
    shown = '{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}} {{end}}{{end}}'
    for container in lines("ps", "--all", "--quiet", "--filter", f"name={stack.name}"):
        yield from ask_docker("inspect", "--format", shown, container).split()


def remove_all(stack: Stack, volumes: tuple[str, ...]) -> None:
    """Remove what `docker compose down` leaves behind of such a stack."""
    of_mine = f"name={stack.name}"
    for name in lines("ps", "--all", "--quiet", "--filter", of_mine):
        ask_docker("rm", "--force", "--volumes", name)
    for name in lines("network", "ls", "--quiet", "--filter", of_mine):
        ask_docker("network", "rm", name)
    ask_docker("volume", "rm", "--force", f"{stack.name}-external", *volumes)
    for name in lines("volume", "ls", "--quiet", "--filter", of_mine):
        ask_docker("volume", "rm", "--force", name)
    for name in lines("image", "ls", "--quiet", "--filter", f"reference={stack.name}*"):
        ask_docker("image", "rm", "--force", name)


@pytest.mark.parametrize(
    ("hostile", "state"), pairs(), ids=lambda value: getattr(value, "name", value)
)
def test_a_drill_changes_nothing_of_it(
    hostile: Hostile, state: str, tmp_path: Path, seeds: Seeds, no_residue: Residue
) -> None:
    """It passes, or refuses and names the line; not one byte of the live stack changes."""
    with live(hostile, tmp_path, seeds) as mine:
        if state in COMMANDS:
            ok(mine.stack.compose(*COMMANDS[state]))
        swept, before = no_residue(), mine.seen(state)
        done = drill(mine.stack)
        assert mine.seen(state) == before
        assert no_residue() == swept
        assert mine.residue() == []
        if hostile.refusal:
            error = done.document["error"]
            assert done.code in (14, 24)
            assert hostile.refusal in error["message"] + error["hint"]
        else:
            assert done.code == 0, done.stdout + done.stderr
            assert set(findings(done).values()) <= {"OK", "WARN"}


def test_a_drill_that_ends_badly_changes_nothing_of_it(
    tmp_path: Path, seeds: Seeds, no_residue: Residue
) -> None:
    """Neither does the removal after a signal, nor the one after a failed proof."""
    (hostile,) = (h for h in HOSTILE if h.name == "fixed names")
    with live(hostile, tmp_path, seeds) as mine:
        before = mine.seen(RUNNING)
        assert interrupted(mine.stack, Moment("container start"), signal.SIGTERM).code == 130
        assert mine.seen(RUNNING) == before
        (file,) = mine.stack.snapshots.glob(f"{SMALL}_[0-9]*.snapshot")
        wrong = {"points_count": 1, "source_points_before": 1, "source_points_after": 1}
        mine.stack.manifest(file, **wrong)
        before = mine.seen(RUNNING)
        assert drill(mine.stack).code == 22
        assert mine.seen(RUNNING) == before
        assert no_residue() == set()
        assert mine.residue() == []


def test_the_users_own_commands_reach_no_drill(
    tmp_path: Path, seeds: Seeds, no_residue: Residue
) -> None:
    """`docker compose down` of a stack with a drill's name does not touch a kept drill."""
    (hostile,) = (h for h in HOSTILE if h.name == "a drill's name")
    with live(hostile, tmp_path, seeds) as mine:
        theirs = no_residue()
        ok(drill(mine.stack, "--keep"))
        kept = no_residue() - theirs
        assert {thing.split()[0] for thing in kept} == {"container", "network", "volume"}
        ok(mine.stack.compose("down", "--volumes", "--remove-orphans", "--timeout", "1"))
        assert no_residue() == kept
        ok(mine.stack.compose("up", "--detach", "--wait", "qdrant"))
        assert kept < no_residue()
    assert no_residue() == kept
