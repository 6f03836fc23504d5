"""Fixtures of the integration tests: names, catalogues that a server can read, temporary stacks."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.names import probes_path
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.engines.native import NativeEngine
from snapshot_tasks.operations.create.one import create
from snapshot_tasks.operations.create.request import CreateRequest
from snapshot_tasks.settings import Settings
from snapshot_tasks.system.progress import Silent
from tests.conftest import NEWER, Inv, Live, new_project, now, side_by_side
from tests.support.cluster import AUTO, World, at, binary, fill, of_cluster
from tests.support.nodes import nodes
from tests.support.ports import free_ports
from tests.support.proxy import Proxy, faulty
from tests.support.world import end_processes_below, manifest_of

Take = Callable[..., Snapshot]


@pytest.fixture(scope="module", autouse=True)
def _side_by_side() -> Iterator[None]:
    """Let test files run in parallel."""
    with side_by_side():
        yield


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A collection name that only this test uses."""
    return re.sub(r"\W+", "-", request.node.name.removeprefix("test_")).strip("-")[:80]


def take_from(live: Live, collection: str, into: Catalog) -> Snapshot:
    """Take a snapshot in-process, as preparation."""
    with live.server() as server:
        request = CreateRequest(collection=collection)
        return create(request, server, into, Silent(), clock=now).snapshot


@pytest.fixture
def take(catalog: Catalog) -> Take:
    """Take a snapshot into this test's own catalogue."""

    def work(live: Live, collection: str) -> Snapshot:
        return take_from(live, collection, catalog)

    return work


@pytest.fixture
def engine(make_settings: Callable[..., Settings]) -> NativeEngine:
    """The native engine of this test's own project."""
    return NativeEngine(make_settings())


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for temporary files of this test and of the programs that it starts."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    end_processes_below(folder)


@pytest.fixture
def outside(inv: Inv, qdrant: Live) -> Inv:
    """`inv` that talks to the shared server and does not manage it."""
    environment = {"QDRANT_ENGINE": "external", "QDRANT_URL": qdrant.url}
    return dataclasses.replace(inv, environment=inv.environment | environment)


def managing(inv: Inv) -> Inv:
    """Return an `inv` that manages its own native Qdrant on free ports."""
    http, grpc = free_ports(2)
    environment = {"QDRANT_HTTP_PORT": str(http), "QDRANT_GRPC_PORT": str(grpc)}
    return dataclasses.replace(inv, environment=inv.environment | environment)


@pytest.fixture
def stack(inv: Inv) -> Iterator[Inv]:
    """`inv` that manages this test's own native Qdrant on free ports."""
    yield managing(inv)
    end_processes_below(inv.root)


@contextmanager
def own_stack(folder: Path) -> Iterator[Inv]:
    """Make a project with its own stack, which several tests share."""
    root = folder / "project"
    try:
        yield managing(new_project(root))
    finally:
        end_processes_below(root)


@dataclasses.dataclass(frozen=True)
class Samples:
    """Two snapshots of the shared server, taken once for a module; tests use copies."""

    folder: Path

    def put(self, kind: str, folder: Path, *, manifest: bool = True) -> Path:
        """Copy the `plain` or the `rich` one into a folder, with its latest link."""
        folder.mkdir(exist_ok=True)
        [file] = self.folder.glob(f"sample-{kind}_2*.snapshot")
        shutil.copy(file, folder)
        if manifest:
            shutil.copy(manifest_of(file), folder)
            shutil.copy(probes_path(file), folder)
            (folder / f"sample-{kind}_latest.snapshot").symlink_to(file.name)
        return folder / file.name


@pytest.fixture(scope="module")
def samples(qdrant: Live, tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """A plain and a rich snapshot, each with an alias, of the shared server."""
    catalog = Catalog(tmp_path_factory.mktemp("samples"))
    qdrant.loader.plain("sample-plain", points=300)
    qdrant.loader.alias("plain-alias", "sample-plain")
    qdrant.loader.rich("sample-rich")
    qdrant.loader.alias("rich-alias", "sample-rich")
    for collection in ("sample-plain", "sample-rich"):
        take_from(qdrant, collection, catalog)
    return Samples(catalog.folder)


@pytest.fixture(scope="module")
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """A cluster of three nodes with two collections, of the newer version or of another one."""
    version = getattr(request, "param", NEWER)
    folder = tmp_path_factory.mktemp("cluster")
    with nodes(binary(folder, version), folder, 3) as found:
        fill(found[0])
        yield World(version=version, found=found)


@pytest.fixture
def taken(world: World, inv: Inv) -> Callable[..., Path]:
    """Take a snapshot of a collection of the cluster, and return its file."""

    def take(collection: str, *flags: str) -> Path:
        ran = of_cluster(inv, world.found)(
            "snapshot.create", "--collection", collection, "--strict", *flags, "--json"
        )
        assert ran.code == 0, ran.stderr
        [made] = ran.document["result"]["snapshots"]
        return inv.root / "qdrant_snapshots" / str(made["snapshot"])

    return take


@pytest.fixture
def fronts(world: World) -> Iterator[list[Proxy]]:
    """A proxy in front of each node, which breaks what the test chooses."""
    with ExitStack() as stack:
        yield [stack.enter_context(faulty(node.url)) for node in world.found]


@pytest.fixture
def fronted(inv: Inv, fronts: list[Proxy]) -> Inv:
    """`inv` that talks to the nodes through the proxies."""
    urls = ",".join(proxy.url for proxy in fronts)
    more = {"QDRANT_CLUSTER_URLS": urls, "QDRANT_OPERATION_TIMEOUT_SECONDS": "20"}
    return at(inv, fronts[0].url, QDRANT_COLLECTION_NAME=AUTO, **more)
