"""Fixtures for Compose stacks; if a test fails, the logs of its stacks are kept."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import ROOT, Inv, side_by_side
from tests.e2e.drills import drill_residue, sweep
from tests.e2e.stack import (
    BIG,
    BIG_ALIAS,
    BIG_POINTS,
    RESTORE,
    SMALL,
    SMALL_POINTS,
    Stack,
    ask_docker,
    copy_project,
    new_stack,
)

_running: list[Stack] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the logs of every running stack if a test fails."""
    report = yield
    if report.failed:
        for stack in _running:
            logs = stack.compose("ps", "--all").stdout + stack.compose("logs", "--no-color").stdout
            last = "\n".join(logs.splitlines()[-40:])
            report.sections.append((f"docker compose logs of {stack.name}", last))
            folder = ROOT / "test-results"
            folder.mkdir(exist_ok=True)
            name = re.sub(r"[^\w.-]+", "_", f"{item.nodeid}-{call.when}-{stack.name}.log")
            (folder / name).write_text(logs, encoding="utf-8")
    return report


@pytest.fixture(scope="module", autouse=True)
def _side_by_side() -> Iterator[None]:
    """Let test files run in parallel."""
    with side_by_side():
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside_for_shared_stacks() -> Iterator[None]:
    """Keep the developer's settings out of stacks that outlive one test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("QDRANT_", "COMPOSE_", "GITHUB_")):
                patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def image(docker: None) -> Iterator[str]:
    """The image, built from the repository on the Python base of this machine.

    Compose builds it, as it does for the stacks: `docker build` may not share its cache, and would
    install all packages a second time.
    """
    project = f"qst-e2e-image-{uuid4().hex[:8]}"
    file = str(ROOT / "docker-compose.yml")
    ask_docker("compose", "--file", file, "--project-name", project, "build", "--quiet", RESTORE)
    yield f"{project}-{RESTORE}"
    ask_docker("image", "rm", "--force", f"{project}-{RESTORE}")


@contextmanager
def running(stack: Stack) -> Iterator[Stack]:
    """Keep a stack's logs after a failure, and always remove the stack at the end."""
    _running.append(stack)
    try:
        yield stack
    finally:
        _running.remove(stack)
        stack.down()


@dataclass(frozen=True)
class Seeds:
    """Snapshots that were taken once, with the hash of the contents of each."""

    folder: Path
    content: dict[str, str]

    def give(self, stack: Stack, *collections: str) -> dict[str, Path]:
        """Copy the snapshots of these collections into a stack's folder; return the files."""
        files = {}
        for name in collections:
            (file,) = self.folder.glob(f"{name}_[0-9]*.snapshot")
            files[name] = Path(shutil.copy2(file, stack.snapshots))
            for suffix in (".json", ".probes.json"):
                shutil.copy2(file.with_name(file.name + suffix), stack.snapshots)
        return files


def take_seeds(folder: Path, *, version: str, loads: dict[str, int]) -> Seeds:
    """Load collections into a stack of that version and take a snapshot of each."""
    with running(new_stack(copy_project(folder))) as stack:
        stack.inv.environment["QDRANT_VERSION"] = version
        stack.up()
        hashes = {}
        with stack.loader() as loader:
            for name, points in loads.items():
                loader.plain(name, points=points, dimensions=64)
        for name in loads:
            hashes[name] = stack.content(name)
        if BIG in loads:
            with stack.loader() as loader:
                loader.alias(BIG_ALIAS, BIG)
        taken = stack.inv("snapshot.create", "--all", "--json")
        assert taken.code == 0, taken.stderr
    return Seeds(folder=stack.snapshots, content=hashes)


@pytest.fixture(scope="session")
def seeds(docker: None, tmp_path_factory: pytest.TempPathFactory) -> Seeds:
    """Snapshots of a small collection and of one with 20,000 points and an alias."""
    loads = {SMALL: SMALL_POINTS, BIG: BIG_POINTS}
    return take_seeds(tmp_path_factory.mktemp("seeds"), version="1.17.0", loads=loads)


@pytest.fixture(scope="session")
def older_seeds(docker: None, tmp_path_factory: pytest.TempPathFactory) -> Seeds:
    """A snapshot of a small collection, taken with the previous minor version."""
    loads = {SMALL: SMALL_POINTS}
    return take_seeds(tmp_path_factory.mktemp("older"), version="1.16.3", loads=loads)


@pytest.fixture
def inv(project: Path) -> Inv:
    """`inv` in this test's own project, from which the restore service can be built."""
    return copy_project(project)


@pytest.fixture
def stack(docker: None, inv: Inv) -> Iterator[Stack]:
    """This test's own stack; nothing runs yet."""
    with running(new_stack(inv)) as mine:
        yield mine


@pytest.fixture(scope="session")
def live(docker: None, seeds: Seeds, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack with the small collection restored; every test leaves it unchanged."""
    with running(new_stack(copy_project(tmp_path_factory.mktemp("live")))) as shared:
        seeds.give(shared, SMALL)
        done = shared.inv("stack.up", "--json")
        assert done.code == 0, done.stderr
        yield shared


@pytest.fixture
def no_residue() -> Iterator[Callable[[], set[str]]]:
    """Return what drills have left since the test started; it is removed at the end."""
    before = drill_residue()

    def left() -> set[str]:
        return drill_residue() - before

    yield left
    sweep(left())
