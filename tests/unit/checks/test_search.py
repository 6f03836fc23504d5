"""A drill judges searches: wrong results and a dead graph fail, a small loss is a warning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from snapshot_tasks.checks import search
from snapshot_tasks.checks.search import check_search
from snapshot_tasks.domain.findings import Finding, Status
from snapshot_tasks.domain.search_parity import Hit, PointId, Probe, unused_index
from snapshot_tasks.system.errors import ServerFailure
from tests.unit.checks.test_restored import SAME

EXACT: list[Hit] = [(number, 1 - number / 10) for number in range(10)]
PROBE = Probe(vector="", id=1, exact=tuple(EXACT), recall=0.9)


class Server:
    """Answers searches with so much recall; a wide search has its own. An error may come first."""

    def __init__(self, recall: float, wide: float = 1.0, error: Exception | None = None) -> None:
        self._recall, self._wide, self._error = recall, wide, error

    def search(
        self,
        endpoint: object,
        collection: str,
        vector: str,
        ids: Sequence[PointId],
        ways: Sequence[Mapping[str, Any]],
    ) -> list[tuple[list[Hit], ...]]:
        """Return the results of one probe."""
        if self._error:
            raise self._error
        return [tuple(EXACT[: self._found(way)] for way in ways)]

    def _found(self, way: Mapping[str, Any]) -> int:
        if way["exact"]:
            return 10
        return round(10 * (self._wide if "hnsw_ef" in way else self._recall))


def judge(monkeypatch: pytest.MonkeyPatch, server: Server) -> Finding:
    """Return the finding about one probe."""
    monkeypatch.setattr(search, "search_stored_vectors", server.search)
    monkeypatch.setattr(search, "indexed_vectors_count", lambda *of: 100_000)
    state = replace(SAME.actual, points_count=1_000_000)
    restored = replace(SAME, actual=state, expected=replace(SAME.expected, probes=(PROBE,)))
    (finding,) = check_search(restored)
    return finding


@pytest.mark.parametrize(
    ("server", "status", "words"),
    [
        (Server(1.0), Status.OK, "HNSW recall 1.00, was 0.90"),
        (Server(0.9), Status.OK, "HNSW recall 0.90, was 0.90"),
        (Server(0.8), Status.WARN, "HNSW recall 0.80, was 0.90"),
        (Server(0.4, wide=0.9), Status.WARN, "and 0.90 where it may visit 1,000 points"),
        (Server(0.1, wide=0.2), Status.FAIL, "and 0.20 where it may visit 1,000 points"),
    ],
)
def test_recall(
    monkeypatch: pytest.MonkeyPatch, server: Server, status: Status, words: str
) -> None:
    """A graph that a new one might be is a warning; one that a wide search cannot use fails."""
    finding = judge(monkeypatch, server)
    assert finding.status is status
    assert words in finding.message


@pytest.mark.parametrize(
    ("code", "status"), [(500, Status.FAIL), (400, Status.WARN), (None, Status.WARN)]
)
def test_a_server_that_fails_is_damage_and_one_that_refuses_is_not(
    monkeypatch: pytest.MonkeyPatch, code: int | None, status: Status
) -> None:
    """Strict mode refuses searches; only a damaged index makes a server fail."""
    error = ServerFailure("It said no.", hint="Look.", status=code)
    finding = judge(monkeypatch, Server(1.0, error=error))
    assert finding.status is status
    assert "It said no." in finding.message


def config(**hnsw: Any) -> dict[str, Any]:
    """Return the configuration of named vectors of several kinds."""
    return {
        "params": {
            "vectors": {
                "plain": {"size": 64, "distance": "Dot"},
                "half": {"size": 64, "distance": "Dot", "datatype": "float16"},
                "own": {"size": 64, "distance": "Dot", "hnsw_config": {"m": 0, "on_disk": None}},
                "late": {"size": 64, "multivector_config": {"comparator": "max_sim"}},
                "odd": {"size": 64, "datatype": "later"},
            },
            "sparse_vectors": {"words": {}},
        },
        "hnsw_config": {"m": 16, "full_scan_threshold": 10_000, **hnsw},
    }


@pytest.mark.parametrize(
    ("vector", "points", "hnsw", "words"),
    [
        ("plain", 39_999, {}, "40,000 vectors"),
        ("plain", 40_000, {}, None),
        ("half", 79_999, {}, "80,000 vectors"),
        ("plain", 40_000, {"m": 0}, "m is 0"),
        ("plain", 40_000, {"m": 0, "payload_m": 16}, None),
        ("own", 40_000, {}, "m is 0"),
        ("late", 10, {}, None),
        ("odd", 10, {}, None),
        ("words", 10, {}, None),
    ],
)
def test_when_hnsw_is_not_used(
    vector: str, points: int, hnsw: dict[str, Any], words: str | None
) -> None:
    """It is said only where it is sure."""
    reason = unused_index(config(**hnsw), vector, points_count=points, indexed_count=1)
    assert words is None if reason is None else words in reason  # type: ignore[operator]


def test_without_an_index_nothing_uses_it() -> None:
    """A collection below its indexing threshold has no graph, whatever its size."""
    reason = unused_index(config(), "plain", points_count=10**9, indexed_count=0)
    assert reason == "no segment is large enough for an index"
    plain = {"params": {"vectors": {"size": 4}}, "hnsw_config": {"full_scan_threshold": 10}}
    assert unused_index(plain, "", points_count=639, indexed_count=1) is not None
    assert unused_index(plain, "", points_count=640, indexed_count=1) is None
