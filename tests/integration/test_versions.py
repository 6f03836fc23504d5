"""The table of versions, compared with a real server of each tested one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from snapshot_tasks.domain.collection import ServerSnapshot
from snapshot_tasks.domain.versions import TESTED, known
from snapshot_tasks.qdrant.mark import SnapshotMark
from snapshot_tasks.qdrant.points_grpc import wire
from tests.conftest import NEWER, OLDER, Live, native_qdrant


@pytest.fixture(params=TESTED)
def live(request: pytest.FixtureRequest) -> Live:
    """Each version in turn."""
    server: Live = request.getfixturevalue("older_qdrant" if request.param == OLDER else "qdrant")
    return server


def test_the_table_says_what_the_server_does(live: Live, name: str) -> None:
    """Whether it reports its update queue, and how gRPC carries vectors."""
    row = known(live.version)
    assert row.number == live.version
    live.loader.plain(name, points=1)
    described = live.loader.request("GET", f"/collections/{name}")
    assert ("update_queue" in described) is row.reports_queue
    with grpc.insecure_channel(f"localhost:{live.fresh.endpoint.grpc_port}") as channel:
        stub: Any = wire.PointsStub(channel)
        selected = wire.WithVectorsSelector(enable=True)
        asked = wire.ScrollPoints(collection_name=name, limit=1, with_vectors=selected)
        (point,) = stub.Scroll(asked, timeout=30).result
    assert (point.vectors.vector.WhichOneof("vector") is not None) is row.types_vectors


def test_the_prefix_of_metrics_hides_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A real server with `service.metrics_prefix` says under that name what it is doing."""
    monkeypatch.setenv("QDRANT__SERVICE__METRICS_PREFIX", "acme_")
    with native_qdrant(NEWER, tmp_path) as live:
        live.loader.plain("busy", points=20_000)
        with live.server() as server, ThreadPoolExecutor(1) as pool:
            mark = server.snapshots.mark("busy")
            created = pool.submit(create, live, mark)
            seen = False
            while not created.done():
                seen = seen or server.snapshots.is_busy("busy")
            assert created.result().size_bytes > 0
            assert seen
            assert not server.snapshots.is_busy("busy")


def create(live: Live, mark: SnapshotMark) -> ServerSnapshot:
    """Create a server snapshot over a connection of its own."""
    with live.server() as server:
        return server.snapshots.create("busy", mark)
