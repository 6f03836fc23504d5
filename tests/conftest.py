"""Fixtures for all tests: settings of their own, real servers, and missing engines that skip."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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
from snapshot_tasks.system.progress import Silent
from tests.support.collections import Loader

ROOT = Path(__file__).resolve().parents[1]
OLDER, NEWER = TESTED


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
    """Make settings of a project in a temporary folder, from nothing but what is given."""

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
    with NativeEngine(settings).fresh(request, Silent()) as fresh:
        loader = Loader(fresh.endpoint.url, fresh.endpoint.api_key)
        try:
            yield Live(fresh=fresh, version=version, loader=loader)
        finally:
            loader.close()


@pytest.fixture(scope="module")
def qdrant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """One real Qdrant of the default version for a module; each test uses its own collection."""
    with native_qdrant(NEWER, tmp_path_factory.mktemp("shared")) as live:
        yield live


@pytest.fixture(scope="module")
def older_qdrant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """One real Qdrant of the previous minor version for a module."""
    with native_qdrant(OLDER, tmp_path_factory.mktemp("shared")) as live:
        yield live


@pytest.fixture(scope="session")
def docker() -> None:
    """Ask for a Docker daemon with Compose."""
    problem = docker_problem()
    if problem:
        missing(problem)


@dataclass(frozen=True)
class Ran:
    """What one call of `inv` did."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout."""
        document: dict[str, Any] = json.loads(self.stdout)
        return document


@dataclass(frozen=True)
class Inv:
    """Calls `inv` as a user does: another process, in a project folder of its own."""

    root: Path
    environment: dict[str, str]

    def __call__(self, *arguments: str, **environment: str) -> Ran:
        """Run to the end; `environment` adds settings for this call."""
        done = subprocess.run(
            [sys.executable, "-m", "invoke", *arguments],
            cwd=self.root,
            env={**os.environ, **self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        return Ran(code=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start it and return the process, to interrupt it."""
        return subprocess.Popen(
            [sys.executable, "-m", "invoke", *arguments],
            cwd=self.root,
            env={**os.environ, **self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


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
