"""On real servers: gRPC, REST, the file and a restore agree on every point."""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import random
import struct
import uuid
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from qdrant_client import grpc as wire

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.fingerprint import BUCKETS, Fingerprint
from snapshot_tasks.engines.native import NativeEngine
from snapshot_tasks.operations.create.one import create
from snapshot_tasks.operations.create.request import CreateRequest
from snapshot_tasks.operations.create.seal import FreshServers
from snapshot_tasks.qdrant.points import (
    SMALL_POINTS,
    Advance,
    NotANumber,
    Reader,
    locate_live_points,
    read_fingerprint,
    read_over_both,
    read_over_rest,
)
from snapshot_tasks.sealing.reader import Contents, locate_points, read_contents
from snapshot_tasks.settings import load_settings
from snapshot_tasks.system.children import ask
from snapshot_tasks.system.progress import Silent
from tests.conftest import NEWER, OLDER, Live, now
from tests.support.ports import free_ports

NAMES = (f"c{number}" for number in itertools.count())
MAX_ID = (1 << 64) - 1
UUID = "12345678-9abc-4def-8123-456789abcdef"


@pytest.fixture(params=[OLDER, NEWER])
def live(request: pytest.FixtureRequest) -> Live:
    """Each version in turn."""
    server: Live = request.getfixturevalue("older_qdrant" if request.param == OLDER else "qdrant")
    return server


def read(live: Live, name: str, how: Callable[[Reader, Advance], Fingerprint]) -> Fingerprint:
    """Return the fingerprint from one way of reading."""
    with closing(Reader(live.fresh.endpoint, name)) as reader:
        return how(reader, lambda count: None)


def download(live: Live, name: str, folder: Path) -> Path:
    """Take a snapshot and download it."""
    path = folder / f"{next(NAMES)}.snapshot"
    content = bytearray()
    with live.server() as server:
        server.snapshots.download(
            name, server.snapshots.create(name, server.snapshots.mark(name)), content.extend
        )
    path.write_bytes(content)
    return path


def restore(live: Live, path: Path) -> str:
    """Restore a file as a separate collection and return its name."""
    name = f"restored-{next(NAMES)}"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with live.server() as server, path.open("rb") as file:
        server.snapshots.upload(
            name, file, digest, name="copy.snapshot", advance=lambda count: None
        )
    return name


def assert_all_agree(
    live: Live, name: str, folder: Path, *others: Live, rest: bool = True
) -> Contents:
    """Compare gRPC, REST, the file, and restores into the others."""
    expected = read(live, name, read_over_both)
    assert expected.points_count == live.loader.count(name)
    if rest:
        assert read(live, name, read_over_rest).differences(expected) == ()
    path = download(live, name, folder)
    contents = read_contents(path, Silent())
    assert contents.fingerprint.differences(expected) == ()
    assert contents.fingerprint.digest == expected.digest
    for other in others:
        restored = restore(other, path)
        assert read(other, restored, read_over_both).digest == expected.digest
        if rest:
            assert read(other, restored, read_over_rest).digest == expected.digest
    return contents


def make(live: Live, config: dict[str, Any], points: list[dict[str, Any]]) -> str:
    """Make a collection of these points."""
    name = next(NAMES)
    live.loader.request("PUT", f"/collections/{name}", config)
    live.loader.fill(name, iter(points))
    return name


@pytest.mark.parametrize("points", [1, 2500])
def test_two_readers_find_what_one_does(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, points: int
) -> None:
    """Slices of a shard with both kinds of ids: fingerprint, sanity counts and search results."""
    name = make(
        live,
        {"vectors": {"size": 4, "distance": "Cosine"}},
        [
            {
                "id": number if number % 2 else str(uuid.UUID(int=number + 1)),
                "vector": [number % 7, 1.0, -number, 0.5],
                "payload": {"number": number},
            }
            for number in range(points)
        ],
    )
    path = download(live, name, tmp_path)
    alone = read_contents(path, Silent(), points_count=1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    asked: list[str] = []

    def noted(module: str, *arguments: str, **more: Any) -> dict[str, Any]:
        asked.append(arguments[3])
        return ask(module, *arguments, **more)

    monkeypatch.setattr("snapshot_tasks.sealing.reader.ask", noted)
    shared = read_contents(path, Silent())
    assert set(asked) == {"2"}
    assert shared.fingerprint.digest == alone.fingerprint.digest
    assert shared.fingerprint.points_count == points
    assert (shared.sanity, shared.probes) == (alone.sanity, alone.probes)


@pytest.mark.parametrize("shards", [1, 2])
def test_a_plain_collection(live: Live, qdrant: Live, tmp_path: Path, shards: int) -> None:
    """More points than one batch, cosine vectors, one shard and two."""
    name = next(NAMES)
    live.loader.plain(name, points=2500, dimensions=16, shards=shards)
    contents = assert_all_agree(live, name, tmp_path, live, qdrant)
    assert contents.pending_count == 0
    assert len(contents.log_ends) == shards


def test_a_rich_collection(live: Live, qdrant: Live, tmp_path: Path) -> None:
    """Named, multi, float16, uint8, sparse and quantized vectors, indexes, two shards, deletes."""
    name = next(NAMES)
    live.loader.rich(name)
    assert_all_agree(live, name, tmp_path, qdrant)


def test_ids_and_points_without_vectors_or_payload(
    live: Live, qdrant: Live, tmp_path: Path
) -> None:
    """The smallest and largest number, UUIDs, and points with little more than an id."""
    vectors = {"a": {"size": 2, "distance": "Dot"}, "b": {"size": 3, "distance": "Cosine"}}
    points: list[dict[str, Any]] = [
        {"id": 0, "vector": {}},
        {"id": 1, "vector": {"a": [1, 2]}, "payload": {}},
        {"id": (1 << 63) - 1, "vector": {"b": [1, 2, 3]}, "payload": {"x": None}},
        {"id": 1 << 63, "vector": {"b": [0, 0, 0]}},
        {
            "id": MAX_ID,
            "vector": {"a": [-0.0, 1e-45], "b": [3e38, 1e-38, 0.1]},
            "payload": {"y": 1},
        },
        {"id": UUID, "vector": {}, "payload": {"only": "payload"}},
        {"id": "00000000-0000-0000-0000-000000000000", "vector": {"a": [0, 0]}},
    ]
    name = make(live, {"vectors": vectors, "shard_number": 2}, points)
    contents = assert_all_agree(live, name, tmp_path, qdrant)
    assert contents.fingerprint.points_count == len(points)
    assert contents.sanity["without_vector"] == 2


MULTIVECTOR = {"comparator": "max_sim"}
KINDS: dict[str, tuple[dict[str, Any], Callable[[int, random.Random], Any]]] = {
    "unnamed multi": (
        {"vectors": {"size": 2, "distance": "Cosine", "multivector_config": MULTIVECTOR}},
        lambda n, rng: [[rng.random(), rng.random()] for _ in range(1 + n % 4)],
    ),
    "multi of one": (
        {"vectors": {"size": 1, "distance": "Dot", "multivector_config": MULTIVECTOR}},
        lambda n, rng: [[rng.random()] for _ in range(1 + n % 4)],
    ),
    "unnamed sparse": (
        {"sparse_vectors": {"": {}}},
        lambda n, rng: {
            "": {
                "indices": rng.sample([0, 1, 7, 1 << 20, (1 << 32) - 1], n % 6),
                "values": [rng.uniform(-1, 1) for _ in range(n % 6)],
            }
        },
    ),
    "sparse float16": (
        {"sparse_vectors": {"s": {"index": {"datatype": "float16"}}}},
        lambda n, rng: {"s": {"indices": [n, n + 9], "values": [rng.random(), rng.random()]}},
    ),
    "float16": (
        {"vectors": {"size": 3, "distance": "Cosine", "datatype": "float16"}},
        lambda n, rng: [rng.gauss(0, 100) for _ in range(3)],
    ),
    "uint8": (
        {"vectors": {"size": 3, "distance": "Dot", "datatype": "uint8"}},
        lambda n, rng: [rng.randrange(256) for _ in range(3)],
    ),
    "multi uint8": (
        {
            "vectors": {
                "m": {
                    "size": 2,
                    "distance": "Dot",
                    "datatype": "uint8",
                    "multivector_config": MULTIVECTOR,
                }
            }
        },
        lambda n, rng: {"m": [[float(rng.randrange(256)), float(n)] for _ in range(1 + n % 3)]},
    ),
    "any float32": (
        {"vectors": {"size": 4, "distance": "Euclid"}},
        lambda n, rng: [finite(rng) for _ in range(4)],
    ),
    "on disk, manhattan": (
        {"vectors": {"size": 3, "distance": "Manhattan", "on_disk": True}, "on_disk_payload": True},
        lambda n, rng: [finite(rng) for _ in range(3)],
    ),
    "unicode names": (
        {
            "vectors": {
                "é 漢/字": {"size": 1, "distance": "Dot"},
                "e\u0301": {"size": 1, "distance": "Dot"},
            }
        },
        lambda n, rng: {"é 漢/字": [n], "e\u0301": [-n]},
    ),
}


def finite(rng: random.Random) -> float:
    """Return a float32 of random bits, including subnormal numbers and -0.0."""
    value = math.nan
    while not math.isfinite(value):
        bits = rng.choice([rng.getrandbits(32), rng.getrandbits(20), 0x80000000])
        (value,) = struct.unpack("<f", struct.pack("<I", bits))
    return value


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_vector(live: Live, qdrant: Live, tmp_path: Path, kind: str) -> None:
    """Each kind of vector, alone in its collection."""
    config, vector = KINDS[kind]
    rng = random.Random(kind)
    points = [{"id": n, "vector": vector(n, rng), "payload": {"n": n}} for n in range(120)]
    assert_all_agree(live, make(live, config, points), tmp_path, qdrant)


PAYLOADS: list[dict[str, Any]] = [
    {},
    {"a": None, "b": [], "c": {}, "d": [None, [], {}, [[]], ""], "": {"": [{"": None}]}},
    {"i": [0, -1, 2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)]},
    {"u": [2**63, 2**63 + 1, 2**64 - 1], "beyond": [2**64, -(2**63) - 1, 2**70, 10**30]},
    {"f": [0.1 + 0.2, 1e22, -0.0, 0.0, 1.0, -1.0, 1e16, 1e-5, 1e-6, 1e-7, 5e-324, 1.7e307]},
    {"f": [9007199254740993.0, 1e15, 9999999999999998.0, 2.0**63, 2.0**64, 1.7976931348623157e308]},
    {"ключ": "значення", "漢字": {"é": 1, "e\u0301": 2}, "😀": "\U0001f600", "a.b": 1, 'q"\\': 2},
    {"text": '\x00\x01\x1f\x7f\u2028\u2029\ufeff\ufffd/\\"\n\r\t'},
    {"same": [1, 1.0, True, "1", [1], {"1": 1}]},
    {"z": 1, "y": {"z": 1, "y": {"z": 1, "a": 2}, "a": 2}, "a": {"b": 1, "a": 2}},
    {"deep": [[[[[[[[[[{"a": [{"b": [{"c": []}]}]}]]]]]]]]]]},
    {"long": "x" * 100_000, "many": {str(n): n for n in range(500)}},
]


def test_strange_payloads(live: Live, qdrant: Live, tmp_path: Path) -> None:
    """For any JSON in a payload, all readers agree on it."""
    points = [{"id": n, "vector": {}, "payload": p} for n, p in enumerate(PAYLOADS)]
    config = {"vectors": {"v": {"size": 1, "distance": "Dot"}}}
    assert_all_agree(live, make(live, config, points), tmp_path, qdrant)
    config["on_disk_payload"] = True  # type: ignore[assignment]
    assert_all_agree(live, make(live, config, points), tmp_path, qdrant)


def test_random_floats_in_payloads(live: Live, qdrant: Live, tmp_path: Path) -> None:
    """No reader rounds a float."""
    rng = random.Random(3)
    values = [struct.unpack("<d", rng.randbytes(8))[0] for _ in range(3000)]
    values += [rng.uniform(-1, 1) * 10.0 ** rng.randrange(-12, 24) for _ in range(3000)]
    values = [value for value in values if math.isfinite(value)]
    points = [{"id": n, "vector": {}, "payload": {"f": values[n::50]}} for n in range(50)]
    assert_all_agree(live, make(live, {"vectors": {}}, points), tmp_path, qdrant)


def test_not_a_number_over_grpc(live: Live, qdrant: Live, tmp_path: Path) -> None:
    """NaN with its bits, and infinity: gRPC, file and restore agree; REST says that it cannot."""
    words = [
        [0x7FC00000, 0x7FC12345],
        [0xFFC00001, 0x3F800000],
        [0x7F800000, 0xFF800000],
    ]
    name = make(live, {"vectors": {"size": 2, "distance": "Dot"}}, [])
    points = [
        wire.PointStruct(
            id=wire.PointId(num=number),
            vectors=wire.Vectors(
                vector=wire.Vector.FromString(b"\x0a\x08" + struct.pack("<2I", *pair))
            ),
        )
        for number, pair in enumerate(words)
    ]
    endpoint = live.fresh.endpoint
    with grpc.insecure_channel(f"127.0.0.1:{endpoint.grpc_port}") as channel:
        stub: Any = wire.PointsStub(channel)  # type: ignore[no-untyped-call]
        stub.Upsert(wire.UpsertPoints(collection_name=name, wait=True, points=points))
    contents = assert_all_agree(live, name, tmp_path, qdrant, rest=False)
    assert contents.sanity["nan_vectors"] == {"": 3}
    with pytest.raises(NotANumber, match="JSON cannot represent"):
        read(live, name, read_over_rest)
    found = read_fingerprint(endpoint, name, lambda count: None)
    assert found.digest == contents.fingerprint.digest
    without_grpc = replace(endpoint, grpc_port=None)
    with pytest.raises(NotANumber, match="JSON cannot represent"):
        read_fingerprint(without_grpc, name, lambda count: None)
    everywhere = frozenset(range(BUCKETS))
    located = locate_live_points(endpoint, name, everywhere, lambda count: None)
    assert located == locate_points(download(live, name, tmp_path), everywhere, Silent())
    assert len(located) == 3


def test_deletes_and_overwrites(live: Live, qdrant: Live, tmp_path: Path) -> None:
    """Only the final state counts, not how it was reached; undoing a change restores the value."""
    points: list[dict[str, Any]] = [
        {"id": n, "vector": [n % 5, 1], "payload": {"n": n}} for n in range(400)
    ]
    name = make(live, {"vectors": {"size": 2, "distance": "Cosine"}, "shard_number": 2}, points)
    before = read(live, name, read_over_both)
    send, of = live.loader.request, f"/collections/{name}/points"
    send("POST", f"{of}/delete", {"points": list(range(0, 400, 3))})
    send("PUT", of, {"points": [{**p, "vector": [7, 7]} for p in points[:90]]})
    send("POST", f"{of}/payload", {"payload": {"m": [1]}, "points": [1, 2, 5]})
    send("POST", f"{of}/payload/delete", {"keys": ["n"], "points": [4, 5]})
    send("POST", f"{of}/payload/clear", {"points": [7]})
    send("POST", f"{of}/vectors/delete", {"points": [8], "vector": [""]})
    assert read(live, name, read_over_both).digest != before.digest
    assert_all_agree(live, name, tmp_path, qdrant)
    live.loader.fill(name, iter(points))
    assert read(live, name, read_over_both).digest == before.digest
    assert_all_agree(live, name, tmp_path, qdrant)


def test_a_log_of_many_files_is_counted_to_its_end(live: Live, tmp_path: Path) -> None:
    """With a log of small files, the operation numbers continue across closed files."""
    config = {
        "vectors": {"size": 256, "distance": "Dot"},
        "wal_config": {"wal_capacity_mb": 1},
    }
    name = make(live, config, [])
    send = live.loader.request
    for batch in range(12):
        points = [{"id": batch * 300 + n, "vector": [n + 0.5] * 256} for n in range(300)]
        send("PUT", f"/collections/{name}/points", {"points": points})
    contents = assert_all_agree(live, name, tmp_path, live)
    assert contents.pending_count == 0
    (end,) = contents.log_ends.values()
    assert end >= 11


# Queued writes.


def flood(live: Live, name: str, seed: int) -> None:
    """Queue upserts, overwrites and deletes, and one that is rejected, without waiting for any."""
    rng = random.Random(seed)
    with httpx.Client(base_url=live.url, timeout=60, trust_env=False) as client:
        for batch in range(12):
            points = [
                {
                    "id": rng.randrange(9000),
                    "vector": [rng.random() for _ in range(32)],
                    "payload": {"batch": batch, "seed": seed},
                }
                for _ in range(400)
            ]
            of = f"/collections/{name}/points"
            client.put(of, json={"points": points}, params={"wait": "false"})
            doomed = [rng.randrange(9000) for _ in range(20)]
            client.post(f"{of}/delete", json={"points": doomed}, params={"wait": "false"})
        wrong = [{"id": 1, "vector": [1.0]}]
        client.put(of, json={"points": wrong}, params={"wait": "false"})


def test_queued_writes_are_in_the_seal(live: Live, catalog: Catalog, tmp_path: Path) -> None:
    """Taken in the middle of a flood, a seal matches what a restore of that file produces."""
    settings = load_settings(tmp_path, {"QDRANT_VERSION": live.version})
    servers = FreshServers(engine=lambda: NativeEngine(settings), operation_timeout_seconds=60)
    for round_number in range(3):
        config = {
            "vectors": {"size": 32, "distance": "Cosine"},
            "shard_number": 1 + round_number % 2,
        }
        name = make(live, config, [])
        flood(live, name, round_number)
        with live.server() as server:
            request = CreateRequest(collection=name, fresh_servers=servers)
            snapshot = create(request, server, catalog, Silent(), clock=now).snapshot
        assert snapshot.manifest is not None
        seal = snapshot.manifest.seal
        assert seal is not None, "left unsealed"
        assert seal.sealed_by in ("reader", "server")
        restored = restore(live, snapshot.path)
        assert snapshot.sealed is not None
        assert snapshot.sealed.buckets is not None
        assert read(live, restored, read_over_both).differences(snapshot.sealed.buckets) == ()
        live.loader.delete(restored)
        live.loader.delete(name)


def test_a_large_collection_is_read_by_two_processes(live: Live) -> None:
    """Vectors over gRPC, payloads over REST; without gRPC, everything over REST."""
    name = next(NAMES)
    live.loader.plain(name, points=SMALL_POINTS + 500, dimensions=4)
    endpoint = live.fresh.endpoint
    seen: list[int] = []
    found = read_fingerprint(endpoint, name, seen.append)
    assert sum(seen) == found.points_count == SMALL_POINTS + 500
    (closed,) = free_ports(1)
    for port in (closed, None):
        other = replace(endpoint, grpc_port=port)
        assert read_fingerprint(other, name, lambda count: None).digest == found.digest


def test_strict_mode_may_allow_small_batches_only(live: Live, tmp_path: Path) -> None:
    """A collection that refuses to return more than seven points at once is still read."""
    name = next(NAMES)
    live.loader.plain(name, points=50, dimensions=4)
    strict = {"strict_mode_config": {"enabled": True, "max_query_limit": 7}}
    live.loader.request("PATCH", f"/collections/{name}", strict)
    assert_all_agree(live, name, tmp_path)
    everywhere = frozenset(range(BUCKETS))
    located = locate_live_points(live.fresh.endpoint, name, everywhere, lambda count: None)
    assert len(located) == 50
