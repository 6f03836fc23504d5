"""The table of versions, compared with a real server of each tested one."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from snapshot_tasks.domain.versions import TESTED, known
from snapshot_tasks.qdrant.points_grpc import wire
from tests.conftest import OLDER, Live


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
