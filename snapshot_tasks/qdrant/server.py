"""A Qdrant server as this project uses it: readiness, snapshots, restores."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from types import TracebackType

import httpx

from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.qdrant.cluster import Cluster
from snapshot_tasks.qdrant.collections import POLL_SECONDS, Collections
from snapshot_tasks.qdrant.errors import LOG_HINT, not_qdrant
from snapshot_tasks.qdrant.guard import tls_error
from snapshot_tasks.qdrant.http import Http
from snapshot_tasks.qdrant.snapshots import ServerSnapshots
from snapshot_tasks.system.errors import Unreachable
from snapshot_tasks.system.untrusted import JsonObject

CHECK_SECONDS = 1.0


class Server:
    """One Qdrant server: its collections and its snapshots, over one connection.

    Use it as a context manager, so that the connection is closed.

    Raises:
        Refused: if the key would be sent unencrypted to another machine.
    """

    def __init__(self, endpoint: Endpoint, *, operation_timeout_seconds: float) -> None:
        self.endpoint = endpoint
        self.timeout_seconds = operation_timeout_seconds
        self._http = Http(endpoint, operation_timeout_seconds=operation_timeout_seconds)
        self.collections = Collections(self._http)
        self.cluster = Cluster(self._http)
        self.snapshots = ServerSnapshots(self._http, self.collections)

    def shard_snapshots(self, shard_id: int) -> ServerSnapshots:
        """Return the snapshots of one shard that this node holds."""
        return ServerSnapshots(self._http, self.collections, shard_id)

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def version(self) -> str:
        """Return the server's version. Raises `Unreachable` if no Qdrant responds."""
        try:
            answer = self._http.raw("GET", "/")
            document = answer.json()
            if "qdrant" in document["title"].lower():
                return str(document["version"])
        except httpx.TransportError as error:
            raise self._http.unreachable(error) from error
        except (httpx.InvalidURL, ValueError, KeyError, TypeError, AttributeError):
            pass
        raise not_qdrant(self.endpoint.url)

    def quotas(self) -> JsonObject:
        """Return the limits of the whole server (`has_quotas` of `domain/versions.py`)."""
        answer: JsonObject = self._http.get("/quotas")
        return answer

    def is_ready(self) -> bool:
        """Return whether every collection is loaded. This sends no key, so it tests none."""
        try:
            return self._http.raw("GET", "/readyz").status_code == 200
        except httpx.TransportError as error:
            if isinstance(tls_error(error), ssl.SSLCertVerificationError):
                # Waiting does not fix a certificate.
                raise self._http.unreachable(error) from error
            return False

    def wait_ready(
        self,
        timeout_seconds: float,
        *,
        hint: str = LOG_HINT,
        check: Callable[[], None] = lambda: None,
    ) -> float:
        """Wait until the server is ready and return how many seconds it took.

        `check` is called about once a second; it raises if there is no point in waiting longer.

        Raises:
            Unreachable: if it is not ready in time.
        """
        start = checked_at = time.monotonic()
        while not self.is_ready():
            if time.monotonic() - checked_at >= CHECK_SECONDS:
                check()
                checked_at = time.monotonic()
            if time.monotonic() - start >= timeout_seconds:
                raise Unreachable(
                    f"Qdrant at {self.endpoint.url} was not ready after {timeout_seconds:g} s.",
                    hint=hint,
                )
            time.sleep(POLL_SECONDS)
        return time.monotonic() - start
