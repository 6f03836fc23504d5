"""Drills as tests run them: signalled at a chosen moment, and searched for leftovers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.conftest import Ran
from tests.e2e.stack import SMALL, Stack, ask_docker, lines

DRILL_NAME = "qdrant-drill-"
DRILL_LABEL = "io.qdrant-snapshot-tasks.drill"


@dataclass(frozen=True)
class Moment:
    """The n-th time that Docker reports an event of containers with a label, or of any at all."""

    event: str
    nth: int = 1
    label: str | None = DRILL_LABEL


def drill_residue() -> set[str]:
    """Return every container, volume and network left by a drill, by label and by name."""
    found: set[str] = set()
    for wanted in (f"label={DRILL_LABEL}", f"name={DRILL_NAME}"):
        found |= lines("ps", "--all", "--filter", wanted, "--format", "container {{.Names}}")
        found |= lines("volume", "ls", "--filter", wanted, "--format", "volume {{.Name}}")
        found |= lines("network", "ls", "--filter", wanted, "--format", "network {{.Name}}")
    return found


def sweep(residue: set[str]) -> None:
    """Remove leftovers of drills, so that a failing test does not affect the next one."""
    for kind, options in (("container", ("--force", "--volumes")), ("network", ()), ("volume", ())):
        for thing in sorted(residue):
            if thing.startswith(f"{kind} "):
                ask_docker(kind, "rm", *options, thing.split()[1])


def drill(stack: Stack, *arguments: str, **environment: str) -> Ran:
    """Run a drill."""
    return stack.inv("snapshot.test-restore", *arguments, "--json", **environment)


def findings(ran: Ran) -> dict[str, str]:
    """Return the only drill's findings: status by check."""
    (report,) = ran.document["result"]["drills"]
    return {finding["check"]: finding["status"] for finding in report["findings"]}


@contextmanager
def untouched(stack: Stack) -> Iterator[None]:
    """Prove that the block changes none of the stack's containers, volumes, networks or points."""
    identity, content = stack.identity(), stack.content(SMALL)
    yield
    assert stack.identity() == identity
    assert stack.content(SMALL) == content


def interrupted(
    stack: Stack,
    moment: Moment,
    *numbers: signal.Signals,
    task: str = "snapshot.test-restore",
    arguments: tuple[str, ...] = (),
    group: bool = False,
) -> Ran:
    """Run a task and signal it at that moment; `group` signals as a terminal's Ctrl-C does."""
    with (
        _events(moment.label) as seen,
        subprocess.Popen(
            [sys.executable, "-m", "invoke", task, "--json", *arguments],
            cwd=stack.root,
            env={**os.environ, **stack.inv.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        for _ in range(moment.nth):
            while next(seen).strip() != moment.event:
                pass
        for number in numbers:
            (os.killpg if group else os.kill)(process.pid, number)
            time.sleep(0.2)
        stdout, stderr = process.communicate(timeout=120)
    # A daemon that still works for a killed client gets time to show it.
    time.sleep(0.5)
    return Ran(code=process.returncode, stdout=stdout, stderr=stderr)


@contextmanager
def _events(label: str | None) -> Iterator[Iterator[str]]:
    """Follow Docker's own events as lines `TYPE ACTION`, from now on."""
    since = ask_docker("system", "info", "--format", "{{.SystemTime}}")
    argv = ["docker", "events", "--since", since, "--format", "{{.Type}} {{.Action}}"]
    argv += ["--filter", f"label={label}"] if label else []
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as watcher:
        assert watcher.stdout is not None
        try:
            yield iter(watcher.stdout)
        finally:
            watcher.terminate()
