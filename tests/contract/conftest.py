"""Each kind of storage, over a real server of its protocol."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from snapshot_tasks.storage import vendors
from tests.conftest import missing
from tests.support.stores import (
    AZURITE,
    Bucket,
    azure_bucket,
    azure_server,
    gcs_bucket,
    s3_bucket,
    s3_server,
)

KINDS = ("file", "s3", "gs", "az")
REMOTE = KINDS[1:]


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """Where an S3 server answers."""
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where Azurite answers."""
    if not AZURITE.exists():
        missing("no Azurite on this machine (.ci/provision.d/azurite)")
    with azure_server(tmp_path_factory.mktemp("azurite")) as server:
        yield server


@pytest.fixture
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bucket]:
    """A bucket of the test's own, of the kind that the test's parameter names."""
    kind, name = request.param, re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[-60:]
    name = name.strip("-")
    with ExitStack() as stack:
        if kind == "file":
            folder = tmp_path / "elsewhere"
            folder.mkdir()
            yield Bucket(str(folder), {})
        elif kind == "az":
            yield azure_bucket(request.getfixturevalue("azure"), name)
        elif kind == "gs":
            yield stack.enter_context(gcs_bucket(request.getfixturevalue("s3"), name))
        else:
            yield s3_bucket(request.getfixturevalue("s3"), name)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Give up after two retries: how long ten take is not what is tested."""
    monkeypatch.setattr(vendors, "RETRIES", 2)
    return lambda: None
