"""Reading every point of a collection for its fingerprint: over gRPC, or over REST.

Both readers refuse compression: the server would otherwise spend most of its time on gzip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import orjson

from snapshot_tasks import fingerprint as canon
from snapshot_tasks.errors import ServerFailure, TaskError
from snapshot_tasks.fingerprint import PAYLOAD_NAME, VECTOR, Accumulator, Fingerprint, Name, Point
from snapshot_tasks.models import Endpoint
from snapshot_tasks.qdrant.http import Http

BATCH = 1000
BATCH_SECONDS = 120.0


def read_points(endpoint: Endpoint, collection: str) -> Iterator[list[Point]]:
    """Yield every point in canonical form, in batches; over gRPC where it answers, else REST.

    Raises:
        Unreachable: when the server is lost on the way.
        ServerFailure: when a vector holds a NaN and only REST answers: JSON cannot carry it.
    """
    from snapshot_tasks.qdrant.points_grpc import GrpcUnavailable, read_over_grpc

    try:
        yield from read_over_grpc(endpoint, collection)
    except GrpcUnavailable:
        yield from read_over_rest(endpoint, collection)


def read_fingerprint(
    endpoint: Endpoint, collection: str, advance: Callable[[int], None]
) -> Fingerprint:
    """Return the fingerprint of a live collection; `advance` gets each batch's number of points.

    Raises:
        Unreachable, ServerFailure: as `read_points`.
    """
    total = Accumulator()
    for batch in read_points(endpoint, collection):
        for identity, components in batch:
            total.add(identity, components)
        advance(len(batch))
    return total.result()


def locate_live_points(
    endpoint: Endpoint, collection: str, buckets: frozenset[int], advance: Callable[[int], None]
) -> dict[int | str, bytes]:
    """Return id and leaf of each live point that lies in one of the buckets."""
    found: dict[int | str, bytes] = {}
    for batch in read_points(endpoint, collection):
        for identity, components in batch:
            if canon.bucket_of(canon.id_bytes(identity)) in buckets:
                found[identity] = canon.point_leaf(identity, components)
        advance(len(batch))
    return found


def read_over_rest(endpoint: Endpoint, collection: str) -> Iterator[list[Point]]:
    """Yield every point over REST."""
    path = f"/collections/{quote(collection, safe='')}/points/scroll"
    body: dict[str, Any] = {"limit": BATCH, "with_payload": True, "with_vector": True}
    http = Http(endpoint, operation_timeout_seconds=BATCH_SECONDS)
    try:
        while True:
            result = orjson.loads(http.send_raw("POST", path, body=body))["result"]
            yield [_from_json(point) for point in result["points"]]
            if result.get("next_page_offset") is None:
                return
            body["offset"] = result["next_page_offset"]
    finally:
        http.close()


def _from_json(point: dict[str, Any]) -> Point:
    components: list[tuple[Name, bytes]] = [(PAYLOAD_NAME, canon.payload(point.get("payload")))]
    vectors = point.get("vector") or {}
    named = vectors if isinstance(vectors, dict) else {"": vectors}
    try:
        components += [((VECTOR, name), canon.vector(vector)) for name, vector in named.items()]
    except TypeError as error:
        raise _not_a_number(point["id"]) from error
    return point["id"], components


def _not_a_number(identity: int | str) -> TaskError:
    return ServerFailure(
        f"A vector of point {identity} holds a value that JSON cannot carry (NaN or infinity).",
        hint="Make gRPC reachable (QDRANT_GRPC_PORT): it carries every value.",
    )
