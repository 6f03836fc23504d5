"""Mistakes that people make, on a real server: the remedy is the right one."""

from __future__ import annotations

import gzip

import httpx

from tests.conftest import Inv, Live
from tests.integration.conftest import Samples
from tests.support.proxy import Answer, Exchange, faulty
from tests.support.world import assert_error


def test_https_on_a_plain_port(qdrant: Live, outside: Inv) -> None:
    """The remedy is http://, not a certificate."""
    ran = outside("stack.status", QDRANT_URL=qdrant.url.replace("http:", "https:"))
    assert_error(ran, 13, "does not use TLS")
    assert f"QDRANT_URL to {qdrant.url}" in ran.stderr


def test_the_grpc_port_as_url(qdrant: Live, outside: Inv) -> None:
    """The remedy names the REST port."""
    url = f"http://127.0.0.1:{qdrant.fresh.endpoint.grpc_port}"
    ran = outside("stack.status", QDRANT_URL=url)
    assert_error(ran, 13, url)
    assert "REST port" in ran.stderr


def test_a_gateway_that_refuses_large_uploads(qdrant: Live, outside: Inv, samples: Samples) -> None:
    """413: the remedy is the gateway's limit, or no upload at all."""
    samples.put("plain", outside.root / "qdrant_snapshots")

    def too_large(exchange: Exchange) -> None:
        exchange.answer(Answer(413, {}, b"<h1>413 Request Entity Too Large</h1>"))

    with faulty(qdrant.url) as gateway:
        gateway.on("POST", ".*/snapshots/upload", too_large)
        words = ("--collection=sample-plain", "--as=too-large")
        ran = outside("snapshot.restore", *words, QDRANT_URL=gateway.url)
    assert ran.code != 0
    assert "client_max_body_size" in ran.stderr
    assert "QDRANT_SERVER_SNAPSHOT_DIR" in ran.stderr


def test_a_compressed_file(outside: Inv, samples: Samples) -> None:
    """The remedy is to unpack it."""
    path = samples.put("plain", outside.root)
    packed = outside.root / "qdrant_snapshots" / "books_20250101_120000.snapshot"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    ran = outside("snapshot.verify", "--collection=books")
    assert ran.code == 20
    assert "gunzip" in ran.stdout + ran.stderr


def test_a_snapshot_of_the_whole_storage(qdrant: Live, outside: Inv, name: str) -> None:
    """It is called what it is, not damaged."""
    qdrant.loader.plain(name, points=5)
    made = httpx.post(f"{qdrant.url}/snapshots", trust_env=False, timeout=60).json()["result"]
    url = f"{qdrant.url}/snapshots/{made['name']}"
    path = outside.root / "qdrant_snapshots" / "books_20250101_120000.snapshot"
    headers = {"Accept-Encoding": "identity"}
    path.write_bytes(httpx.get(url, headers=headers, trust_env=False).content)
    httpx.delete(url, trust_env=False)
    ran = outside("snapshot.verify", "--collection=books")
    assert_error(ran, 24, "whole storage")
    assert "snapshot.create --all" in ran.stderr


def test_the_log_of_a_server_elsewhere(qdrant: Live, outside: Inv) -> None:
    """What this project does not run has its log elsewhere."""

    def fail(exchange: Exchange) -> None:
        exchange.answer(Answer(500, {}, b'{"status": {"error": "out of luck"}}'))

    with faulty(qdrant.url) as gateway:
        gateway.on("GET", "/collections", fail)
        ran = outside("stack.status", QDRANT_URL=gateway.url)
    assert_error(ran, 1, "out of luck")
    assert "managed elsewhere" in ran.stderr
