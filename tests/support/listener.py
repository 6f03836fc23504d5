"""Real HTTP servers that receive alarms: a good listener, and others that behave badly."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.proxy import serving


@dataclass(frozen=True)
class Post:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body of a ping."""
        return self.body.decode()

    @property
    def document(self) -> dict[str, Any]:
        """The body of a webhook."""
        document: dict[str, Any] = json.loads(self.body)
        return document


@dataclass
class Listener:
    """The requests that arrived, and the URL to send them to."""

    url: str = ""
    posts: list[Post] = field(default_factory=list)

    def paths(self) -> list[str]:
        """Return each path with its query, in order."""
        return [post.path for post in self.posts]


@contextmanager
def listening(
    status: int = 200, body: bytes = b"OK", *, port: int = 0, **headers: str
) -> Iterator[Listener]:
    """Respond to every request in the given way, for the block."""
    listener = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            listener.posts.append(Post(self.path, dict(self.headers), sent))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Print nothing."""

    with serving(Handler, port) as url:
        listener.url = url
        yield listener


def never_answer(connection: socket.socket, over: threading.Event) -> None:
    """Accept the request, and never respond."""
    connection.recv(65536)
    over.wait()


def drip_for_ever(connection: socket.socket, over: threading.Event) -> None:
    """Respond one byte at a time, without end: each read succeeds, but the response never ends."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Endless: ")
    while not over.wait(0.1):
        connection.sendall(b"x")


def hang_up(connection: socket.socket, over: threading.Event) -> None:
    """Close the connection in the middle of a response."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 2")


def talk_nonsense(connection: socket.socket, over: threading.Event) -> None:
    """Respond with something that is not HTTP, in terminal control codes."""
    connection.recv(65536)
    connection.sendall(b"\x1b[2J\x1b]0;owned\x07\r\n\r\n")


Behaviour = Callable[[socket.socket, threading.Event], None]


@contextmanager
def misbehaving(behaviour: Behaviour) -> Iterator[str]:
    """Accept every connection and behave this way until the end of the block; yield the URL."""
    over = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            behaviour(connection, over)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                threads.append(threading.Thread(target=serve, args=(connection,)))
                threads[-1].start()

    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        threads = [threading.Thread(target=accept)]
        threads[0].start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            over.set()
            # Closing alone does not wake a thread in accept().
            server.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()
