"""Downloads one server snapshot, and resumes if the connection is lost."""

from __future__ import annotations

import time
from collections.abc import Callable

from snapshot_tasks.qdrant.http import Http
from snapshot_tasks.system.errors import ServerFailure, Unreachable

RESUMES = 20
FRUITLESS_RESUMES = 3
RESUME_WAIT_SECONDS = 0.5
OK, PARTIAL = 200, 206


class Download:
    """A download in progress, which resumes where a lost connection stopped it.

    Qdrant honours Range and If-Match, so only the rest of the same file can be appended.
    """

    def __init__(self, http: Http, path: str, take: Callable[[bytes], None]) -> None:
        self._http = http
        self._path = path
        self._take = take
        self._received = 0
        self._tag: str | None = None

    def run(self, note: Callable[[str], None]) -> int:
        """Receive the whole file and return the number of bytes.

        Raises:
            Unreachable: if the connection is lost for good.
            ServerFailure: if the file changed on the server, so that the download cannot be
                resumed.
        """
        fruitless = 0
        for _ in range(RESUMES):
            before = self._received
            try:
                self._receive()
                return self._received
            except Unreachable:
                fruitless = 0 if self._received > before else fruitless + 1
                is_resumable = self._tag is not None or not self._received
                if fruitless >= FRUITLESS_RESUMES or not is_resumable:
                    raise
            note(f"The connection was lost after {self._received:,} bytes; resuming the download.")
            time.sleep(RESUME_WAIT_SECONDS)
        self._receive()
        return self._received

    def _receive(self) -> None:
        resumed = self._received > 0
        headers = {"Range": f"bytes={self._received}-", "If-Match": self._tag or ""}
        with self._http.stream(self._path, headers=headers if resumed else {}) as response:
            if response.status_code != (PARTIAL if resumed else OK):
                raise ServerFailure(
                    f"Qdrant responded {response.status_code} to a request for the rest of a file.",
                    hint="Run this again. If it happens again, check the proxy or network between "
                    "this machine and Qdrant.",
                )
            self._tag = response.headers.get("etag")
            for chunk in response.iter_raw():
                self._received += len(chunk)
                self._take(chunk)
