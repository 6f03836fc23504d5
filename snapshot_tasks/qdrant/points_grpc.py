"""Reads every vector of a collection over gRPC.

As a program, it works for `points.py` in a separate process. Reading vectors over gRPC here and
payloads over REST there at the same time is faster than reading both in one process, and a payload
is much cheaper to read from JSON than from gRPC's messages.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import json
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import grpc

from snapshot_tasks.domain import fingerprint as canon
from snapshot_tasks.domain.endpoint import Endpoint, Tls
from snapshot_tasks.domain.fingerprint import VECTOR, Accumulator, Name, Point
from snapshot_tasks.qdrant.errors import LOG_HINT
from snapshot_tasks.qdrant.guard import refuse_exposed_key
from snapshot_tasks.qdrant.http import BATCH_ANSWERS, GrpcClosed
from snapshot_tasks.qdrant.limits import Patience
from snapshot_tasks.system.children import say
from snapshot_tasks.system.errors import CredentialsRefused, ServerFailure, TaskError, Unreachable


def _import_messages() -> Any:
    """Import only the gRPC messages of qdrant-client: all of it takes eight times as long.

    Meanwhile a stand-in replaces its package, so that other code can still import all of it.
    """
    name = "qdrant_client"
    if name in sys.modules:
        return importlib.import_module(f"{name}.grpc")
    spec = importlib.util.find_spec(name)
    assert spec is not None
    stand_in = ModuleType(name)
    stand_in.__path__ = list(spec.submodule_search_locations or ())
    sys.modules[name] = stand_in
    try:
        return importlib.import_module(f"{name}.grpc")
    finally:
        del sys.modules[name]


wire = _import_messages()
_CHANNEL_OPTIONS = (
    ("grpc.compression_enabled_algorithms_bitset", 1),
    ("grpc.max_receive_message_length", -1),
)
_REFUSED = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


def read_vectors(endpoint: Endpoint, collection: str, *, batch: int) -> Iterator[list[Point]]:
    """Yield every point with its vectors. Raises `GrpcClosed` before the first batch only."""
    if endpoint.grpc_port is None:
        raise GrpcClosed
    metadata = (("api-key", endpoint.api_key),) if endpoint.api_key else ()
    request = wire.ScrollPoints(
        collection_name=collection,
        limit=batch,
        with_payload=wire.WithPayloadSelector(enable=False),
        with_vectors=wire.WithVectorsSelector(enable=True),
        read_consistency=wire.ReadConsistency(type=wire.ReadConsistencyType.All)
        if endpoint.cluster_urls
        else None,
    )
    first = True
    with _channel(endpoint) as channel:
        stub: Any = wire.PointsStub(channel)

        def ask() -> Any:
            return stub.Scroll.future(
                request, timeout=BATCH_ANSWERS * endpoint.answer_seconds, metadata=metadata
            )

        call, patience = ask(), Patience()
        while call is not None:
            try:
                answer = call.result()
            except grpc.RpcError as error:
                if _delayed(error, patience):
                    call = ask()
                    continue
                raise _meaning(error, endpoint, first=first) from error
            first, call, patience = False, None, Patience()
            if answer.HasField("next_page_offset"):
                # The server reads the next batch while this one is hashed here.
                request.offset.CopyFrom(answer.next_page_offset)
                call = ask()
            yield [_from_wire(point) for point in answer.result]


def main() -> int:
    """Print the fingerprint of all vectors of the collection described on stdin."""
    asked = json.load(sys.stdin)
    endpoint = Endpoint(
        url=asked["url"],
        api_key=asked["api_key"],
        grpc_port=int(asked["grpc_port"]),
        tls=Tls.from_json(asked["tls"]),
        plaintext_hosts=tuple(asked["plaintext_hosts"]),
        answer_seconds=asked["answer_seconds"],
        cluster_urls=tuple(asked["cluster_urls"]),
    )
    gc.disable()
    total = Accumulator()
    try:
        for points in read_vectors(endpoint, asked["collection"], batch=asked["batch"]):
            for identity, components in points:
                total.add(identity, components)
            say(points=len(points))
    except GrpcClosed:
        say(kind="GrpcClosed", failure="no gRPC server responds there")
        return 1
    except TaskError as error:
        say(kind=type(error).__name__, failure=error.message, hint=error.hint)
        return 1
    say(result=total.result().as_json())
    return 0


def _channel(endpoint: Endpoint) -> Any:
    """Return a connection like that of REST: encrypted if that is, no proxy to this machine."""
    refuse_exposed_key(endpoint)
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    target = f"{host}:{endpoint.grpc_port}"
    options = [*_CHANNEL_OPTIONS, ("grpc.enable_http_proxy", int(not endpoint.is_loopback))]
    if not endpoint.is_https:
        return grpc.insecure_channel(target, options=options)
    tls = endpoint.tls
    ca, certificate, key = (
        path.read_bytes() if path else None for path in (tls.ca_file, tls.cert_file, tls.key_file)
    )
    credentials = grpc.ssl_channel_credentials(ca, key, certificate)
    return grpc.secure_channel(target, credentials, options=options)


def _delayed(error: Any, patience: Patience) -> bool:
    """Wait if a rate limit refused the request; return whether to send it again."""
    if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
        return False
    return patience.waits(dict(error.trailing_metadata() or ()).get("retry-after"))


def _meaning(error: Any, endpoint: Endpoint, *, first: bool) -> Exception:
    code = error.code()
    if code in _REFUSED:
        return CredentialsRefused(
            f"Qdrant at {endpoint.url} refused the credentials over gRPC.",
            hint="Set QDRANT_API_KEY or QDRANT_API_KEY_FILE to a key with the right to read.",
        )
    if first and code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND):
        return GrpcClosed()
    if code is grpc.StatusCode.UNAVAILABLE:
        return Unreachable(
            f"The connection to Qdrant at {endpoint.url} was lost while reading points.",
            hint="Check that it is still running with `inv stack.status`.",
        )
    details = str(error.details())
    if endpoint.api_key:
        details = details.replace(endpoint.api_key, "***")
    return ServerFailure(
        f"Qdrant at {endpoint.url} returned a gRPC error: {details}.",
        hint=LOG_HINT,
    )


def _from_wire(point: Any) -> Point:
    identity = point.id.uuid or point.id.num
    vectors = point.vectors
    if vectors.HasField("vectors"):
        named = vectors.vectors.vectors.items()
        return identity, [((VECTOR, name), _vector(vector)) for name, vector in named]
    if vectors.HasField("vector"):
        return identity, [(_UNNAMED, _vector(vectors.vector))]
    return identity, []


_UNNAMED: Name = (VECTOR, "")


def _vector(vector: Any) -> bytes:
    """Return a vector's canonical bytes, typed or in the older form (`domain/versions.py`)."""
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
    """Return the float32 bits, which are packed at the end of the serialised message."""
    size = 4 * len(dense.data)
    message: bytes = dense.SerializeToString()
    return message[-size:] if size else b""


if __name__ == "__main__":
    sys.exit(main())
