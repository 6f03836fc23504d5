"""Sends a server the queries whose results are recorded in a snapshot's manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.domain.search_parity import LIMIT, Hit, PointId
from snapshot_tasks.qdrant.http import Http
from snapshot_tasks.qdrant.paths import collection_path

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
        body = {"ids": list(ids), "with_vector": True, "with_payload": False}
        stored = {p["id"]: p["vector"] for p in http.send("POST", path, body=body)}
        found = (_named(stored[identity], vector) for identity in ids if identity in stored)
        queries = [query for query in found if query is not None]
        answers = [_ask(http, path, vector, queries, params) for params in ways]
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


def _ask(
    http: Http, path: str, vector: str, queries: Sequence[Any], params: Mapping[str, Any]
) -> list[list[Hit]]:
    using = {"using": vector} if vector else {}
    searches = [
        {"query": query, "limit": LIMIT, "params": dict(params), **using} for query in queries
    ]
    answers = http.send("POST", f"{path}/query/batch", body={"searches": searches}, long=True)
    return [[(hit["id"], hit["score"]) for hit in answer["points"]] for answer in answers]
