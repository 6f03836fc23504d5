"""Sends a server the queries whose results are recorded in a snapshot's manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.domain.search_parity import LIMIT, Hit, PointId
from snapshot_tasks.domain.strict_mode import Limits, within
from snapshot_tasks.qdrant.http import Http
from snapshot_tasks.qdrant.paths import collection_path

_T = TypeVar("_T")
# Many queries at once may take this many times as long as a short response.
ANSWERS = 4


# How many points a search may visit: enough to find nearly all in a graph that is whole.
WIDE_EF = 1000
EXACT: Mapping[str, Any] = {"exact": True}
HNSW: Mapping[str, Any] = {"exact": False}
WIDE: Mapping[str, Any] = {"exact": False, "hnsw_ef": WIDE_EF}


def search_stored_vectors(
    endpoint: Endpoint,
    collection: str,
    vector: str,
    ids: Sequence[PointId],
    ways: Sequence[Mapping[str, Any]],
) -> list[tuple[list[Hit], ...]]:
    """Use the stored vectors of these points as queries; return the results of each in each way.

    Raises:
        ServerFailure: if the server refuses such queries, for example in strict mode, or fails.
    """
    with _asking(endpoint) as http:
        path = f"{collection_path(collection)}/points"
        limits = Limits.of(http.get(collection_path(collection))["config"])
        stored = _stored(http, path, ids, limits)
        found = (_named(stored[identity], vector) for identity in ids if identity in stored)
        queries = [query for query in found if query is not None]
        answers = [_ask(http, path, vector, queries, params, limits) for params in ways]
        return list(zip(*answers, strict=True))


def indexed_vectors_count(endpoint: Endpoint, collection: str) -> int:
    """Return how many vectors of a collection have an index, of all names together."""
    with _asking(endpoint) as http:
        return int(http.get(collection_path(collection)).get("indexed_vectors_count") or 0)


@contextmanager
def _asking(endpoint: Endpoint) -> Iterator[Http]:
    http = Http(endpoint, operation_timeout_seconds=ANSWERS * endpoint.answer_seconds)
    try:
        yield http
    finally:
        http.close()


def _named(vectors: Any, name: str) -> Any:
    return vectors.get(name) if isinstance(vectors, dict) and "indices" not in vectors else vectors


def _stored(http: Http, path: str, ids: Sequence[PointId], limits: Limits) -> dict[PointId, Any]:
    """Return the vectors of those of these points that exist."""
    size = within(len(ids), limits.reads)
    bodies = (
        {"ids": list(part), "with_vector": True, "with_payload": False}
        for part in _parts(ids, size)
    )
    return {p["id"]: p["vector"] for body in bodies for p in http.ask(path, body)}


def _ask(
    http: Http,
    path: str,
    vector: str,
    queries: Sequence[Any],
    params: Mapping[str, Any],
    limits: Limits,
) -> list[list[Hit]]:
    """Return the best hits of each query, asked for in pieces that strict mode allows."""
    using = {"using": vector} if vector else {}
    allowed = dict(params)
    if "hnsw_ef" in params:
        allowed["hnsw_ef"] = within(params["hnsw_ef"], limits.hnsw_ef)
    at_once = within(LIMIT, limits.points)
    pieces = [
        (
            number,
            {"query": query, "params": allowed, **using, "offset": offset}
            | {"limit": min(at_once, LIMIT - offset)},
        )
        for number, query in enumerate(queries)
        for offset in range(0, LIMIT, at_once)
    ]
    hits: list[list[Hit]] = [[] for _ in queries]
    for part in _parts(pieces, within(len(pieces), limits.searches, limits.reads)):
        body = {"searches": [search for _, search in part]}
        answers = http.ask(f"{path}/query/batch", body)
        for (number, _), answer in zip(part, answers, strict=True):
            hits[number] += [(hit["id"], hit["score"]) for hit in answer["points"]]
    return hits


def _parts(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
