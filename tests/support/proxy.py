"""A loopback HTTP proxy in front of a real Qdrant that breaks chosen exchanges."""

from __future__ import annotations

import http.client
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length")
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Answer:
    """The response of the real Qdrant."""

    status: int
    headers: dict[str, str]
    body: bytes


class Exchange:
    """One request in progress: forward it, respond to it, or break it."""

    def __init__(self, handler: BaseHTTPRequestHandler, upstream: str, body: bytes) -> None:
        self._handler = handler
        self._upstream = urlsplit(upstream)
        self._body = body

    def forward(self) -> Answer:
        """Send the request on to the real Qdrant and return its response."""
        connection = http.client.HTTPConnection(
            str(self._upstream.hostname), self._upstream.port, timeout=PATIENCE_SECONDS
        )
        headers = {n: v for n, v in self._handler.headers.items() if n.lower() not in HOP_BY_HOP}
        try:
            connection.request(
                self._handler.command, self._handler.path, self._body or None, headers
            )
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def answer(self, answer: Answer, *, announced: int | None = None) -> None:
        """Send a response to the client; `announced` sets a false Content-Length."""
        self._handler.send_response(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in HOP_BY_HOP:
                self._handler.send_header(name, value)
        length = len(answer.body) if announced is None else announced
        self._handler.send_header("Content-Length", str(length))
        self._handler.end_headers()
        self._handler.wfile.write(answer.body)
        self._handler.wfile.flush()
        if announced is not None:
            self.drop()

    def set_clock(self, by: timedelta) -> None:
        """Let the `Date` of the answer differ from this machine's clock by so much."""
        moment = time.time() + by.total_seconds()
        self._handler.date_time_string = lambda timestamp=None: formatdate(moment, usegmt=True)  # type: ignore[method-assign]

    def change_header(self, name: str, value: str) -> None:
        """Replace a header that the client sent."""
        assert name in self._handler.headers
        self._handler.headers.replace_header(name, value)

    def header(self, name: str) -> str:
        """Return a header that the client sent, or an empty string."""
        return str(self._handler.headers.get(name, ""))

    def decode_path(self, *characters: str) -> None:
        """Write these characters of the path unencoded, if the client has encoded them."""
        for character in characters:
            self._handler.path = self._handler.path.replace(f"%{ord(character):02X}", character)

    def set_header(self, name: str, value: str) -> None:
        """Send this header on, whatever the client sent."""
        del self._handler.headers[name]
        self._handler.headers[name] = value

    def drop(self) -> None:
        """End the connection immediately."""
        self._handler.close_connection = True
        with suppress(OSError):
            self._handler.connection.shutdown(socket.SHUT_RDWR)

    def drip(self, *, pieces: int, pause_seconds: float, stop_after: int | None = None) -> None:
        """Send Qdrant's response in pieces with pauses, or only the first of them."""
        answer = self.forward()
        self._handler.send_response(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in HOP_BY_HOP:
                self._handler.send_header(name, value)
        self._handler.send_header("Content-Length", str(len(answer.body)))
        self._handler.end_headers()
        size = len(answer.body) // pieces + 1
        for number in range(pieces if stop_after is None else stop_after):
            self._handler.wfile.write(answer.body[number * size : (number + 1) * size])
            self._handler.wfile.flush()
            time.sleep(pause_seconds)

    def stall(self, *, seconds: float) -> None:
        """Send half of Qdrant's response, then nothing for the given time, then end."""
        self.drip(pieces=2, pause_seconds=seconds, stop_after=1)
        self.drop()

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        option = struct.pack("ii", 1, 0)
        self._handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
        self._handler.close_connection = True
        self._handler.connection.close()


Act = Callable[[Exchange], None]


@dataclass
class Hold:
    """Holds an exchange at one moment until the test lets it continue."""

    reached: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> None:
        """Wait in the test until the exchange has reached that moment."""
        assert self.reached.wait(PATIENCE_SECONDS), "the exchange never came"

    def pause(self) -> None:
        """Wait in the proxy until the test lets it continue."""
        self.reached.set()
        self.release.wait(PATIENCE_SECONDS)

    def cancel(self) -> None:
        """End the exchange without Qdrant, because its client has gone."""
        self.cancelled.set()
        self.release.set()

    def before(self, exchange: Exchange) -> None:
        """Hold the request before Qdrant sees it."""
        self.pause()
        if not self.cancelled.is_set():
            exchange.answer(exchange.forward())

    def after(self, exchange: Exchange) -> None:
        """Hold the response after Qdrant has done the work."""
        answer = exchange.forward()
        self.pause()
        exchange.answer(answer)

    def halfway(self, exchange: Exchange) -> None:
        """Hold a body after its first half."""
        answer = exchange.forward()
        half = len(answer.body) // 2
        exchange._handler.send_response(answer.status)
        exchange._handler.send_header("Content-Length", str(len(answer.body)))
        exchange._handler.end_headers()
        exchange._handler.wfile.write(answer.body[:half])
        self.pause()
        exchange._handler.wfile.write(answer.body[half:])


def lose_answer(exchange: Exchange) -> None:
    """Let Qdrant do the work, but lose its response."""
    exchange.forward()
    exchange.drop()


def reset(exchange: Exchange) -> None:
    """Reset the connection before Qdrant sees the request."""
    exchange.reset()


def truncate(exchange: Exchange) -> None:
    """Announce the whole body and send half of it."""
    whole = exchange.forward()
    half = Answer(whole.status, whole.headers, whole.body[: len(whole.body) // 2])
    exchange.answer(half, announced=len(whole.body))


def other_file(exchange: Exchange) -> None:
    """Request another file from Qdrant, as if the file had been replaced."""
    exchange.change_header("If-Match", '"another"')
    exchange.answer(exchange.forward())


def shorten(exchange: Exchange) -> None:
    """Send a shorter body that claims to be complete."""
    whole = exchange.forward()
    exchange.answer(Answer(whole.status, whole.headers, whole.body[:-512]))


def flip(exchange: Exchange) -> None:
    """Change one byte in the middle of the body."""
    whole = exchange.forward()
    body = bytearray(whole.body)
    body[len(body) // 2] ^= 0xFF
    exchange.answer(Answer(whole.status, whole.headers, bytes(body)))


def fail(exchange: Exchange) -> None:
    """Respond 500 instead of Qdrant."""
    body = b'{"status": {"error": "Service internal error: out of luck"}, "time": 0}'
    exchange.answer(Answer(500, {"Content-Type": "application/json"}, body))


@dataclass
class Proxy:
    """Forwards everything to `upstream` except what a rule handles; it records every request."""

    upstream: str
    url: str = ""
    seen: list[tuple[str, str]] = field(default_factory=list)
    rules: list[tuple[str, re.Pattern[str], Act, int]] = field(default_factory=list)

    def on(self, method: str, path: str, act: Act, *, times: int = 1_000_000) -> None:
        """Let `act` handle the next requests whose whole path matches."""
        self.rules.append((method, re.compile(path), act, times))

    def requests(self, method: str, path: str) -> int:
        """Return how often this was requested."""
        return sum(m == method and re.fullmatch(path, p) is not None for m, p in self.seen)

    def act_for(self, method: str, path: str) -> Act | None:
        """Return the rule for a request, using it up."""
        self.seen.append((method, path))
        for number, (wanted, pattern, act, times) in enumerate(self.rules):
            if method == wanted and times and pattern.fullmatch(path):
                self.rules[number] = (wanted, pattern, act, times - 1)
                return act
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that goes away, which is what these tests are about."""


@contextmanager
def faulty(upstream: str) -> Iterator[Proxy]:
    """Run a proxy in front of a server for the block."""
    proxy = Proxy(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            path = self.path.partition("?")[0]
            exchange = Exchange(self, upstream, _body(self))
            act = proxy.act_for(self.command, path)
            try:
                if act:
                    act(exchange)
                else:
                    exchange.answer(exchange.forward())
            except (ConnectionError, http.client.HTTPException, ValueError):
                # If the server is gone, its client must not wait for an answer.
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            """Print nothing."""

    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.handle_any)
    with serving(Handler) as url:
        proxy.url = url
        yield proxy


@contextmanager
def static(pages: dict[str, bytes]) -> Iterator[str]:
    """Serve exactly these paths over plain HTTP for the block; anything else is 404."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: Any) -> None:
            """Print nothing."""

    with serving(Handler) as url:
        yield url


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], port: int = 0) -> Iterator[str]:
    """Run a server with this handler for the block, on a free port; yield its URL."""
    server = _Server(("127.0.0.1", port), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _body(handler: BaseHTTPRequestHandler) -> bytes:
    """Read the whole request body, by length or by chunks."""
    if handler.headers.get("Transfer-Encoding", "").lower() != "chunked":
        return handler.rfile.read(int(handler.headers.get("Content-Length", "0")))
    parts = []
    while size := int(handler.rfile.readline().split(b";")[0], 16):
        parts.append(handler.rfile.read(size))
        handler.rfile.readline()
    handler.rfile.readline()
    return b"".join(parts)
