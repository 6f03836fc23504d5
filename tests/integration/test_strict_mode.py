"""Strict mode limits what may be asked of a collection, and travels in its snapshots."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.checks.expected import expected_sealed
from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.domain.findings import Status, failed
from snapshot_tasks.engines.native import NativeEngine
from snapshot_tasks.operations.prove.contents import compare_source
from snapshot_tasks.operations.prove.drill import DrillRequest, drill
from snapshot_tasks.operations.prove.evidence import points_evidence
from snapshot_tasks.operations.restore.one import restore
from snapshot_tasks.operations.restore.plan import RestoreRequest
from snapshot_tasks.operations.stack import stack_report
from snapshot_tasks.qdrant import limits
from snapshot_tasks.qdrant.points import read_fingerprint
from snapshot_tasks.qdrant.points_grpc import read_vectors
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.errors import ServerFailure
from snapshot_tasks.system.progress import Silent
from tests.conftest import Inv, Live, now
from tests.integration.conftest import take_from
from tests.support.pretend import says
from tests.support.proxy import Answer, Exchange, faulty

POINTS = 60
VERSIONS = pytest.mark.parametrize("version", ["qdrant", "older_qdrant"])
NO_EXACT = {"search_allow_exact": False}
SMALL = {"max_query_limit": 1, "search_max_hnsw_ef": 16}
LIMITED = NO_EXACT | SMALL | {"read_rate_limit": 1000}


def strict(live: Live, name: str, **settings: Any) -> None:
    """Create a collection with these limits."""
    live.loader.plain(name, points=POINTS)
    body = {"strict_mode_config": {"enabled": True, **settings}}
    live.loader.request("PATCH", f"/collections/{name}", body)


def strict_mode_of(live: Live, name: str) -> dict[str, Any]:
    """Return the limits of a collection."""
    config = live.loader.request("GET", f"/collections/{name}")["config"]
    return dict(config["strict_mode_config"])


@VERSIONS
@pytest.mark.parametrize("settings", [NO_EXACT, SMALL, LIMITED])
def test_a_strict_collection_goes_the_whole_way(
    version: str,
    settings: dict[str, Any],
    name: str,
    catalog: Catalog,
    engine: NativeEngine,
    request: pytest.FixtureRequest,
) -> None:
    """Create, status, verify against the source, drill, restore, and restore over it."""
    live: Live = request.getfixturevalue(version)
    strict(live, name, **settings)
    snapshot = take_from(live, name, catalog)
    assert snapshot.manifest is not None
    assert (snapshot.manifest.points_count, snapshot.manifest.source_moved) == (POINTS, False)
    counted = [count.source for count in snapshot.index_counts if count.condition]
    assert counted
    assert (None in counted) is (settings == LIMITED)
    report = stack_report(live.fresh.endpoint, timeout_seconds=60)
    assert dict(report.collections)[name] == POINTS
    assert (name in report.ways) is ("search_allow_exact" in settings)
    assert compare_source(snapshot, live.fresh.endpoint, Silent()).is_same
    wanted = DrillRequest(snapshot=snapshot, version=live.version, operation_timeout_seconds=60)
    proven = drill(wanted, engine, Silent(), clock=now)
    assert proven.error is None
    assert {f.check: f.status for f in proven.findings if f.status is not Status.OK} == {}
    live.loader.delete(name)
    with live.server() as server:
        result = restore(RestoreRequest(snapshot=snapshot), server, Silent())
    assert result.error is None
    assert strict_mode_of(live, name) == {"enabled": True, **settings}
    findings = points_evidence(result, expected_sealed(snapshot, name))
    assert failed(findings) == ()
    [search] = [f for f in findings if f.check == "search"]
    refused = "search_allow_exact" in settings
    assert ("compared approximately" in search.message) is refused
    assert search.status is Status.OK


@VERSIONS
def test_restore_over_a_strict_collection(
    version: str, name: str, inv: Inv, request: pytest.FixtureRequest
) -> None:
    """The trial, the safety snapshot and the restore ask as strict mode allows."""
    live: Live = request.getfixturevalue(version)
    strict(live, name, **NO_EXACT, **SMALL)
    inv.environment.update(QDRANT_ENGINE="external", QDRANT_URL=live.url)
    made = inv("snapshot.create", "--collection", name, "--json")
    assert made.code == 0, made.stderr
    live.loader.request("POST", f"/collections/{name}/points/delete", {"points": [1, 2]})
    ran = inv("snapshot.restore", "--collection", name, "--replace", "--yes", "--json")
    assert ran.code == 0, ran.stderr
    assert ran.document["result"]["points_count"] == POINTS
    shown = inv("stack.status", "--json")
    assert shown.code == 0, shown.stderr
    assert name in shown.document["result"]["counted_otherwise"]


@VERSIONS
def test_a_drill_compares_the_limits_and_lifts_them(
    version: str,
    name: str,
    catalog: Catalog,
    engine: NativeEngine,
    request: pytest.FixtureRequest,
) -> None:
    """Two reads a minute would take hours; the live collection keeps its limits."""
    live: Live = request.getfixturevalue(version)
    strict(live, name, read_rate_limit=2)
    made = live.loader.request("POST", f"/collections/{name}/snapshots")
    url = f"{live.url}/collections/{name}/snapshots/{made['name']}"
    file = catalog.folder / f"{name}.snapshot"
    catalog.folder.mkdir(exist_ok=True)
    file.write_bytes(httpx.get(url, trust_env=False).content)
    unsealed = catalog.find(file.name)
    wanted = DrillRequest(snapshot=unsealed, version=live.version, operation_timeout_seconds=60)
    start = time.monotonic()
    report = drill(wanted, engine, Silent(), clock=now)
    assert report.error is None
    assert time.monotonic() - start < 60
    assert strict_mode_of(live, name) == {"enabled": True, "read_rate_limit": 2}


@VERSIONS
def test_a_rate_limit_is_waited_for(
    version: str, name: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Over REST and over gRPC, as long as the server says, and never after too long a time."""
    live: Live = request.getfixturevalue(version)
    strict(live, name, read_rate_limit=30, max_query_limit=20)
    waited: list[float] = []
    sleep = time.sleep

    def waiting(seconds: float) -> None:
        waited.append(seconds)
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", waiting)
    used_up(live, name)
    fingerprint = read_fingerprint(live.fresh.endpoint, name, lambda count: None)
    assert fingerprint.points_count == POINTS
    assert waited
    used_up(live, name)
    over_rest = len(waited)
    batches = read_vectors(live.fresh.endpoint, name, batch=20)
    assert sum(len(batch) for batch in batches) == POINTS
    assert len(waited) > over_rest
    used_up(live, name)
    monkeypatch.setattr(limits, "DELAY_SECONDS", 0.0)
    with live.server() as server, pytest.raises(ServerFailure, match="429") as refused:
        server.collections.count(name)
    assert "rate limit" in refused.value.hint


def used_up(live: Live, name: str) -> None:
    """Read until the server refuses to answer."""
    for _ in range(100):
        try:
            live.loader.request("POST", f"/collections/{name}/points/count", {"exact": True})
        except AssertionError:
            return
    raise AssertionError("the rate limit was never reached")


def test_a_request_that_never_fits_is_not_sent_again(qdrant: Live, name: str) -> None:
    """A request larger than the whole limit is refused without Retry-After."""
    qdrant.loader.plain(name, points=1)
    with faulty(qdrant.url) as proxy:
        path = f"/collections/{name}/points/count"
        proxy.on("POST", path, says("Rate limiting exceeded", 429))
        with (
            Server(Endpoint(url=proxy.url), operation_timeout_seconds=60) as server,
            pytest.raises(ServerFailure, match="429"),
        ):
            server.collections.count(name)
        assert proxy.requests("POST", path) == 1


def test_a_delay_is_honoured_wherever_a_server_asks_for_it(qdrant: Live, name: str) -> None:
    """A proxy in front of a server may limit any request, a write too."""
    late = Answer(429, {"Retry-After": "1"}, b'{"status": {"error": "later"}}')

    def delay(exchange: Exchange) -> None:
        exchange.answer(late)

    qdrant.loader.plain(name, points=3)
    with faulty(qdrant.url) as proxy:
        for method in ("GET", "POST", "PATCH"):
            proxy.on(method, r"/collections/.*", delay, times=1)
        with Server(Endpoint(url=proxy.url), operation_timeout_seconds=60) as server:
            assert server.collections.count(name) == 3
            assert server.collections.lift_limits(name) is None
            server.collections.restore_limits(name)
        assert proxy.requests("PATCH", f"/collections/{name}") == 2
