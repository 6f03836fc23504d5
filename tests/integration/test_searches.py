"""What a drill concludes from searches, on real servers."""

from __future__ import annotations

import json
import math
import random
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import grpc
import pytest
from qdrant_client import grpc as wire

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.findings import Finding, Status
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.engines.native import NativeEngine
from snapshot_tasks.operations.prove.drill import DrillReport, DrillRequest, drill
from snapshot_tasks.selftest.copies import Copy
from snapshot_tasks.selftest.rewrite import overwrite, read_at
from snapshot_tasks.system.errors import ContentsDiffer
from snapshot_tasks.system.progress import Silent
from tests.conftest import NEWER, Live, now
from tests.integration.conftest import Take, take_from

Vectors = list[list[float]]
NAN, INF = math.nan, math.inf


@pytest.fixture(params=["qdrant", "older_qdrant"])
def live(request: pytest.FixtureRequest) -> Live:
    """A server of each tested version."""
    found: Live = request.getfixturevalue(request.param)
    return found


def gauss(count: int, *, scale: float = 1.0, dimensions: int = 4) -> Vectors:
    """Return random vectors, always the same."""
    rng = random.Random(1)
    return [[rng.gauss(0, 1) * scale for _ in range(dimensions)] for _ in range(count)]


def upsert_with_grpc(live: Live, collection: str, vectors: Vectors) -> None:
    """Insert vectors that JSON cannot represent."""
    points = [
        wire.PointStruct(
            id=wire.PointId(num=number),
            # The field of raw floats, which all versions read.
            vectors=wire.Vectors(
                vector=wire.Vector.FromString(
                    b"\x0a" + bytes([4 * len(vector)]) + struct.pack(f"<{len(vector)}f", *vector)
                )
            ),
        )
        for number, vector in enumerate(vectors)
    ]
    with grpc.insecure_channel(f"127.0.0.1:{live.fresh.endpoint.grpc_port}") as channel:
        stub: Any = wire.PointsStub(channel)  # type: ignore[no-untyped-call]
        stub.Upsert(wire.UpsertPoints(collection_name=collection, wait=True, points=points))


def prove(snapshot: Snapshot, engine: NativeEngine) -> DrillReport:
    """Drill in-process."""
    request = DrillRequest(snapshot=snapshot, version=NEWER, operation_timeout_seconds=60)
    return drill(request, engine, Silent(), clock=now)


def searches(report: DrillReport) -> list[Finding]:
    """Return what a drill found by searching."""
    return [finding for finding in report.findings if "search" in finding.check]


def no_constant(text: str) -> NoReturn:
    """Refuse what only Python accepts as JSON."""
    raise AssertionError(f"{text} is not valid JSON")


ODD: dict[str, tuple[str, Callable[[], Vectors]]] = {
    "NaN, cosine": ("Cosine", lambda: [*gauss(30), [NAN] * 4]),
    "NaN, dot": ("Dot", lambda: [*gauss(30), [NAN, 1, 1, 1]]),
    "NaN, euclid": ("Euclid", lambda: [*gauss(30), [NAN, 1, 1, 1]]),
    "infinity, dot": ("Dot", lambda: [*gauss(30), [INF, 1, 1, 1]]),
    "minus infinity, dot": ("Dot", lambda: [*gauss(30), [-INF, 1, 1, 1]]),
    "infinity, euclid": ("Euclid", lambda: [*gauss(30), [INF, 1, 1, 1]]),
    "dot above float32": ("Dot", lambda: gauss(30, scale=1e25)),
    "some dots above float32": ("Dot", lambda: gauss(60, scale=1e19)),
    "euclid above float32": ("Euclid", lambda: gauss(30, scale=1e25)),
    "manhattan above float32": ("Manhattan", lambda: gauss(30, scale=1e38)),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("shards", [1, 2])
def test_scores_that_are_no_numbers_are_no_damage(
    live: Live, name: str, take: Take, engine: NativeEngine, kind: str, shards: int
) -> None:
    """A good snapshot is proven, its manifest is strict JSON, and what was left out is said."""
    distance, vectors = ODD[kind]
    name = f"odd-{shards}"
    config = {"vectors": {"size": 4, "distance": distance}, "shard_number": shards}
    live.loader.request("PUT", f"/collections/{name}", config)
    upsert_with_grpc(live, name, vectors())
    try:
        snapshot = take(live, name)
    finally:
        live.loader.delete(name)
    json.loads(snapshot.manifest_path.read_text("utf-8"), parse_constant=no_constant)
    report = prove(snapshot, engine)
    assert report.error is None
    assert {finding.status for finding in searches(report)} <= {Status.OK, Status.WARN}
    assert len(searches(report)) == 2
    for finding in searches(report):
        if finding.status is Status.WARN:
            assert "no finite numbers" in finding.message


def test_one_vector_with_nan_hides_no_other_result(
    qdrant: Live, take: Take, engine: NativeEngine
) -> None:
    """The other points of its collection are compared all the same."""
    name = "one-nan"
    qdrant.loader.request(
        "PUT", f"/collections/{name}", {"vectors": {"size": 4, "distance": "Cosine"}}
    )
    upsert_with_grpc(qdrant, name, [*gauss(200), [NAN] * 4])
    report = prove(take(qdrant, name), engine)
    assert report.error is None
    for finding in searches(report):
        assert finding.status is Status.OK
        assert finding.message.startswith("50 exact results match")


@pytest.fixture(scope="module")
def graph(qdrant: Live, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """A snapshot of a collection whose searches use HNSW."""
    qdrant.loader.graph("graph")
    return take_from(qdrant, "graph", Catalog(tmp_path_factory.mktemp("graph")))


def damaged(snapshot: Snapshot, folder: Path, damage: Callable[[bytes], bytes]) -> Snapshot:
    """Return a re-signed copy of a snapshot with other HNSW links."""
    copy = Copy.of(snapshot.path, folder / "damaged")
    for links in copy.graph_links():
        content = read_at(copy.file, links.data, links.stored_bytes)
        overwrite(copy.file, links.data, damage(content))
    copy.resign()
    return copy.snapshot()


def test_a_graph_without_half_of_its_links_fails(
    graph: Snapshot, tmp_path: Path, engine: NativeEngine
) -> None:
    """Exact searches are all right, but plain searches find next to nothing."""

    def zeroed(links: bytes) -> bytes:
        return links[: len(links) // 2] + bytes(len(links) - len(links) // 2)

    report = prove(damaged(graph, tmp_path, zeroed), engine)
    assert isinstance(report.error, ContentsDiffer)
    found = searches(report)
    assert [finding.status for finding in found] == [Status.FAIL] * 2
    for finding in found:
        assert "exact results match; HNSW recall 0." in finding.message
        assert "where it may visit 1,000 points" in finding.message


def test_a_graph_on_which_searches_panic_fails(
    graph: Snapshot, tmp_path: Path, engine: NativeEngine
) -> None:
    """A server that answers a plain search with 500 is damage, not a search that it refused."""

    def random_half(links: bytes) -> bytes:
        kept = len(links) // 2
        return links[:kept] + random.Random(1).randbytes(len(links) - kept)

    report = prove(damaged(graph, tmp_path, random_half), engine)
    assert isinstance(report.error, ContentsDiffer)
    assert "could not search" in report.error.message


def test_a_small_loss_of_links_is_no_failure(
    graph: Snapshot, tmp_path: Path, engine: NativeEngine
) -> None:
    """A few lost links cost a little recall, as any new graph might."""

    def hole(links: bytes) -> bytes:
        middle = len(links) // 2
        return links[:middle] + bytes(100) + links[middle + 100 :]

    report = prove(damaged(graph, tmp_path, hole), engine)
    assert report.error is None
    assert {finding.status for finding in searches(report)} <= {Status.OK, Status.WARN}


def test_a_sound_graph_says_its_recall(graph: Snapshot, engine: NativeEngine) -> None:
    """The recall is that of the file, before and after a restart."""
    report = prove(graph, engine)
    assert report.error is None
    for finding in searches(report):
        assert finding.status is Status.OK
        before, after = re.findall(r"[01]\.\d\d", finding.message)
        assert before == after


def test_a_collection_too_small_for_hnsw_says_so(
    live: Live, name: str, take: Take, engine: NativeEngine
) -> None:
    """A recall of 1.00 would say something about a graph that no search uses."""
    live.loader.plain("small", points=100)
    report = prove(take(live, "small"), engine)
    live.loader.delete("small")
    assert report.error is None
    for finding in searches(report):
        assert finding.status is Status.OK
        assert "HNSW not used: no segment is large enough for an index" in finding.message
