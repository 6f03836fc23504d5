"""Fixtures for all tests: settings of their own, real servers, and missing engines that skip."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.versions import TESTED
from snapshot_tasks.engines.base import FreshRequest, FreshServer
from snapshot_tasks.engines.binary import find_binary
from snapshot_tasks.engines.compose_client import docker_problem
from snapshot_tasks.engines.native import NativeEngine
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.settings import Settings, load_settings
from snapshot_tasks.storage.stores import variable_prefixes
from snapshot_tasks.system import process
from snapshot_tasks.system.locks import lock
from snapshot_tasks.system.progress import Silent
from tests.support.collections import Loader
from tests.support.inv import Inv, Ran
from tests.support.planning import Plan
from tests.support.ports import free_ports

__all__ = ("Inv", "Ran")
# Found before any test gets its own temporary folder.
DRILL_TURN = Path(tempfile.gettempdir()) / f"qdrant-snapshot-tests-{os.getuid()}.lock"
ROOT = Path(__file__).resolve().parents[1]
OLDER, NEWER = TESTED


def pytest_configure(config: pytest.Config) -> None:
    """Order, count and measure the tests of this run."""
    config.pluginmanager.register(Plan(config))


def missing(what: str) -> None:
    """Skip on a laptop, fail in CI: there, an engine that is missing is a defect."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}; in CI it must be there")
    pytest.skip(what)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's own settings out of every test."""
    for name in list(os.environ):
        if name.startswith(("QDRANT_", "COMPOSE_", "GITHUB_", *variable_prefixes())):
            monkeypatch.delenv(name)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder that stands for a project's root."""
    return tmp_path / "project"


@pytest.fixture
def make_settings(project: Path) -> Callable[..., Settings]:
    """Make settings of a project in a temporary folder, from these variables only."""

    def make(**environment: str) -> Settings:
        project.mkdir(exist_ok=True)
        return load_settings(project, environment)

    return make


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """An empty catalogue."""
    folder = tmp_path / "snapshots"
    folder.mkdir()
    return Catalog(folder)


def now() -> datetime:
    """The clock of the tests."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Live:
    """A real native Qdrant with a loader for it."""

    fresh: FreshServer
    version: str
    loader: Loader

    @property
    def url(self) -> str:
        """Where it answers."""
        return self.fresh.endpoint.url

    def server(self) -> Server:
        """Return a connection, with the folders it can read."""
        return Server(self.fresh.endpoint, operation_timeout_seconds=60)


@contextmanager
def native_qdrant(version: str, folder: Path, **environment: str) -> Iterator[Live]:
    """Run a real, empty native Qdrant of exactly that version; `folder` is readable for it."""
    settings = load_settings(folder, {"QDRANT_VERSION": version, **environment})
    if find_binary(settings, version) is None:
        missing(f"no Qdrant {version} on this machine (./inv engine.install --version {version})")
    request = FreshRequest(version=version, folder=folder)
    with ExitStack() as stack:
        with side_by_side():
            fresh = stack.enter_context(NativeEngine(settings).fresh(request, Silent()))
        loader = Loader(fresh.endpoint.url, fresh.endpoint.api_key)
        try:
            yield Live(fresh=fresh, version=version, loader=loader)
        finally:
            loader.close()
            with side_by_side():
                stack.close()


@contextmanager
def side_by_side() -> Iterator[None]:
    """Give servers ports that no other worker takes, and kill at once those thrown away.

    Half a second each adds up for hundreds of servers, and what a server does when it is told to
    stop is the concern of tests that call `inv` as a process.
    """

    def stop(pid: int, *, patience_seconds: float = 10.0) -> None:
        # A server that is to be started again gets more patience than one that is thrown away.
        if patience_seconds < 10:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        gently(pid, patience_seconds=patience_seconds)

    gently = process.stop
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "free_ports", free_ports)
        patch.setattr(process, "stop", stop)
        yield


@pytest.fixture(scope="session")
def newer_for_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """One real Qdrant of the default version for a whole run of tests."""
    with native_qdrant(NEWER, tmp_path_factory.mktemp("shared")) as live:
        yield live


@pytest.fixture(scope="session")
def older_for_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """One real Qdrant of the previous minor version for a whole run of tests."""
    with native_qdrant(OLDER, tmp_path_factory.mktemp("shared")) as live:
        yield live


@pytest.fixture(scope="module")
def qdrant(newer_for_all: Live) -> Iterator[Live]:
    """A real Qdrant of the default version; each test uses its own collection."""
    yield newer_for_all
    newer_for_all.loader.clear()


@pytest.fixture(scope="module")
def older_qdrant(older_for_all: Live) -> Iterator[Live]:
    """A real Qdrant of the previous minor version; each test uses its own collection."""
    yield older_for_all
    older_for_all.loader.clear()


@pytest.fixture(scope="session")
def docker() -> None:
    """Skip unless Docker with Compose is available."""
    problem = docker_problem()
    if problem:
        missing(problem)


@contextmanager
def drilling() -> Iterator[None]:
    """Wait for a turn: one test at a time drills with Docker, or looks for what drills have left.

    What a drill in another worker has at the moment would look like what this test's drill left.
    """
    with DRILL_TURN.open("w", encoding="utf-8") as file:
        lock(file)
        yield


@pytest.fixture
def drill_turn() -> Iterator[None]:
    """Keep the turn to drill for a whole test."""
    with drilling():
        yield


@pytest.fixture
def inv(project: Path) -> Inv:
    """`inv` in a project of the test's own, which has a `.env` and a state of its own."""
    return new_project(project)


def new_project(root: Path) -> Inv:
    """Make a project as somebody else would have one, and return its `inv`."""
    root.mkdir(exist_ok=True)
    (root / "tasks.py").write_text("from snapshot_tasks import namespace\n", encoding="utf-8")
    shutil.copy(ROOT / "docker-compose.yml", root)
    (root / "qdrant_snapshots").mkdir()
    return Inv(root=root, environment={"QDRANT_ENGINE": "native", "PYTHONPATH": str(ROOT)})
