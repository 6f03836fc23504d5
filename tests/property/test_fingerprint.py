"""A fingerprint ignores order, batches, shards and readers, and reflects every other change.

`reference` is a second implementation, written from docs/fingerprint.md with the standard library.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import random
import struct
import zlib
from collections.abc import Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import numpy as np
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from qdrant_client import grpc as wire

from snapshot_tasks.domain import fingerprint as canon
from snapshot_tasks.domain.fingerprint import (
    BUCKETS,
    PAYLOAD_NAME,
    Accumulator,
    Fingerprint,
    Name,
    Table,
    bucket_of,
    id_bytes,
)
from snapshot_tasks.qdrant import points as rest
from snapshot_tasks.qdrant import points_grpc
from snapshot_tasks.sealing import reader_process as child

Point = dict[str, Any]
Components = list[tuple[Name, bytes]]
I64_MAX = (1 << 63) - 1
U64_MAX = (1 << 64) - 1


# The reference, written only from the document.


def reference_float(value: float) -> str:
    """Return a float as the document writes it: shortest digits, positional from 1e-5 to 1e16."""
    sign, digits, power = Decimal(repr(value)).as_tuple()
    assert isinstance(power, int)
    text = "".join(map(str, digits)).strip("0") or "0"
    if text == "0":
        return "-0.0" if sign else "0.0"
    exponent = power + len(digits) - 1
    if exponent >= 16 or exponent < -5:
        tail = f".{text[1:]}" if text[1:] else ""
        form = f"{text[0]}{tail}e{exponent:+d}"
    elif exponent < 0:
        form = "0." + "0" * (-exponent - 1) + text
    else:
        whole = exponent + 1
        form = f"{text[:whole].ljust(whole, '0')}.{text[whole:] or '0'}"
    return "-" * sign + form


def reference_json(value: Any) -> str:
    """Return canonical JSON."""
    if isinstance(value, dict):
        items = sorted(value.items(), key=lambda item: item[0].encode())
        return "{" + ",".join(f"{reference_json(k)}:{reference_json(v)}" for k, v in items) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(reference_json, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int) and -I64_MAX - 1 <= value <= I64_MAX:
        return str(value)
    return reference_float(float(value))


def reference_id(identity: int | str) -> bytes:
    """Return the bytes of an id."""
    if isinstance(identity, str):
        return b"u" + bytes.fromhex(identity.replace("-", ""))
    return b"n" + identity.to_bytes(8, "little")


def reference_vector(value: Any) -> bytes:
    """Return the bytes of a vector."""
    if isinstance(value, dict):
        pairs = sorted(zip(value["indices"], value["values"], strict=True))
        words = struct.pack(f"<{len(pairs) + 1}I", len(pairs), *(i for i, _ in pairs))
        return b"s" + words + struct.pack(f"<{len(pairs)}f", *(v for _, v in pairs))
    if value and isinstance(value[0], list):
        rows = (struct.pack(f"<{len(row)}f", *row) for row in value)
        return b"m" + struct.pack("<I", len(value)) + b"".join(rows)
    return b"d" + struct.pack(f"<{len(value)}f", *value)


def reference(points: list[Point]) -> str:
    """Return the digest of complete points."""
    tables: dict[bytes, list[list[int]]] = {}
    for point in points:
        key = reference_id(point["id"])
        bucket = zlib.crc32(key) >> 20
        parts = [(b"p", b"", reference_json(point["payload"] or {}).encode())]
        for name, value in point["vector"].items():
            parts.append((b"v", name.encode(), reference_vector(value)))
        for kind, name, content in parts:
            head = kind + struct.pack("<I", len(name)) + name
            low, high = struct.unpack("<QQ", hashlib.sha256(key + head + content).digest()[:16])
            table = tables.setdefault(head, [[0] * 4096, [0] * 4096, [0] * 4096])
            for lane, number in zip(table, (1, low, high), strict=True):
                lane[bucket] = (lane[bucket] + number) % 2**64
    total = hashlib.sha256(b"qdrant-points-1")
    for head in sorted(tables, key=lambda head: (head[:1], head[5:])):
        total.update(head + b"".join(struct.pack("<4096Q", *lane) for lane in tables[head]))
    return total.hexdigest()


# The three readers, all given the same point.


def from_json(point: Point) -> tuple[int | str, Components]:
    """Return the point as read over REST, with float32 values in their shortest text."""
    vectors = {
        name: {"indices": v["indices"], "values": np.array(v["values"], np.float32)}
        if isinstance(v, dict)
        else [np.array(row, np.float32) for row in v]
        if v and isinstance(v[0], list)
        else np.array(v, np.float32)
        for name, v in point["vector"].items()
    }
    numpy = orjson.OPT_SERIALIZE_NUMPY
    document = json.dumps({"id": point["id"], "payload": point["payload"]})[:-1].encode()
    text = document + b', "vector": ' + orjson.dumps(vectors, option=numpy) + b"}"
    return rest._from_json(orjson.loads(text))


def from_file(point: Point) -> tuple[int | str, Components]:
    """Return the point as the in-process engine returns it."""
    vectors = {
        name: SimpleNamespace(**v) if isinstance(v, dict) else v
        for name, v in point["vector"].items()
    }
    return point["id"], child._components(point["payload"], vectors)


def from_wire(point: Point) -> tuple[int | str, Components]:
    """Return the point as 1.17 sends it over gRPC."""
    return with_payload(point, points_grpc._from_wire(wire_point(point, wire_vector)))


def from_older_wire(point: Point) -> tuple[int | str, Components]:
    """Return the point as 1.16 sends it over gRPC."""
    return with_payload(point, points_grpc._from_wire(wire_point(point, older_wire_vector)))


def with_payload(point: Point, read: tuple[int | str, Components]) -> tuple[int | str, Components]:
    """Return a point read over gRPC with its payload, which is read over REST."""
    identity, vectors = read
    _, components = from_json({**point, "vector": {}})
    return identity, [*components, *vectors]


def wire_point(point: Point, vector: Callable[[Any], Any]) -> Any:
    """Return a point's message after encoding and decoding it."""
    identity = point["id"]
    vectors = {name: vector(value) for name, value in point["vector"].items()}
    message = wire.RetrievedPoint(
        id=wire.PointId(uuid=identity) if isinstance(identity, str) else wire.PointId(num=identity),
    )
    if vectors.keys() == {""}:
        message.vectors.vector.CopyFrom(vectors[""])
    elif vectors:
        message.vectors.CopyFrom(
            wire.VectorsOutput(vectors=wire.NamedVectorsOutput(vectors=vectors))
        )
    return wire.RetrievedPoint.FromString(message.SerializeToString())


def wire_vector(value: Any) -> Any:
    """Return the message of a vector in 1.17."""
    if isinstance(value, dict):
        return wire.VectorOutput(sparse=wire.SparseVector(**value))
    if value and isinstance(value[0], list):
        rows = [wire.DenseVector(data=row) for row in value]
        return wire.VectorOutput(multi_dense=wire.MultiDenseVector(vectors=rows))
    return wire.VectorOutput(dense=wire.DenseVector(data=value))


def older_wire_vector(value: Any) -> Any:
    """Return the message of a vector in 1.16."""
    if isinstance(value, dict):
        indices = wire.SparseIndices(data=value["indices"])
        return wire.VectorOutput(data=value["values"], indices=indices)
    if value and isinstance(value[0], list):
        flat = [number for row in value for number in row]
        return wire.VectorOutput(data=flat, vectors_count=len(value))
    return wire.VectorOutput(data=value)


READERS = [from_json, from_file, from_wire, from_older_wire]


def fingerprint(
    points: list[Point], reader: Callable[[Point], tuple[int | str, Components]] = from_file
) -> Fingerprint:
    """Return the fingerprint of complete points."""
    total = Accumulator()
    for point in points:
        total.add(*reader(point))
    return total.result()


# Strategies.

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
NUMBERS = (
    st.integers(-3, 3)
    | st.integers(-(1 << 70), 1 << 70)
    | st.sampled_from([2**53 - 1, 2**53, 2**53 + 1, I64_MAX, I64_MAX + 1, -I64_MAX - 2, U64_MAX])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0.0, -0.0, 1e22, 1e16, 9999999999999998.0, 1e-5, 1e-6, 1e-7, 5e-324])
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)
PAYLOADS = st.none() | st.dictionaries(st.text(max_size=4), VALUES, max_size=3)
DENSE = st.lists(FLOATS, min_size=1, max_size=4)
MULTI = st.integers(1, 3).flatmap(
    lambda size: st.lists(st.lists(FLOATS, min_size=size, max_size=size), min_size=1, max_size=3)
)
SPARSE = st.dictionaries(st.integers(0, (1 << 32) - 1), FLOATS, max_size=4).map(
    lambda pairs: {"indices": list(pairs), "values": list(pairs.values())}
)
NAMED = st.fixed_dictionaries({}, optional={"a": DENSE, "é": MULTI, "words": SPARSE})
IDS = st.integers(0, U64_MAX) | st.uuids().map(str)
COLLECTIONS = st.lists(
    st.fixed_dictionaries(
        {"id": IDS, "payload": PAYLOADS, "vector": NAMED | st.fixed_dictionaries({"": DENSE})}
    ),
    max_size=4,
    unique_by=lambda point: str(point["id"]),
)

FIXED: list[Point] = [
    {
        "id": 1,
        "payload": {
            "a": 1,
            "b": {"y": [1, 2.5, None, True, {}, []], "x": 'é \u2028\n"\\'},
            "n": 0.1,
        },
        "vector": {"a": [0.5, -0.0, 3.25], "late": [[1.0, 2.0], [3.0, 4.0]]},
    },
    {
        "id": U64_MAX,
        "payload": {"big": U64_MAX, "i64": I64_MAX, "small": 1e-7, "huge": 1e22, "zero": -0.0},
        "vector": {"a": [1.0, 2.0, 3.0], "words": {"indices": [7, 3], "values": [0.5, 0.25]}},
    },
    {
        "id": "00000000-0000-4000-8000-00000000000a",
        "payload": None,
        "vector": {"a": [0.1, 0.2, 0.3], "late": [[1.0, 2.0, 3.0, 4.0]]},
    },
    {"id": 0, "payload": {"a": "1"}, "vector": {"words": {"indices": [], "values": []}}},
    {"id": 10, "payload": {}, "vector": {}},
]
FIXED_DIGEST = "8b9010e8998ce7f59dd7ca2c13c31688f5e74aaee6a13e9bfbc269cc61ecfe8c"


# Differences that do not matter.


@settings(max_examples=15, deadline=None)
@given(points=COLLECTIONS)
def test_it_is_what_the_document_says(points: list[Point]) -> None:
    """A second implementation gets the same digest, from each reader."""
    expected = reference(points)
    for reader in READERS:
        assert fingerprint(points, reader).digest == expected, reader


def test_the_algorithm_stays() -> None:
    """The digest of one collection is fixed here: only change it with the algorithm's name."""
    assert canon.ALGORITHM == "qdrant-points-1"
    for reader in READERS:
        assert fingerprint(FIXED, reader).digest == FIXED_DIGEST
    assert reference(FIXED) == FIXED_DIGEST


def test_an_empty_collection_has_a_digest() -> None:
    """An empty collection has a digest too."""
    empty = fingerprint([])
    assert empty.points_count == 0
    assert empty.digest == hashlib.sha256(b"qdrant-points-1").hexdigest()


@settings(max_examples=15, deadline=None)
@given(points=COLLECTIONS, seed=st.randoms(use_true_random=False), shards=st.integers(1, 4))
def test_order_and_shards_do_not_matter(
    points: list[Point], seed: random.Random, shards: int
) -> None:
    """Points that are shuffled, spread over shards and merged through JSON give the same result."""
    shuffled = seed.sample(points, len(points))
    merged = Accumulator()
    for shard in range(shards):
        part = fingerprint(shuffled[shard::shards], seed.choice(READERS))
        merged.merge(Fingerprint.from_json(json.loads(json.dumps(part.as_json()))))
    whole = fingerprint(points)
    assert merged.result().as_json() == whole.as_json()
    assert merged.result().differences(whole) == ()
    assert whole.points_count == len(points)


@settings(max_examples=15, deadline=None)
@given(document=PAYLOADS)
@example(document={"a": 1e22, "b": 1e-7, "c": 1.5e16, "d": 0.00001234, "e": 123456.75})
@example(document={"\U0001f600": 1, "\uffff": 2, "é": 3, "e\u0301": 4, "": 5, "\x7f\x1f": 6})
@example(document={"a": [[[]], {"": {}}]})
def test_a_payload_is_the_json_of_the_document(document: dict[str, Any] | None) -> None:
    """The canonical payload equals the reference's, and means the same as the payload."""
    text = canon.payload(document)
    assert text == reference_json(document or {}).encode()
    assert json.loads(text) == json.loads(json.dumps(document or {}), parse_int=narrow)


def narrow(digits: str) -> int | float:
    """Read an integer as gRPC would transfer it."""
    number = int(digits)
    return number if -I64_MAX - 1 <= number <= I64_MAX else float(number)


@settings(max_examples=15, deadline=None)
@given(value=st.floats(allow_nan=False, allow_infinity=False) | NUMBERS.map(float))
def test_a_float_has_one_form(value: float) -> None:
    """The form of a float in the document is the one that is hashed."""
    assert canon.payload({"f": value}) == f'{{"f":{reference_float(value)}}}'.encode()


@settings(max_examples=15, deadline=None)
@given(document=st.dictionaries(st.text(max_size=3), VALUES, max_size=4))
def test_the_order_of_keys_does_not_matter(document: dict[str, Any]) -> None:
    """A payload with its keys reversed at every level is the same."""
    assert canon.payload(reversed_keys(document)) == canon.payload(document)


def reversed_keys(value: Any) -> Any:
    """Return the value with the keys of every object in reverse."""
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


def test_no_payload_is_an_empty_one() -> None:
    """No payload and an empty one are the same, as in Qdrant."""
    assert canon.payload(None) == canon.payload({}) == b"{}"


@pytest.mark.parametrize("number", [I64_MAX + 1, U64_MAX, -I64_MAX - 2, 1 << 70])
def test_integers_beyond_64_bit_signed_are_floats(number: int) -> None:
    """They arrive as floats over gRPC; the largest and the smallest that fit are exact."""
    assert canon.payload({"a": [number]}) == canon.payload({"a": [float(number)]})
    assert canon.payload({"a": I64_MAX}) == b'{"a":%d}' % I64_MAX
    assert canon.payload({"a": -I64_MAX - 1}) == b'{"a":%d}' % (-I64_MAX - 1)
    assert canon.payload({"a": I64_MAX}) != canon.payload({"a": I64_MAX - 1})


@settings(max_examples=15, deadline=None)
@given(pairs=st.dictionaries(st.integers(0, 99), FLOATS, max_size=5), seed=st.randoms())
def test_the_order_of_a_sparse_vector_does_not_matter(
    pairs: dict[int, float], seed: random.Random
) -> None:
    """An index and its value belong together, in any order."""
    shuffled = seed.sample(list(pairs.items()), len(pairs))
    first = canon.sparse(list(pairs), list(pairs.values()))
    assert canon.sparse([i for i, _ in shuffled], [v for _, v in shuffled]) == first


# Bits.


@settings(max_examples=15, deadline=None)
@given(words=st.lists(st.integers(0, (1 << 32) - 1), min_size=1, max_size=8), rows=st.booleans())
@example(words=[0x7FC12345, 0xFFC00001, 0x7F800000, 0x80000000, 0x7FFFFFFF], rows=False)
def test_wire_bits_are_kept(words: list[int], rows: bool) -> None:
    """Any 32 bits of a vector over gRPC are hashed, even NaN with its payload."""
    bits = struct.pack(f"<{len(words)}I", *words)
    # Any bytes are a valid packed field; the message is never built from Python floats.
    packed = b"\x0a" + bytes([len(bits)]) + bits
    message = wire.DenseVector.FromString(packed)
    if rows:
        multi = wire.MultiDenseVector(vectors=[message, message])
        vector = wire.VectorOutput(multi_dense=multi)
        assert points_grpc._vector(vector) == b"m" + struct.pack("<I", 2) + bits + bits
        vector = wire.VectorOutput.FromString(packed + b"\x18\x01")
        assert points_grpc._vector(vector) == b"m" + struct.pack("<I", 1) + bits
    else:
        assert points_grpc._vector(wire.VectorOutput(dense=message)) == b"d" + bits
        assert points_grpc._vector(wire.VectorOutput.FromString(packed)) == b"d" + bits


@settings(max_examples=15, deadline=None)
@given(words=st.lists(st.integers(0, (1 << 32) - 1).filter(lambda w: not signals(w)), max_size=8))
@example(words=[0x7FC12345, 0xFFC00001, 0x7F800000, 0xFF800000, 0x80000000, 1])
def test_python_floats_keep_the_bits(words: list[int]) -> None:
    """A list of floats gives the same bytes as its bits; quiet NaN keep their payload."""
    bits = struct.pack(f"<{len(words)}I", *words)
    values = list(memoryview(bits).cast("f"))
    assert canon.dense(values) == canon.dense_bits(bits)
    assert canon.multi([values]) == canon.multi_bits(1, bits)


def signals(word: int) -> bool:
    """Return whether these bits are a signalling NaN, which Python floats cannot represent."""
    return word & 0x7FC00000 == 0x7F800000 and word & 0x003FFFFF != 0


# Differences that matter.


@settings(max_examples=15, deadline=None)
@given(values=DENSE, data=st.data())
def test_one_bit_matters(values: list[float], data: st.DataObject) -> None:
    """Every single bit of every float of a vector."""
    bits = bytearray(struct.pack(f"<{len(values)}f", *values))
    before = canon.dense_bits(bytes(bits))
    place = data.draw(st.integers(0, 8 * len(bits) - 1))
    bits[place // 8] ^= 1 << place % 8
    first, second = Accumulator(), Accumulator()
    first.add(1, [(PAYLOAD_NAME, b"{}"), (("vector", ""), before)])
    second.add(1, [(PAYLOAD_NAME, b"{}"), (("vector", ""), canon.dense_bits(bytes(bits)))])
    (difference,) = first.result().differences(second.result())
    assert difference.name == ("vector", "")
    assert difference.buckets == {bucket_of(id_bytes(1))}
    assert first.result().digest != second.result().digest


Change = Callable[[list[Point]], Any]
P, A, LATE, WORDS = PAYLOAD_NAME, ("vector", "a"), ("vector", "late"), ("vector", "words")
UUID_ID = "00000000-0000-4000-8000-00000000000a"
FOREIGN = "00000000-0000-0000-0000-000000000001"


def put(number: int, *path: Any, value: Any) -> Change:
    """Set one value in a point."""

    def change(points: list[Point]) -> None:
        place: Any = points[number]
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


def drop(number: int, *path: Any) -> Change:
    """Remove one value from a point."""

    def change(points: list[Point]) -> None:
        place: Any = points[number]
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]

    return change


def swap_vectors(points: list[Point]) -> None:
    """Swap the vector `a` of two points."""
    first, second = points[0]["vector"], points[1]["vector"]
    first["a"], second["a"] = second["a"], first["a"]


def swap_payloads(points: list[Point]) -> None:
    """Swap two payloads."""
    points[0]["payload"], points[1]["payload"] = points[1]["payload"], points[0]["payload"]


def rename_vector(points: list[Point]) -> None:
    """Rename a vector."""
    points[0]["vector"]["b"] = points[0]["vector"].pop("a")


def swap_names(points: list[Point]) -> None:
    """Swap two vectors of a point."""
    vectors = points[2]["vector"]
    vectors["a"], vectors["late"] = vectors["late"], vectors["a"]


B: Name = ("vector", "b")
CHANGES: dict[str, tuple[Change, dict[Name, set[int | str]]]] = {
    "minus zero": (put(0, "vector", "a", 1, value=0.0), {A: {1}}),
    "one ulp": (put(1, "vector", "a", 0, value=1.0000001192092896), {A: {U64_MAX}}),
    "dropped element": (drop(0, "vector", "a", 2), {A: {1}}),
    "order of elements": (put(1, "vector", "a", value=[2.0, 1.0, 3.0]), {A: {U64_MAX}}),
    "id + 1": (put(4, "id", value=11), {P: {10, 11}}),
    "id - 1": (put(4, "id", value=9), {P: {10, 9}}),
    "int to uuid": (
        put(0, "id", value=FOREIGN),
        {P: {1, FOREIGN}, A: {1, FOREIGN}, LATE: {1, FOREIGN}},
    ),
    "uuid to int": (
        put(2, "id", value=11),
        {P: {UUID_ID, 11}, A: {UUID_ID, 11}, LATE: {UUID_ID, 11}},
    ),
    "key": (put(3, "payload", value={"b": "1"}), {P: {0}}),
    "nested key": (put(0, "payload", "b", "z", value=None), {P: {1}}),
    "integer to float": (put(0, "payload", "a", value=1.0), {P: {1}}),
    "integer to bool": (put(0, "payload", "a", value=True), {P: {1}}),
    "integer to string": (put(0, "payload", "a", value="1"), {P: {1}}),
    "integer to list": (put(0, "payload", "a", value=[1]), {P: {1}}),
    "float by one ulp": (put(0, "payload", "n", value=0.1 + 2**-56), {P: {1}}),
    "zero's sign": (put(1, "payload", "zero", value=0.0), {P: {U64_MAX}}),
    "integer by one": (put(1, "payload", "i64", value=I64_MAX - 1), {P: {U64_MAX}}),
    "order in a list": (put(0, "payload", "b", "y", value=[2.5, 1, None, True, {}, []]), {P: {1}}),
    "empty list to object": (put(0, "payload", "b", "y", 5, value={}), {P: {1}}),
    "null key dropped": (drop(0, "payload", "b", "y", 2), {P: {1}}),
    "normalised text": (put(0, "payload", "b", "x", value="e\u0301"), {P: {1}}),
    "payload lost": (put(3, "payload", value=None), {P: {0}}),
    "payload gained": (put(2, "payload", value={"a": None}), {P: {UUID_ID}}),
    "swapped vectors": (swap_vectors, {A: {1, U64_MAX}}),
    "swapped payloads": (swap_payloads, {P: {1, U64_MAX}}),
    "renamed vector": (rename_vector, {A: {1}, B: {1}}),
    "swapped names": (swap_names, {A: {UUID_ID}, LATE: {UUID_ID}}),
    "vector lost": (drop(0, "vector", "late"), {LATE: {1}}),
    "vector emptied": (put(0, "vector", "a", value=[]), {A: {1}}),
    "empty vector lost": (drop(3, "vector", "words"), {WORDS: {0}}),
    "sparse to dense": (put(3, "vector", "words", value=[]), {WORDS: {0}}),
    "dense to multi": (put(0, "vector", "a", value=[[0.5, -0.0, 3.25]]), {A: {1}}),
    "rows split": (put(0, "vector", "late", value=[[1.0, 2.0, 3.0, 4.0]]), {LATE: {1}}),
    "rows merged": (put(2, "vector", "late", value=[[1.0, 2.0], [3.0, 4.0]]), {LATE: {UUID_ID}}),
    "order of rows": (put(0, "vector", "late", value=[[3.0, 4.0], [1.0, 2.0]]), {LATE: {1}}),
    "sparse index": (put(1, "vector", "words", "indices", 0, value=8), {WORDS: {U64_MAX}}),
    "sparse value": (put(1, "vector", "words", "values", 0, value=0.75), {WORDS: {U64_MAX}}),
    "sparse pairing": (put(1, "vector", "words", "indices", value=[3, 7]), {WORDS: {U64_MAX}}),
    "added point": (lambda ps: ps.append({"id": 5, "payload": {}, "vector": {}}), {P: {5}}),
    "lost point": (lambda ps: ps.pop(4), {P: {10}}),
    "point twice": (lambda ps: ps.append(ps[1]), {P: {U64_MAX}, A: {U64_MAX}, WORDS: {U64_MAX}}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_seen_and_located(name: str) -> None:
    """The digest differs, and exactly the changed components and buckets are reported."""
    change, expected = CHANGES[name]
    points = copy.deepcopy(FIXED)
    change(points)
    before, after = fingerprint(FIXED), fingerprint(points)
    assert after.digest != before.digest
    assert after.digest == reference(points)
    for first, second in ((before, after), (after, before)):
        found = {difference.name: difference.buckets for difference in first.differences(second)}
        assert found == {
            name: {zlib.crc32(reference_id(identity)) >> 20 for identity in ids}
            for name, ids in expected.items()
        }


@pytest.mark.parametrize("kind", ["int", "uuid"])
def test_kinds_of_ids_never_meet(kind: str) -> None:
    """A number differs from the UUID of the same bytes; the spelling of a UUID does not matter."""
    number = 0x1122334455667788
    same = UUID(bytes=id_bytes(number)[1:] + bytes(8))
    assert id_bytes(number) != id_bytes(str(same))
    if kind == "uuid":
        assert id_bytes(str(same).upper()) == id_bytes(same.hex) == id_bytes(str(same))


@settings(max_examples=15, deadline=None)
@given(first=COLLECTIONS, second=COLLECTIONS)
def test_digests_are_equal_exactly_without_differences(
    first: list[Point], second: list[Point]
) -> None:
    """The digest and the list of differences never contradict each other."""
    one, other = fingerprint(first), fingerprint(second)
    assert (one.digest == other.digest) == (not one.differences(other))


def test_buckets_are_even() -> None:
    """Serial ids are spread over all buckets: none gets four times its share."""
    counts = [0] * BUCKETS
    for number in range(16 * BUCKETS):
        counts[bucket_of(id_bytes(number))] += 1
    assert max(counts) < 64
    assert min(counts) > 0


# The JSON form.


def test_json_comes_back() -> None:
    """Written JSON can be read again, and the summary is all of it except the buckets."""
    whole = fingerprint(FIXED)
    document = json.loads(json.dumps(whole.as_json()))
    read = Fingerprint.from_json(document)
    assert read.as_json() == document
    assert read.digest == FIXED_DIGEST
    for item in document["components"]:
        del item["buckets"]
    assert document == whole.summary()
    assert [(c["kind"], c["name"], c["points_count"]) for c in document["components"]] == [
        ("payload", "", 5),
        ("vector", "a", 3),
        ("vector", "late", 2),
        ("vector", "words", 2),
    ]


def bucket_byte(document: dict[str, Any]) -> None:
    """Change one bit of one sum."""
    table = bytearray(base64.b64decode(document["components"][1]["buckets"]))
    table[5 * 8 * BUCKETS // 2] ^= 1
    document["components"][1]["buckets"] = base64.b64encode(bytes(table)).decode()


def short_table(document: dict[str, Any]) -> None:
    """Truncate one table."""
    table = base64.b64decode(document["components"][0]["buckets"])[:-8]
    document["components"][0]["buckets"] = base64.b64encode(table).decode()


TAMPERINGS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "one bit of a sum": bucket_byte,
    "a cut table": short_table,
    "the digest": lambda d: d.update(digest="0" * 64),
    "no digest": lambda d: d.pop("digest"),
    "the algorithm": lambda d: d.update(algorithm="qdrant-points-2"),
    "no algorithm": lambda d: d.pop("algorithm"),
    "a component's name": lambda d: d["components"][1].update(name="b"),
    "a component's kind": lambda d: d["components"][0].update(kind="vector"),
    "a kind with the same initial": lambda d: d["components"][1].update(kind="vectors"),
    "a component twice": lambda d: d["components"].append(d["components"][0]),
    "a component lost": lambda d: d["components"].pop(),
    "no buckets": lambda d: d["components"][0].pop("buckets"),
    "buckets that are no base64": lambda d: d["components"][0].update(buckets="é"),
    "buckets that are no text": lambda d: d["components"][0].update(buckets=1),
    "no components": lambda d: d.pop("components"),
    "components that are no list": lambda d: d.update(components=1),
    "a component that is none": lambda d: d["components"].append("x"),
    "a count": lambda d: d["components"][1].update(points_count=4),
    "the whole count": lambda d: d.update(points_count=4),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampered_json_is_refused(name: str) -> None:
    """Sums that do not match the digest are rejected."""
    document = fingerprint(FIXED).as_json()
    TAMPERINGS[name](document)
    with pytest.raises(ValueError, match=r".+"):
        Fingerprint.from_json(document)


@pytest.mark.parametrize("document", [[], "x", 1, None])
def test_json_that_is_no_object_is_refused(document: Any) -> None:
    """A fingerprint file may contain anything."""
    with pytest.raises(ValueError, match=r".+"):
        Fingerprint.from_json(document)


def test_a_table_adds_up_modulo_64_bit() -> None:
    """Lanes wrap around instead of growing."""
    table = Table.from_bytes(b"\xff" * (3 * 8 * BUCKETS))
    table.add(Table.from_bytes((1).to_bytes(8, "little") * (3 * BUCKETS)))
    folded = table.folded()
    assert folded.low == folded.high == [0] * BUCKETS
