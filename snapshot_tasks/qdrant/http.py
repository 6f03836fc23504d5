"""One HTTP connection to Qdrant: timeouts, retries, and the meaning of its errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.qdrant.errors import not_qdrant, refusal
from snapshot_tasks.qdrant.gateway import GatewayAnswer, refuse_gateway
from snapshot_tasks.qdrant.guard import (
    TLS_HINT,
    is_not_tls,
    refuse_exposed_key,
    refuse_redirect,
    tls_context,
    tls_error,
)
from snapshot_tasks.qdrant.limits import Patience
from snapshot_tasks.system.errors import Unreachable
from snapshot_tasks.system.proxies import proxy_for

# Connecting may take a sixth of the time that a response may take: 5 s of 30.
CONNECT_SHARE = 1 / 6
# A batch of points may take this many times as long as a short response.
BATCH_ANSWERS = 4
_START = "Check that it is running (`inv stack.up` starts it) and that QDRANT_URL is right."
# The tasks start no server on another machine.
_ELSEWHERE = "Check that it is running, that QDRANT_URL is right, and that no firewall is between."
# One of several nodes: no task starts a single one, and its URL is not that of the entry point.
_NODE = (
    "Start that node, or correct QDRANT_CLUSTER_URLS. If it is lost for good, remove it from the"
    " cluster (docs/cluster.md)."
)
# A port that closes the connection, or does not answer in HTTP/1.
_OTHER_PORT = (
    "If it was not just restarted, QDRANT_URL may name another port: the REST port is usually 6333,"
    " while 6334 is for gRPC; a port with TLS needs https://."
)


class GrpcClosed(Exception):
    """The gRPC port is unknown, or no gRPC server responds there."""


class Http:
    """Sends requests to one endpoint and turns failures into errors with a remedy.

    Raises:
        Refused: if the key would be sent unencrypted to another machine.
        SettingsError: if the environment chooses a proxy that cannot be used.
    """

    def __init__(self, endpoint: Endpoint, *, operation_timeout_seconds: float) -> None:
        refuse_exposed_key(endpoint)
        # Never use a proxy for a server on this machine.
        self._proxy = None if endpoint.is_loopback else proxy_for(endpoint.url)
        self.endpoint = endpoint
        self.operation_timeout_seconds = operation_timeout_seconds
        # Loading the certificate bundle costs more than a whole request over plain HTTP.
        self._tls = tls_context(endpoint.tls) if endpoint.is_https else None
        self._client = self._new_client()

    def close(self) -> None:
        """Close the connection, because a stopping Qdrant waits 5 s for idle connections."""
        self._client.close()

    def get(self, path: str, *, long: bool = False) -> Any:
        """GET and return `result`, retrying lost connections, since reading twice is harmless."""
        return self.result(self.raw_get(path, long=long))

    def raw_get(self, path: str, *, long: bool = False) -> httpx.Response:
        """GET and return the response, retrying lost connections."""
        with self._meanings(path):
            return _retrying()(self.raw, "GET", path, long=long)

    def ask(self, path: str, body: Mapping[str, Any]) -> Any:
        """POST what only reads and return `result`, retrying lost connections."""
        with self._meanings(path):
            return self.result(_retrying()(self.raw, "POST", path, body=body, long=True))

    def ask_raw(self, path: str, body: Mapping[str, Any]) -> bytes:
        """As `ask`, but return the raw body of the response.

        The response itself does not keep the body: it is part of a reference cycle, and is freed
        only when Python's garbage collector runs.
        """
        with self._meanings(path):
            return _retrying()(self._body, path, body)

    def send(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
        files: Mapping[str, Any] | None = None,
        long: bool = False,
    ) -> Any:
        """Send once, never again unless a rate limit delays it, and return `result`."""
        with self._meanings(path):
            return self.result(
                self.raw(method, path, body=body, params=params, files=files, long=long)
            )

    def raw(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
        files: Mapping[str, Any] | None = None,
        long: bool = False,
    ) -> httpx.Response:
        """Send once and return the response; a lost connection raises httpx's own error.

        What a rate limit delays is sent again, except a file, which was already read.
        """
        patience = Patience()
        while True:
            response = self._client.request(
                method, path, json=body, params=params, files=files, timeout=self._patience(long)
            )
            refuse_redirect(response)
            refuse_gateway(response)
            if files or not patience.waits_for(response):
                return response

    @contextmanager
    def stream(self, path: str, *, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """GET as a stream of exactly the bytes that Qdrant has (not compressed in transit)."""
        with (
            self._meanings(path),
            self._new_client(streaming=True) as client,
            _streamed(client, "GET", path, headers=headers) as response,
        ):
            self._refuse(response)
            yield response

    def _body(self, path: str, body: Mapping[str, Any]) -> bytes:
        timeout = self._patience(long=True)
        with _streamed(self._client, "POST", path, json=body, timeout=timeout) as response:
            self._refuse(response)
            return b"".join(response.iter_bytes())

    def _refuse(self, response: httpx.Response) -> None:
        """Raise what a streamed response means, if it is not what was asked for."""
        refuse_redirect(response)
        refuse_gateway(response)
        if not response.is_success:
            response.read()
            raise refusal(response, self.endpoint)

    def unreachable(self, error: httpx.TransportError) -> Unreachable:
        """Return the error for a lost or refused connection."""
        if isinstance(error, GatewayAnswer):
            return self._behind_gateway(error)
        reason = str(error).rstrip(".") or type(error).__name__
        if is_not_tls(error):
            plain = f"http{self.endpoint.url.removeprefix('https')}"
            return Unreachable(
                f"The server at {self.endpoint.url} does not use TLS: {reason}.",
                hint=f"Set QDRANT_URL to {plain}, or switch TLS on in the server.",
            )
        if tls_error(error):
            return Unreachable(
                f"Could not establish a trusted connection to {self.endpoint.url}: {reason}.",
                hint=TLS_HINT,
            )
        if self._proxy:
            return Unreachable(
                f"Cannot reach Qdrant at {self.endpoint.url} through the proxy {self._proxy}:"
                f" {reason}.",
                hint=f"Check the proxy, or name {self.endpoint.host} in NO_PROXY.",
            )
        there = _START if self.endpoint.is_loopback else _ELSEWHERE
        if len(self.endpoint.cluster_urls) > 1:
            there = _NODE
        hint = _OTHER_PORT if isinstance(error, httpx.RemoteProtocolError) else there
        return Unreachable(f"Cannot reach Qdrant at {self.endpoint.url}: {reason}.", hint=hint)

    def _behind_gateway(self, error: GatewayAnswer) -> Unreachable:
        if error.is_page:
            return not_qdrant(self.endpoint.url)
        return Unreachable(
            f"A gateway in front of Qdrant at {self.endpoint.url} answered {error.status}.",
            hint="Check that Qdrant is running behind it, and raise the gateway's time-out if this"
            " happens during long operations.",
        )

    def _new_client(self, *, streaming: bool = False) -> httpx.Client:
        endpoint = self.endpoint
        headers = {"Accept-Encoding": "identity"}
        if endpoint.api_key:
            headers["api-key"] = endpoint.api_key
        transport = None
        # Through a proxy, use httpx, which supports every kind; the proxy is slower anyway.
        if streaming and self._proxy is None:
            from snapshot_tasks.qdrant.streaming import Streaming

            transport = Streaming(self._tls)
        return httpx.Client(
            base_url=endpoint.url,
            headers=headers,
            timeout=self._patience(long=False),
            verify=self._tls or False,
            follow_redirects=False,
            transport=transport,
            proxy=self._proxy.url if self._proxy else None,
            # The proxy was chosen above; and no `.netrc` may send other credentials.
            trust_env=False,
        )

    def _patience(self, long: bool) -> httpx.Timeout:
        answer = self.endpoint.answer_seconds
        seconds = self.operation_timeout_seconds if long else answer
        return httpx.Timeout(seconds, connect=answer * CONNECT_SHARE)

    def result(self, response: httpx.Response) -> Any:
        """Return the `result` of a response; for an error response, raise what it means."""
        if not response.is_success:
            raise refusal(response, self.endpoint)
        try:
            return response.json()["result"]
        except (ValueError, KeyError, TypeError):
            raise not_qdrant(self.endpoint.url) from None

    @contextmanager
    def _meanings(self, path: str) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise self.unreachable(error) from error
        except (httpx.InvalidURL, httpx.DecodingError) as error:
            raise Unreachable(
                f"{self.endpoint.url}{path} is not a valid URL: {error}.", hint="Check QDRANT_URL."
            ) from error


def _retrying() -> Retrying:
    return Retrying(
        retry=retry_if_exception_type(httpx.TransportError),
        stop=stop_after_attempt(3),
        wait=wait_exponential(multiplier=0.1),
        reraise=True,
    )


@contextmanager
def _streamed(
    client: httpx.Client, method: str, path: str, **request: Any
) -> Iterator[httpx.Response]:
    """Send once and yield the response; what a rate limit delays is sent again."""
    patience = Patience()
    while True:
        with client.stream(method, path, **request) as response:
            if not patience.waits_for(response):
                yield response
                return
