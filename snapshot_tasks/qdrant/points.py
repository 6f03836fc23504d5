"""Reads every point of a live collection for its fingerprint.

All readers refuse compression, because the server would spend most of its time on gzip.
"""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any

import orjson

from snapshot_tasks.domain import fingerprint as canon
from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.domain.fingerprint import (
    PAYLOAD_NAME,
    VECTOR,
    Accumulator,
    Fingerprint,
    Name,
    Point,
)
from snapshot_tasks.domain.outline import Outline, outline
from snapshot_tasks.domain.strict_mode import Limits, within
from snapshot_tasks.qdrant.errors import not_qdrant
from snapshot_tasks.qdrant.http import BATCH_ANSWERS, GrpcClosed, Http
from snapshot_tasks.qdrant.paths import collection_path
from snapshot_tasks.system.children import ChildFailed, ask
from snapshot_tasks.system.errors import CredentialsRefused, ServerFailure, TaskError, Unreachable

BATCH = 1000
ID_BATCH = 10_000
# With fewer points, a separate process would take longer to start than to read them.
SMALL_POINTS = 20_000
VECTOR_READER = "snapshot_tasks.qdrant.points_grpc"
_CHILD_ERRORS: dict[str, type[TaskError]] = {
    error.__name__: error for error in (CredentialsRefused, ServerFailure, Unreachable)
}

Advance = Callable[[int], None]


class NotANumber(ServerFailure):
    """A vector contains NaN or infinity, which JSON cannot represent; gRPC can."""


class Reader:
    """One live collection, and the connection used to read it.

    Raises:
        NotFound: if the collection does not exist.
        Unreachable: if the connection is lost on the way.
    """

    def __init__(self, endpoint: Endpoint, collection: str) -> None:
        self.endpoint = endpoint
        self.collection = collection
        self._path = collection_path(collection)
        self._http = Http(
            endpoint, operation_timeout_seconds=BATCH_ANSWERS * endpoint.answer_seconds
        )
        try:
            described = self._http.get(self._path)
        except BaseException:
            self._http.close()
            raise
        self.points_count = int(described.get("points_count") or 0)
        self._limits = Limits.of(described["config"])

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def batch(self, wanted: int) -> int:
        """Return how many points to request at once: strict mode may allow fewer than wanted."""
        return within(wanted, self._limits.points)

    def points(self, *, vectors: bool) -> Iterator[list[Point]]:
        """Yield every point with its payload, with or without its vectors."""
        for points in self._scroll(BATCH, with_payload=True, with_vector=vectors):
            yield [_from_json(point) for point in points]

    def ids(self) -> Iterator[list[int | str]]:
        """Yield the id of every point."""
        for points in self._scroll(ID_BATCH, with_payload=False, with_vector=False):
            yield [point["id"] for point in points]

    def retrieve(self, ids: list[int | str], *, vectors: bool) -> Iterator[Point]:
        """Yield those of these points that still exist."""
        return map(_from_json, self.records(ids, vectors=vectors))

    def outlines(self, ids: list[int | str], by: str) -> list[Outline]:
        """Return the outlines of those of these points that still exist."""
        try:
            return [
                outline(point["id"], _from_json(point)[1], point.get("payload"), by)
                for point in self.records(ids, vectors=True)
            ]
        except NotANumber:
            payloads = {p["id"]: p.get("payload") for p in self.records(ids, vectors=False)}
            points = _retrieve_with_grpc(self, ids)
            return [outline(i, components, payloads.get(i), by) for i, components in points]

    def records(self, ids: list[int | str], *, vectors: bool) -> Iterator[dict[str, Any]]:
        """Yield those of these points that still exist, as Qdrant shows them."""
        size = within(BATCH, self._limits.reads)
        for start in range(0, len(ids), size):
            body = {"ids": ids[start : start + size], "with_payload": True, "with_vector": vectors}
            yield from self._ask("/points", body)

    def _scroll(self, batch: int, **what: bool) -> Iterator[list[dict[str, Any]]]:
        """Yield batch after batch; the server reads the next one while this one is processed."""
        body: dict[str, Any] = {"limit": self.batch(batch), **what}
        with ThreadPoolExecutor(max_workers=1) as pool:
            call: Future[Any] | None = pool.submit(self._ask, "/points/scroll", dict(body))
            while call:
                result = call.result()
                body["offset"] = result.get("next_page_offset")
                call = (
                    pool.submit(self._ask, "/points/scroll", dict(body))
                    if body["offset"] is not None
                    else None
                )
                yield result["points"]

    def _ask(self, path: str, body: dict[str, Any]) -> Any:
        # What all replicas agree on, and no answer while one of them is not current.
        agreed = "?consistency=all" if self.endpoint.cluster_urls else ""
        try:
            return orjson.loads(self._http.ask_raw(f"{self._path}{path}{agreed}", body))["result"]
        except (ValueError, KeyError, TypeError):
            raise not_qdrant(self._http.endpoint.url) from None


def read_fingerprint(endpoint: Endpoint, collection: str, advance: Advance) -> Fingerprint:
    """Return the fingerprint of a live collection; `advance` gets the size of each batch.

    If the gRPC port is known, a large collection is read by two processes: vectors over gRPC and
    payloads over REST. Everything else is read over REST, unless JSON cannot represent a vector.

    Raises:
        NotFound: if the collection does not exist.
        Unreachable: if the connection is lost on the way.
        NotANumber: if only REST responds, and a vector contains NaN or infinity.
    """
    with closing(Reader(endpoint, collection)) as reader:
        if reader.points_count > SMALL_POINTS:
            with suppress(GrpcClosed):
                return read_over_both(reader, advance)
            return read_over_rest(reader, advance)
        try:
            return read_over_rest(reader, advance)
        except NotANumber as refusal:
            try:
                return read_over_both(reader, lambda count: None)
            except GrpcClosed:
                raise refusal from None


def locate_live_points(
    endpoint: Endpoint, collection: str, buckets: frozenset[int], advance: Advance
) -> dict[int | str, bytes]:
    """Return id and leaf of each live point in one of the buckets.

    For all points only the ids are read; only points in the buckets are then read completely.

    Raises:
        NotFound, Unreachable, NotANumber: as `read_fingerprint`.
    """
    with closing(Reader(endpoint, collection)) as reader:
        wanted: list[int | str] = []
        for ids in reader.ids():
            wanted += [i for i in ids if canon.bucket_of(canon.id_bytes(i)) in buckets]
            advance(len(ids))
        try:
            points = list(reader.retrieve(wanted, vectors=True))
        except NotANumber:
            points = _retrieve_with_grpc(reader, wanted)
        return {identity: canon.point_leaf(identity, components) for identity, components in points}


def outline_live_points(
    endpoint: Endpoint,
    collection: str,
    buckets: frozenset[int],
    take: Callable[[list[Outline]], None],
    advance: Advance,
    *,
    by: str = "",
) -> None:
    """Give `take` the outline of each live point in the buckets, batch by batch.

    Raises:
        NotFound, Unreachable, NotANumber: as `read_fingerprint`.
    """
    with closing(Reader(endpoint, collection)) as reader:
        for ids in reader.ids():
            wanted = [i for i in ids if canon.bucket_of(canon.id_bytes(i)) in buckets]
            take(reader.outlines(wanted, by))
            advance(len(ids))


def retrieve_live_point(
    endpoint: Endpoint, collection: str, identity: int | str
) -> dict[str, Any] | None:
    """Return one live point: its `id`, `payload`, and `vectors` by name; None without it.

    Raises:
        NotFound, Unreachable: as `read_fingerprint`.
    """
    with closing(Reader(endpoint, collection)) as reader:
        for point in reader.records([identity], vectors=True):
            vectors = point.get("vector") or {}
            named = vectors if isinstance(vectors, dict) else {"": vectors}
            return {"id": point["id"], "payload": point.get("payload") or {}, "vectors": named}
    return None


def read_over_rest(reader: Reader, advance: Advance) -> Fingerprint:
    """Return the fingerprint of a collection that JSON can represent.

    Raises:
        NotANumber: if a vector contains NaN or infinity.
    """
    return _sum(reader.points(vectors=True), advance)


def read_over_both(reader: Reader, advance: Advance) -> Fingerprint:
    """Return the fingerprint of vectors, read by a separate process, and payloads, read here.

    Raises:
        GrpcClosed: if the gRPC port is unknown, or no gRPC server responds there.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=1) as pool:
        payloads = pool.submit(_sum, reader.points(vectors=False), lambda count: None, stop)
        try:
            vectors = _ask_for_vectors(reader, advance)
        except BaseException:
            stop.set()
            raise
        total = Accumulator()
        total.merge(payloads.result())
        total.merge(vectors)
    return total.result()


def _sum(
    batches: Iterator[list[Point]], advance: Advance, stop: threading.Event | None = None
) -> Fingerprint:
    total = Accumulator()
    for batch in batches:
        for identity, components in batch:
            total.add(identity, components)
        advance(len(batch))
        if stop and stop.is_set():
            break
    return total.result()


def _ask_for_vectors(reader: Reader, advance: Advance) -> Fingerprint:
    endpoint = reader.endpoint
    if endpoint.grpc_port is None:
        raise GrpcClosed
    asked = {
        "url": endpoint.url,
        "api_key": endpoint.api_key,
        "grpc_port": endpoint.grpc_port,
        "tls": endpoint.tls.as_json(),
        "plaintext_hosts": endpoint.plaintext_hosts,
        "answer_seconds": endpoint.answer_seconds,
        "collection": reader.collection,
        "batch": reader.batch(BATCH),
        "cluster_urls": endpoint.cluster_urls,
    }
    try:
        result = ask(
            VECTOR_READER,
            take=lambda line: advance(line.get("points", 0)),
            stdin=json.dumps(asked),
        )
    except ChildFailed as failure:
        raise _meaning(failure) from failure
    return Fingerprint.from_json(result)


def _meaning(failure: ChildFailed) -> Exception:
    kind = failure.line.get("kind")
    if kind == GrpcClosed.__name__:
        return GrpcClosed()
    error = _CHILD_ERRORS.get(str(kind), ServerFailure)
    hint = failure.line.get("hint") or (
        "Run this again; `inv stack.status` shows the state of the server."
    )
    return error(str(failure), hint=hint)


def _retrieve_with_grpc(reader: Reader, wanted: list[int | str]) -> list[Point]:
    """Read points of which JSON cannot represent one; this is rare, so in the simplest way."""
    from snapshot_tasks.qdrant.points_grpc import read_vectors

    found = dict(reader.retrieve(wanted, vectors=False))
    for batch in read_vectors(reader.endpoint, reader.collection, batch=reader.batch(BATCH)):
        for identity, vectors in batch:
            if identity in found:
                found[identity] += vectors
    return list(found.items())


def _from_json(point: dict[str, Any]) -> Point:
    components: list[tuple[Name, bytes]] = [(PAYLOAD_NAME, canon.payload(point.get("payload")))]
    vectors = point.get("vector") or {}
    named = vectors if isinstance(vectors, dict) else {"": vectors}
    try:
        components += [((VECTOR, name), canon.vector(vector)) for name, vector in named.items()]
    except struct.error as error:
        raise NotANumber(
            f"A vector of point {point['id']} contains NaN or infinity, which JSON cannot"
            " represent.",
            hint="Make the gRPC port reachable (QDRANT_GRPC_PORT), which supports every value.",
        ) from error
    return point["id"], components
