"""Everything that users see of a collection, to compare two restores of the same snapshot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any

from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.domain.index_counts import IndexCount
from snapshot_tasks.domain.search_parity import (
    EXACT_TOLERANCE,
    Agreement,
    PointId,
    compare_answers,
    tolerance_of,
)
from snapshot_tasks.qdrant.http import BATCH_ANSWERS, Http
from snapshot_tasks.qdrant.indexes import PayloadIndexes
from snapshot_tasks.qdrant.paths import collection_path
from snapshot_tasks.qdrant.points import read_fingerprint
from snapshot_tasks.qdrant.search import EXACT, HNSW, search_stored_vectors
from snapshot_tasks.system.errors import TaskError

FACETS = 1000
FILTERED_VALUES = 20
ORDERED = 100
# What a picture calls the results of an index that only finds most of the points by design.
APPROXIMATE = "HNSW answers"
COMPARED = "exact answers"


def take_picture(
    endpoint: Endpoint,
    collection: str,
    *,
    queries: Mapping[str, Sequence[PointId]],
    config: Mapping[str, Any],
    counts: Sequence[IndexCount],
) -> dict[str, Any]:
    """Return the answers of a collection, by what was asked; a failure is an answer, too.

    `queries` has the points whose vectors are searched for, by the name of the vector. Scores with
    idf depend on how points are spread over segments, so those answers are only approximate.
    """
    picture: dict[str, Any] = {
        "points, payloads and vectors": _answer(
            lambda: read_fingerprint(endpoint, collection, lambda count: None).digest
        )
    }
    for name, ids in queries.items():
        ways = [(APPROXIMATE, HNSW)]
        if tolerance_of(config, name) is not None:
            ways.insert(0, (COMPARED, EXACT))
        for words, way in ways:
            picture[f"{words} {name}".strip()] = _searched(endpoint, collection, name, ids, way)
    with closing(PayloadIndexes(endpoint, collection)) as indexes:
        # How many points an index holds varies from restore to restore, without any damage.
        schema = _answer(lambda: {f: {**i, "points": 0} for f, i in indexes.schema().items()})
        filters = [count for count in counts if count.condition]
        picture["filters"] = _answer(lambda: indexes.found(filters))
    picture["payload indexes"] = schema
    http = Http(endpoint, operation_timeout_seconds=BATCH_ANSWERS * endpoint.answer_seconds)
    try:
        for field in sorted(schema) if isinstance(schema, dict) else ():
            picture |= _of_field(http, f"{collection_path(collection)}", field)
    finally:
        http.close()
    return picture


def differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the parts of a picture that another one does not have, or has otherwise."""
    return tuple(part for part, seen in first.items() if not _is_same(part, seen, second.get(part)))


def _is_same(part: str, first: Any, second: Any) -> bool:
    if first == second:
        return True
    if not (part.startswith(COMPARED) and isinstance(first, list) and isinstance(second, list)):
        return False
    # The same vectors have scores of another last bit in a segment of another kind.
    return len(first) == len(second) and all(
        compare_answers(one, other, EXACT_TOLERANCE) is not Agreement.DIFFERENT
        for (one,), (other,) in zip(first, second, strict=True)
    )


def _searched(
    endpoint: Endpoint,
    collection: str,
    name: str,
    ids: Sequence[PointId],
    way: Mapping[str, Any],
) -> Any:
    return _answer(lambda: search_stored_vectors(endpoint, collection, name, ids, [way]))


def _of_field(http: Http, path: str, field: str) -> dict[str, Any]:
    """Return facets, what a filter for each of them finds, and the order by this field."""

    def ask(what: str, body: Mapping[str, Any]) -> Any:
        return _answer(lambda: http.ask(f"{path}/{what}", body))

    facets = ask("facet", {"key": field, "limit": FACETS, "exact": True})
    # A value that only deleted points have may be listed, with no points.
    hits = [hit for hit in facets["hits"] if hit["count"]] if isinstance(facets, dict) else []
    hits = sorted(hits, key=lambda hit: (-hit["count"], str(hit["value"])))
    conditions = [
        *({"key": field, "match": {"value": hit["value"]}} for hit in hits[:FILTERED_VALUES]),
        {"key": field, "values_count": {"gte": 1}},
        {"is_empty": {"key": field}},
        {"is_null": {"key": field}},
    ]
    filters = [
        ask("points/count", {"exact": True, "filter": {"must": [each]}}) for each in conditions
    ]
    order = {"order_by": field, "limit": ORDERED, "with_payload": False, "with_vector": False}
    ordered = ask("points/scroll", order)
    if isinstance(ordered, dict):
        # Of points with the same value, any may come first.
        ordered = [point.get("order_value") for point in ordered["points"]]
    return {
        f"facets of {field}": hits if isinstance(facets, dict) else facets,
        f"filters on {field}": filters,
        f"order by {field}": ordered,
    }


def _answer(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except TaskError as error:
        return f"{error.kind} {getattr(error, 'status', None)}"
