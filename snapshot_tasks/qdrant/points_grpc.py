"""Reading every point over gRPC.

Importing this costs a second and 50 MB, so it is imported where points are really read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import grpc
from qdrant_client import grpc as wire

from snapshot_tasks import fingerprint as canon
from snapshot_tasks.errors import CredentialsRefused, ServerFailure, Unreachable
from snapshot_tasks.fingerprint import PAYLOAD_NAME, VECTOR, Name, Point
from snapshot_tasks.models import Endpoint

BATCH = 1000
BATCH_SECONDS = 120.0
_CHANNEL_OPTIONS = (
    ("grpc.compression_enabled_algorithms_bitset", 1),
    ("grpc.max_receive_message_length", -1),
)
_REFUSED = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


class GrpcUnavailable(Exception):
    """Nothing speaks gRPC at that port."""


def read_over_grpc(endpoint: Endpoint, collection: str) -> Iterator[list[Point]]:
    """Yield every point over gRPC. Raises `GrpcUnavailable` before the first batch only."""
    if endpoint.grpc_port is None:
        raise GrpcUnavailable
    host = urlsplit(endpoint.url).hostname
    metadata = (("api-key", endpoint.api_key),) if endpoint.api_key else ()
    request = wire.ScrollPoints(
        collection_name=collection,
        limit=BATCH,
        with_payload=wire.WithPayloadSelector(enable=True),
        with_vectors=wire.WithVectorsSelector(enable=True),
    )
    first = True
    with grpc.insecure_channel(f"{host}:{endpoint.grpc_port}", options=_CHANNEL_OPTIONS) as channel:
        stub: Any = wire.PointsStub(channel)  # type: ignore[no-untyped-call]

        def ask() -> Any:
            return stub.Scroll.future(request, timeout=BATCH_SECONDS, metadata=metadata)

        call = ask()
        while call is not None:
            try:
                answer = call.result()
            except grpc.RpcError as error:
                raise _meaning(error, endpoint, first=first) from error
            first, call = False, None
            if answer.HasField("next_page_offset"):
                # The server reads the next batch while this one is hashed here.
                request.offset.CopyFrom(answer.next_page_offset)
                call = ask()
            yield [_from_wire(point) for point in answer.result]


def _meaning(error: Any, endpoint: Endpoint, *, first: bool) -> Exception:
    code = error.code()
    if code in _REFUSED:
        return CredentialsRefused(
            f"Qdrant at {endpoint.url} refused the credentials over gRPC.",
            hint="Set QDRANT_API_KEY or QDRANT_API_KEY_FILE to a key that may read.",
        )
    if first and code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND):
        return GrpcUnavailable()
    if code is grpc.StatusCode.UNAVAILABLE:
        return Unreachable(
            f"Qdrant at {endpoint.url} was lost while its points were read.",
            hint="Is it still running? `inv stack.status` says.",
        )
    return ServerFailure(
        f"Qdrant at {endpoint.url} answered over gRPC: {error.details()}.",
        hint="`inv stack.logs` shows what the server says about it.",
    )


def _from_wire(point: Any) -> Point:
    identity = point.id.uuid if point.id.WhichOneof("point_id_options") == "uuid" else point.id.num
    document = {key: _value(value) for key, value in point.payload.items()}
    components: list[tuple[Name, bytes]] = [(PAYLOAD_NAME, canon.payload(document))]
    which = point.vectors.WhichOneof("vectors_options")
    if which == "vector":
        components.append(((VECTOR, ""), _vector(point.vectors.vector)))
    elif which == "vectors":
        components += [
            ((VECTOR, name), _vector(vector))
            for name, vector in point.vectors.vectors.vectors.items()
        ]
    return identity, components


def _vector(vector: Any) -> bytes:
    """Return a vector's canonical bytes, from the form of 1.17 or that of the versions before."""
    which = vector.WhichOneof("vector")
    if which == "dense":
        return canon.dense_bits(_bits(vector.dense))
    if which == "multi_dense":
        rows = vector.multi_dense.vectors
        return canon.multi_bits(len(rows), b"".join(_bits(row) for row in rows))
    if which == "sparse":
        return canon.sparse(vector.sparse.indices, vector.sparse.values)
    if vector.HasField("indices"):
        return canon.sparse(vector.indices.data, vector.data)
    bits = _bits(wire.DenseVector(data=vector.data))
    if vector.HasField("vectors_count"):
        return canon.multi_bits(vector.vectors_count, bits)
    return canon.dense_bits(bits)


def _bits(dense: Any) -> bytes:
    """Return the float32 bits: they are the end of the serialised message, packed."""
    size = 4 * len(dense.data)
    message: bytes = dense.SerializeToString()
    return message[-size:] if size else b""


def _struct(value: Any) -> dict[str, Any]:
    return {key: _value(item) for key, item in value.struct_value.fields.items()}


def _list(value: Any) -> list[Any]:
    return [_value(item) for item in value.list_value.values]


_VALUES: dict[str | None, Callable[[Any], Any]] = {
    "string_value": lambda value: value.string_value,
    "integer_value": lambda value: value.integer_value,
    "double_value": lambda value: value.double_value,
    "bool_value": lambda value: value.bool_value,
    "struct_value": _struct,
    "list_value": _list,
    "null_value": lambda value: None,
    None: lambda value: None,
}


def _value(value: Any) -> Any:
    return _VALUES[value.WhichOneof("kind")](value)
