"""Indexes that are created and dropped while a snapshot is taken: noticed, and no false alarm.

`SCHEMA_ROUNDS` sets how many rounds there are for each version.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.findings import Status
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.engines.native import NativeEngine
from snapshot_tasks.operations.create.one import Created, create
from snapshot_tasks.operations.create.request import CreateRequest
from snapshot_tasks.operations.create.seal import FreshServers
from snapshot_tasks.operations.prove.drill import DrillRequest, drill
from snapshot_tasks.settings import load_settings
from snapshot_tasks.system.progress import Silent
from tests.conftest import NEWER, OLDER, Live, now
from tests.support.amount import amount
from tests.support.collections import Loader, plain_points
from tests.support.mixed import INDEXES, mixed_points

ROUNDS = amount("SCHEMA_ROUNDS", quick=2, full=30)
VERSIONS = pytest.mark.parametrize("version", [OLDER, NEWER])
POINTS = 600


@contextmanager
def repeating(live: Live, *actions: tuple[str, str, Any]) -> Iterator[None]:
    """Send these requests again and again during the block, with short pauses."""
    stop, rng = threading.Event(), random.Random(3)

    def work() -> None:
        with closing(Loader(live.url)) as loader:
            while not stop.is_set():
                for method, path, body in actions:
                    loader.request(method, path, body)
                    stop.wait(rng.random() / 50)

    with ThreadPoolExecutor(max_workers=1) as pool:
        done = pool.submit(work)
        try:
            yield
        finally:
            stop.set()
            done.result()


def taken(live: Live, name: str, catalog: Catalog, engine: NativeEngine) -> Created:
    """Take a snapshot with an engine at hand, as the task does."""
    servers = FreshServers(engine=lambda: engine, operation_timeout_seconds=60)
    with live.server() as server:
        asked = CreateRequest(collection=name, fresh_servers=servers)
        return create(asked, server, catalog, Silent(), clock=now)


def statuses(snapshot: Snapshot, version: str, engine: NativeEngine) -> set[Status]:
    """Drill, which must pass, and return the statuses of what it found."""
    request = DrillRequest(snapshot=snapshot, version=version, operation_timeout_seconds=60)
    report = drill(request, engine, Silent(), clock=now)
    assert report.error is None, report.error
    return {finding.status for finding in report.findings}


@VERSIONS
def test_indexes_made_and_dropped_in_a_loop(
    request: pytest.FixtureRequest, version: str, catalog: Catalog, tmp_path_factory: Any
) -> None:
    """An application that makes sure of its indexes, and writes: no drill is red."""
    live: Live = request.getfixturevalue("older_qdrant" if version == OLDER else "qdrant")
    engine = NativeEngine(
        load_settings(tmp_path_factory.mktemp("project"), {"QDRANT_VERSION": version})
    )
    name = f"changing-{version.replace('.', '-')}"
    live.loader.plain(name, points=POINTS)
    path = f"/collections/{name}"
    writes = ("PUT", f"{path}/points", {"points": list(plain_points(20, 64))})
    make = ("PUT", f"{path}/index", {"field_name": "text", "field_schema": "keyword"})
    drop = ("DELETE", f"{path}/index/text", None)
    for _ in range(ROUNDS):
        with repeating(live, make, writes, drop, writes):
            created = taken(live, name, catalog, engine)
        manifest = created.snapshot.manifest
        assert manifest is not None
        said = [f for f in created.findings if f.check == "source"]
        assert bool(said) <= manifest.source_moved
        found = statuses(created.snapshot, version, engine)
        assert Status.FAIL not in found
        assert manifest.unsettled_indexes or Status.WARN not in found
    live.loader.delete(name)


class Meanwhile(Silent):
    """Does something once, when a phase with this label begins."""

    def __init__(self, label: str, action: Callable[[], None]) -> None:
        self._label = label
        self._action = action

    @contextmanager
    def phase(self, label: str, **amount: Any) -> Iterator[Callable[[int], None]]:
        """Do it right before the phase."""
        if label.startswith(self._label):
            self._label = "done"
            self._action()
        with super().phase(label, **amount) as advance:
            yield advance


@VERSIONS
@pytest.mark.parametrize("label", ["Qdrant is creating", "downloading"])
@pytest.mark.parametrize("dropped", [False, True])
def test_an_index_made_or_dropped_meanwhile_is_noticed(
    request: pytest.FixtureRequest,
    version: str,
    label: str,
    dropped: bool,
    name: str,
    catalog: Catalog,
    tmp_path: Path,
) -> None:
    """Between the description and the file, or after the file: the manifest says what is in it."""
    live: Live = request.getfixturevalue("older_qdrant" if version == OLDER else "qdrant")
    engine = NativeEngine(load_settings(tmp_path, {"QDRANT_VERSION": version}))
    live.loader.plain(name, points=50)

    def change() -> None:
        if dropped:
            live.loader.request("DELETE", f"/collections/{name}/index/group")
        else:
            live.loader.index(name, "text", "keyword")

    with live.server() as server:
        asked = CreateRequest(collection=name)
        created = create(asked, server, catalog, Meanwhile(label, change), clock=now)
    manifest = created.snapshot.manifest
    assert manifest is not None
    before_file = label != "downloading"
    expected = {"group", "text"} if before_file and not dropped else {"group"}
    assert set(manifest.payload_schema) == (set() if before_file and dropped else expected)
    assert manifest.source_moved
    assert manifest.unsettled_indexes == ()
    [said] = [f.message for f in created.findings if f.check == "source"]
    assert ("payload index group" if dropped else "payload index text") in said
    assert statuses(created.snapshot, version, engine) == {Status.OK}


@VERSIONS
def test_the_file_says_what_a_quiet_server_says(
    request: pytest.FixtureRequest, version: str, catalog: Catalog, tmp_path_factory: Any
) -> None:
    """Config and payload schema of a collection of every kind, key by key, without any warning."""
    live: Live = request.getfixturevalue("older_qdrant" if version == OLDER else "qdrant")
    engine = NativeEngine(
        load_settings(tmp_path_factory.mktemp("project"), {"QDRANT_VERSION": version})
    )
    live.loader.rich("quiet-rich")
    live.loader.request("PUT", "/collections/quiet-mixed", {"vectors": VECTORS, **SETTINGS})
    for field, schema in (INDEXES | MORE_INDEXES).items():
        live.loader.index("quiet-mixed", field, schema)
    live.loader.fill("quiet-mixed", mixed_points(300))
    for name in ("quiet-rich", "quiet-mixed"):
        with live.server() as server:
            state = server.collections.state(name)
        created = taken(live, name, catalog, engine)
        manifest = created.snapshot.manifest
        assert manifest is not None
        assert manifest.config == state.config
        assert manifest.payload_schema == state.payload_schema
        assert not manifest.source_moved
        assert manifest.unsettled_indexes == ()
        assert [f for f in created.findings if f.check == "source"] == []
        live.loader.delete(name)


VECTORS = {"size": 4, "distance": "Dot", "on_disk": True}
SETTINGS: dict[str, Any] = {
    "metadata": {"team": "a", "none": None},
    "sparse_vectors": {"words": {"index": {"on_disk": True, "datatype": "float16"}}},
    "quantization_config": {"binary": {"encoding": "two_bits"}},
    "strict_mode_config": {"enabled": False, "filter_max_conditions": 3},
    "optimizers_config": {"max_optimization_threads": 1},
    "hnsw_config": {"payload_m": 8},
    "shard_number": 2,
}
MORE_INDEXES: dict[str, Any] = {
    "kept": {"type": "keyword", "on_disk": True},
    "main": {"type": "integer", "is_principal": True, "lookup": False, "range": True},
    "phrases": {
        "type": "text",
        "tokenizer": "multilingual",
        "stopwords": "english",
        "phrase_matching": True,
        "stemmer": {"type": "snowball", "language": "english"},
    },
}
