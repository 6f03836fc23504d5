"""Sends a server the queries whose results are recorded in a snapshot's manifest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.domain.search_parity import LIMIT, Hit, PointId
from snapshot_tasks.qdrant.http import Http
from snapshot_tasks.qdrant.paths import collection_path

# Many queries at once may take this many times as long as a short response.
ANSWERS = 4


def search_stored_vectors(
    endpoint: Endpoint, collection: str, vector: str, ids: Sequence[PointId]
) -> list[tuple[list[Hit], list[Hit]]]:
    """Use the stored vectors of these points as queries; return the exact and HNSW results of each.

    Raises:
        ServerFailure: if the server refuses such queries, for example in strict mode.
    """
    http = Http(endpoint, operation_timeout_seconds=ANSWERS * endpoint.answer_seconds)
    path = f"{collection_path(collection)}/points"
    try:
        body = {"ids": list(ids), "with_vector": True, "with_payload": False}
        stored = {p["id"]: p["vector"] for p in http.send("POST", path, body=body)}
        found = (_named(stored[identity], vector) for identity in ids if identity in stored)
        queries = [query for query in found if query is not None]
        exact = _ask(http, path, vector, queries, exact=True)
        return list(zip(exact, _ask(http, path, vector, queries, exact=False), strict=True))
    finally:
        http.close()


def _named(vectors: Any, name: str) -> Any:
    return vectors.get(name) if isinstance(vectors, dict) and "indices" not in vectors else vectors


def _ask(
    http: Http, path: str, vector: str, queries: Sequence[Any], *, exact: bool
) -> list[list[Hit]]:
    using = {"using": vector} if vector else {}
    searches = [
        {"query": query, "limit": LIMIT, "params": {"exact": exact}, **using} for query in queries
    ]
    answers = http.send("POST", f"{path}/query/batch", body={"searches": searches}, long=True)
    return [[(hit["id"], hit["score"]) for hit in answer["points"]] for answer in answers]
