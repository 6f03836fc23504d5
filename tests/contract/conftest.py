"""Each kind of store, on a real server of its protocol."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from snapshot_tasks.storage import bucket as buckets
from snapshot_tasks.storage.stores import STORES
from tests.conftest import missing
from tests.support.stores import (
    Bucket,
    azure_bucket,
    azure_server,
    gcs_bucket,
    s3_bucket,
    s3_server,
)
from tools.tasks.needs import AZURITE

KINDS = tuple(kind.scheme for kind in STORES)
REMOTE = tuple(kind.scheme for kind in STORES if kind.has_bucket)


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The URL of an S3 server."""
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of Azurite."""
    if not AZURITE.exists():
        missing("no Azurite on this machine (.ci/provision.d/azurite)")
    with azure_server(tmp_path_factory.mktemp("azurite")) as server:
        yield server


@pytest.fixture
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bucket]:
    """A separate bucket for the test, of the kind in the test's parameter."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[-60:].strip("-")
    with BUCKETS[request.param](request, tmp_path, name) as made:
        yield made


@contextmanager
def _file(request: pytest.FixtureRequest, tmp_path: Path, name: str) -> Iterator[Bucket]:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    yield Bucket(str(folder), {})


@contextmanager
def _s3(request: pytest.FixtureRequest, tmp_path: Path, name: str) -> Iterator[Bucket]:
    yield s3_bucket(request.getfixturevalue("s3"), name)


@contextmanager
def _gs(request: pytest.FixtureRequest, tmp_path: Path, name: str) -> Iterator[Bucket]:
    with gcs_bucket(request.getfixturevalue("s3"), name) as made:
        yield made


@contextmanager
def _az(request: pytest.FixtureRequest, tmp_path: Path, name: str) -> Iterator[Bucket]:
    yield azure_bucket(request.getfixturevalue("azure"), name)


# How to create a bucket of each kind in `STORES`.
BUCKETS = {"file": _file, "s3": _s3, "gs": _gs, "az": _az}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Give up after two retries, because the duration of ten is not being tested."""
    monkeypatch.setattr(buckets, "RETRIES", 2)
    return lambda: None
