"""What the snapshot API of a server says besides the ordinary, on small stand-ins for it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.errors import CredentialsRefused
from tests.support.proxy import static

FORBIDDEN = b'{"status": {"error": "Forbidden: Global manage access is required"}, "time": 0}'


@pytest.fixture
def impatient() -> Iterator[str]:
    """A server that answers 403 to the headers, and hangs up before the body is there."""
    head = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n" % len(FORBIDDEN)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                connection, _ = listening.accept()
                with connection:
                    while b"\r\n\r\n" not in connection.recv(65536):
                        pass
                    connection.sendall(head + FORBIDDEN)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join(5)


def test_a_refused_upload_is_refused_credentials(impatient: str, tmp_path: Path) -> None:
    """1.19 answers before the body was read: that is no lost connection."""
    file = tmp_path / "large.snapshot"
    file.write_bytes(bytes(30_000_000))
    with (
        Server(Endpoint(url=impatient), operation_timeout_seconds=20) as server,
        file.open("rb") as content,
        pytest.raises(CredentialsRefused, match="Global manage access"),
    ):
        server.snapshots.upload("a", content, "0" * 64, name="x", advance=lambda count: None)


@pytest.mark.parametrize("prefix", ["", "qdrant_", "acme_prod_"])
@pytest.mark.parametrize("what", ["creation", "recovery"])
def test_metrics_may_have_a_prefix(prefix: str, what: str) -> None:
    """`service.metrics_prefix` changes every name; other collections do not count."""
    lines = [
        f"# TYPE {prefix}snapshot_{what}_running gauge",
        f'{prefix}snapshot_{what}_running{{id="a.b"}} 1',
        f'{prefix}snapshot_{what}_running{{id="axb"}} 0',
        f'{prefix}snapshot_{what}_running{{id="said \\"c\\""}} 2',
        f'{prefix}snapshot_created_total{{id="d"}} 3',
    ]
    with (
        static({"/metrics": "\n".join(lines).encode()}) as url,
        Server(Endpoint(url=url), operation_timeout_seconds=5) as server,
    ):
        busy = [name for name in ("a.b", "axb", 'said "c"', "d") if server.snapshots.is_busy(name)]
    assert busy == ["a.b", 'said "c"']
