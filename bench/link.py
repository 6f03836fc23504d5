"""A link of limited speed in front of a server: `python -m bench.link PORT TARGET BYTES_A_SECOND`.

All connections share it, in the direction from the server.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from tests.support.ports import free_ports
from tests.support.world import wait_until

CHUNK_BYTES = 64 << 10


class Link:
    """Lets bytes pass one chunk after the other, as fast as the link is."""

    def __init__(self, bytes_a_second: float) -> None:
        self._speed = bytes_a_second
        self._free_at = time.monotonic()
        self._lock = threading.Lock()

    def take(self, size_bytes: int) -> None:
        """Wait until so many bytes have passed."""
        with self._lock:
            self._free_at = max(self._free_at, time.monotonic()) + size_bytes / self._speed
            wait_seconds = self._free_at - time.monotonic()
        if wait_seconds > 0:
            time.sleep(wait_seconds)


def main(port: int, target: int, bytes_a_second: float) -> None:
    """Pass connections on, until killed."""
    link = Link(bytes_a_second)
    with socket.create_server(("127.0.0.1", port), backlog=64) as server:
        while True:
            client, _ = server.accept()
            upstream = socket.create_connection(("127.0.0.1", target))
            for one, other, limit in ((client, upstream, None), (upstream, client, link)):
                threading.Thread(target=_pass_on, args=(one, other, limit), daemon=True).start()


def _pass_on(one: socket.socket, other: socket.socket, limit: Link | None) -> None:
    with suppress(OSError):
        while chunk := one.recv(CHUNK_BYTES):
            if limit:
                limit.take(len(chunk))
            other.sendall(chunk)
        other.shutdown(socket.SHUT_WR)


@contextmanager
def limited(server: str, bytes_a_second: float) -> Iterator[str]:
    """Reach a server of this machine through such a link for the block; yield its URL."""
    (port,) = free_ports(1)
    numbers = (port, urlsplit(server).port, bytes_a_second)
    command = [sys.executable, "-m", "bench.link", *map(str, numbers)]
    with subprocess.Popen(command) as process:
        try:
            wait_until(lambda: _answers(port))
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
