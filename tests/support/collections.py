"""Collections to take snapshots of: a plain one of any size, and one with every feature."""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Iterator
from typing import Any

import httpx

BATCH = 500
# Qdrant closes connections that were idle for 5 s, which is when httpx would, too: a race.
KEPT = httpx.Limits(keepalive_expiry=1)


class Loader:
    """Fills a live Qdrant over its plain REST API, independently of the code under test."""

    def __init__(
        self, url: str, api_key: str | None = None, *, verify: ssl.SSLContext | bool = False
    ) -> None:
        headers = {"api-key": api_key} if api_key else {}
        self._client = httpx.Client(
            base_url=url,
            headers=headers,
            timeout=120,
            trust_env=False,
            verify=verify,
            limits=KEPT,
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def request(self, method: str, path: str, body: Any = None, *, wait: bool = True) -> Any:
        """Send one request and return its result; anything but success raises."""
        params = {"wait": str(wait).lower()}
        response = self._client.request(method, path, json=body, params=params)
        assert response.is_success, response.text
        return response.json()["result"]

    def plain(self, name: str, *, points: int, dimensions: int = 64, shards: int = 1) -> None:
        """Create a collection of cosine vectors with a small payload and one payload index."""
        vectors = {"size": dimensions, "distance": "Cosine"}
        self.request("PUT", f"/collections/{name}", {"vectors": vectors, "shard_number": shards})
        self.index(name, "group", "keyword")
        self.fill(name, plain_points(points, dimensions))

    def graph(self, name: str, *, points: int = 2000) -> None:
        """Create a collection of one segment whose HNSW graph is used by every search."""
        settings = {
            "vectors": {"size": 16, "distance": "Cosine"},
            "hnsw_config": {"full_scan_threshold": 10},
            "optimizers_config": {"indexing_threshold": 10, "default_segment_number": 1},
        }
        self.request("PUT", f"/collections/{name}", settings)
        self.index(name, "group", "keyword")
        self.fill(name, plain_points(points, 16))
        deadline = time.monotonic() + 60
        while not self.is_indexed(name, points):
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def is_indexed(self, name: str, points: int) -> bool:
        """Whether the optimizer is done, and most points are in its graph."""
        info = self.request("GET", f"/collections/{name}")
        return bool(info["status"] == "green" and info["indexed_vectors_count"] > points * 0.9)

    def rich(self, name: str, *, points: int = 300) -> None:
        """Create a collection with named, multi, float16, uint8 and sparse vectors and more."""
        self.request("PUT", f"/collections/{name}", RICH_CONFIG)
        for field, schema in RICH_INDEXES.items():
            self.index(name, field, schema)
        self.fill(name, rich_points(points))
        self.request("POST", f"/collections/{name}/points/delete", {"points": [3, 5, 8]})

    def fill(self, name: str, points: Iterator[dict[str, Any]]) -> None:
        """Upsert points in batches, and wait for each batch."""
        batch: list[dict[str, Any]] = []
        for point in points:
            batch.append(point)
            if len(batch) == BATCH:
                self.request("PUT", f"/collections/{name}/points", {"points": batch})
                batch = []
        if batch:
            self.request("PUT", f"/collections/{name}/points", {"points": batch})

    def index(self, name: str, field: str, schema: Any) -> None:
        """Create one payload index."""
        body = {"field_name": field, "field_schema": schema}
        self.request("PUT", f"/collections/{name}/index", body)

    def alias(self, alias: str, name: str) -> None:
        """Point an alias at a collection."""
        action = {"create_alias": {"alias_name": alias, "collection_name": name}}
        self.request("POST", "/collections/aliases", {"actions": [action]})

    def delete(self, name: str) -> None:
        """Delete a collection."""
        self.request("DELETE", f"/collections/{name}")

    def clear(self) -> None:
        """Delete every collection, and with each its aliases and server snapshots."""
        for name in self.names():
            self.delete(name)

    def count(self, name: str) -> int:
        """Return the exact number of points."""
        return int(
            self.request("POST", f"/collections/{name}/points/count", {"exact": True})["count"]
        )

    def names(self) -> list[str]:
        """Return the names of the collections."""
        return sorted(c["name"] for c in self.request("GET", "/collections")["collections"])

    def aliases(self) -> dict[str, str]:
        """Return the aliases and their collections."""
        answer = self.request("GET", "/aliases")["aliases"]
        return {a["alias_name"]: a["collection_name"] for a in answer}

    def server_snapshots(self, name: str) -> list[str]:
        """Return the names of the server snapshots of a collection."""
        return [s["name"] for s in self.request("GET", f"/collections/{name}/snapshots")]


RICH_CONFIG: dict[str, Any] = {
    "vectors": {
        "text": {"size": 16, "distance": "Cosine", "hnsw_config": {"m": 24}},
        "half": {"size": 8, "distance": "Dot", "datatype": "float16"},
        "bytes": {"size": 4, "distance": "Euclid", "datatype": "uint8"},
        "late": {
            "size": 4,
            "distance": "Cosine",
            "multivector_config": {"comparator": "max_sim"},
        },
    },
    "sparse_vectors": {"words": {"modifier": "idf"}},
    "shard_number": 2,
    "on_disk_payload": True,
    "hnsw_config": {"m": 12, "ef_construct": 64},
    "optimizers_config": {"default_segment_number": 2, "indexing_threshold": 5000},
    "quantization_config": {"scalar": {"type": "int8", "quantile": 0.99, "always_ram": True}},
    "strict_mode_config": {"enabled": True, "max_query_limit": 1000},
}
RICH_INDEXES: dict[str, Any] = {
    "kind": "keyword",
    "number": {"type": "integer", "lookup": True, "range": True},
    "score": "float",
    "place": "geo",
    "when": "datetime",
    "flag": "bool",
    "owner": {"type": "uuid", "is_tenant": True},
    "text": {"type": "text", "tokenizer": "word", "lowercase": True},
}


def plain_points(count: int, dimensions: int) -> Iterator[dict[str, Any]]:
    """Yield points with one vector and a small payload; a larger count only adds points."""
    rng = random.Random(42)
    for number in range(count):
        yield {
            "id": number,
            "vector": [rng.gauss(0, 1) for _ in range(dimensions)],
            "payload": {"group": f"g{number % 7}", "text": f"Pengumuman nomor {number}. " * 8},
        }


def rich_points(count: int, *, seed: int = 7) -> Iterator[dict[str, Any]]:
    """Yield points with all kinds of vectors and payloads."""
    rng = random.Random(seed)
    for number in range(count):
        vectors: dict[str, Any] = {
            "text": [rng.gauss(0, 1) for _ in range(16)],
            "half": [rng.gauss(0, 1) for _ in range(8)],
            "bytes": [rng.randrange(256) for _ in range(4)],
            "late": [[rng.gauss(0, 1) for _ in range(4)] for _ in range(rng.randrange(1, 4))],
            "words": {
                "indices": sorted(rng.sample(range(1000), 5)),
                "values": [rng.random() for _ in range(5)],
            },
        }
        if number % 10 == 0:
            del vectors["late"]
        identity = number if number % 3 else f"00000000-0000-4000-8000-{number:012d}"
        yield {
            "id": identity,
            "vector": vectors,
            "payload": {
                "kind": ["a", "b"][number % 2],
                "number": number - 50,
                "score": number / 3,
                "place": {"lon": 107.6, "lat": -6.9},
                "when": "2025-01-01T12:00:00Z",
                "flag": number % 5 == 0,
                "owner": f"00000000-0000-4000-8000-{number % 4:012d}",
                "text": f"teks {number} ä 漢字",
                "nested": {"list": [1, None, {"deep": [True]}]},
            },
        }
