"""Receives large responses as fast as the socket delivers them."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import urllib3
from urllib3 import exceptions

PIECE_BYTES = 1 << 20


class Streaming(httpx.BaseTransport):
    """A transport for httpx that passes on everything that one read returns, up to 1 MiB.

    httpx's own transport splits bodies into pieces of at most 64 KiB, which costs as much as
    hashing them (docs/benchmark.md). This one does not support proxies.
    """

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._pool = urllib3.PoolManager(ssl_context=context)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request without a body; errors are httpx's own."""
        patience = request.extensions["timeout"]
        with _httpx_errors(request):
            response = self._pool.request(
                request.method,
                str(request.url),
                headers=dict(request.headers),
                timeout=urllib3.Timeout(connect=patience["connect"], read=patience["read"]),
                preload_content=False,
                decode_content=False,
                redirect=False,
                retries=False,
            )
        # Headers can contain collection names in any script, byte for byte.
        headers = [
            (name.encode(), value.encode("latin-1")) for name, value in response.headers.items()
        ]
        return httpx.Response(response.status, headers=headers, stream=_Body(response, request))

    def close(self) -> None:
        """Close every connection."""
        self._pool.clear()


class _Body(httpx.SyncByteStream):
    def __init__(self, response: urllib3.BaseHTTPResponse, request: httpx.Request) -> None:
        self._response = response
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        while True:
            with _httpx_errors(self._request):
                piece = self._response.read1(PIECE_BYTES)
            if not piece:
                return
            yield piece

    def close(self) -> None:
        self._response.close()


@contextmanager
def _httpx_errors(request: httpx.Request) -> Iterator[None]:
    try:
        yield
    except (exceptions.ConnectTimeoutError, exceptions.NewConnectionError) as error:
        raise httpx.ConnectError(str(error), request=request) from error
    except exceptions.ReadTimeoutError as error:
        raise httpx.ReadTimeout(str(error), request=request) from error
    except exceptions.HTTPError as error:
        raise httpx.ReadError(str(error), request=request) from error
