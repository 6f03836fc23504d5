"""The contestants for reading every point, of a live collection and of a snapshot's file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.contestant import Asked, Contestant
from bench.data import BATCH, NAME, channel, endpoint_of
from snapshot_tasks.qdrant.points import locate_live_points, read_fingerprint
from snapshot_tasks.sealing.parts import split
from snapshot_tasks.sealing.reader import locate_points, read_contents, read_parts
from snapshot_tasks.sealing.unpack import unpack
from snapshot_tasks.system.progress import Silent

BUCKETS = frozenset({3, 1024, 2077, 4000})
CLIENT_POINTS = 20_000


def grpc_bytes(asked: Asked, start: int = 0, end: int | None = None) -> int:
    """Whole points over gRPC, discarding the bytes that arrive."""
    from qdrant_client import grpc as wire

    end = asked["points"] if end is None else end
    with channel(endpoint_of(asked)) as opened:
        call = opened.unary_unary(
            "/qdrant.Points/Scroll",
            request_serializer=wire.ScrollPoints.SerializeToString,
            response_deserializer=lambda message: message,
        )
        for first in range(start, end, BATCH):
            call(
                wire.ScrollPoints(
                    collection_name=NAME,
                    limit=BATCH,
                    offset=wire.PointId(num=first),
                    with_payload=wire.WithPayloadSelector(enable=True),
                    with_vectors=wire.WithVectorsSelector(enable=True),
                )
            )
    return end - start


def grpc_bytes_twice(asked: Asked) -> int:
    """The same with two processes, each with half of the ids."""
    half = asked["points"] // 2
    with subprocess.Popen(
        [sys.executable, "-m", "bench.readers"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdout.readline()
        asked["clock"]()
        print(json.dumps(asked | {"clock": None}), file=other.stdin, flush=True)
        grpc_bytes(asked, 0, half)
        other.stdout.readline()
    return int(asked["points"])


def client_scroll(asked: Asked) -> int:
    """qdrant-client's scroll over REST, unchanged, with some of the points."""
    return _client_scroll(asked, prefer_grpc=False)


def client_scroll_grpc(asked: Asked) -> int:
    """qdrant-client's scroll over gRPC, with some of the points."""
    return _client_scroll(asked, prefer_grpc=True)


def _client_scroll(asked: Asked, *, prefer_grpc: bool) -> int:
    from qdrant_client import QdrantClient

    client = QdrantClient(
        url=asked["url"],
        grpc_port=asked["grpc_port"],
        prefer_grpc=prefer_grpc,
        timeout=60,
        check_compatibility=False,
    )
    count, offset = 0, None
    while count < min(CLIENT_POINTS, asked["points"]):
        records, offset = client.scroll(
            NAME, limit=BATCH, offset=offset, with_payload=True, with_vectors=True
        )
        count += len(records)
    client.close()
    return count


def fingerprint(asked: Asked) -> int:
    """This project's fingerprint of a live collection, including the start of a second process."""
    return read_fingerprint(endpoint_of(asked), NAME, lambda count: None).points_count


def locate_live(asked: Asked) -> int:
    """The points of four buckets in the live collection that are known to differ."""
    locate_live_points(endpoint_of(asked), NAME, BUCKETS, lambda count: None)
    return int(asked["points"])


@contextmanager
def scratch() -> Iterator[Path]:
    """Create a folder for an unpacked snapshot."""
    folder = Path(tempfile.mkdtemp(prefix="qdrant-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def unpacked(asked: Asked) -> Iterator[str]:
    """Unpack the snapshot, whose only shard Qdrant Edge opens."""
    with scratch() as folder:
        (shard,) = unpack(Path(asked["snapshot"]), folder)
        asked["clock"]()
        yield str(shard.folder)


def edge_read(asked: Asked) -> int:
    """One bare read of the file by Qdrant Edge: unpack it and scroll past every point."""
    with scratch() as folder:
        (shard,) = unpack(Path(asked["snapshot"]), folder)
        for _ in _scrolled(asked, str(shard.folder)):
            pass
    return int(asked["bytes"])


def edge_values(asked: Asked) -> int:
    """Qdrant Edge alone: every payload fetched, every vector made an array of float32."""
    with unpacked(asked) as folder:
        return _touch_values(asked, folder)


def edge_values_unpacked(asked: Asked) -> int:
    """The same, including unpacking."""
    with scratch() as folder:
        (shard,) = unpack(Path(asked["snapshot"]), folder)
        _touch_values(asked, str(shard.folder))
    return int(asked["bytes"])


def _touch_values(asked: Asked, folder: str) -> int:
    count = 0
    for records in _scrolled(asked, folder):
        for record in records:
            vector: Any = record.vector
            count += bool(array("f", vector)) and record.payload is not None
    return count


def _scrolled(asked: Asked, folder: str) -> Iterator[list[Any]]:
    """Yield every batch of a shard, and stop the clock after the last."""
    import qdrant_edge as edge

    shard, offset = edge.EdgeShard.load(folder), None
    while True:
        records, offset = shard.scroll(
            edge.ScrollRequest(offset=offset, limit=BATCH, with_payload=True, with_vector=True)
        )
        yield records
        if offset is None:
            break
    asked["clock"](end=True)
    shard.close()


def file_fingerprint(asked: Asked) -> int:
    """This project's readers of the same unpacked shard, including copies and process starts."""
    with scratch() as folder:
        shards = unpack(Path(asked["snapshot"]), folder)
        asked["clock"]()
        parts = split(shards, folder, points_count=asked["points"])
        _, results = read_parts(Path(asked["snapshot"]), parts, lambda line: None)
        asked["clock"](end=True)
    return sum(int(result["seen"]) for result in results)


def seal(asked: Asked) -> int:
    """Everything that sealing does with a file: unpack, read, sample, run the recorded searches."""
    return read_contents(Path(asked["snapshot"]), Silent()).fingerprint.points_count


def locate_file(asked: Asked) -> int:
    """The points of four buckets in the file, including unpacking."""
    locate_points(Path(asked["snapshot"]), BUCKETS, Silent())
    return int(asked["points"])


CONTESTANTS: dict[str, Contestant] = {
    "gRPC bytes": grpc_bytes,
    "gRPC bytes, two processes": grpc_bytes_twice,
    "qdrant-client scroll": client_scroll,
    "qdrant-client scroll, gRPC": client_scroll_grpc,
    "fingerprint, live": fingerprint,
    "locate, live": locate_live,
    "Qdrant Edge, values touched": edge_values,
    "fingerprint, file": file_fingerprint,
    "seal, file": seal,
    "locate, file": locate_file,
}


def second_half() -> None:
    """Read the upper half of the ids after a line on stdin."""
    print("ready", flush=True)
    asked = json.loads(sys.stdin.readline())
    grpc_bytes(asked, asked["points"] // 2)
    print("done", flush=True)


if __name__ == "__main__":
    second_half()
