"""Waits as long as a rate limit asks for: 429, or RESOURCE_EXHAUSTED over gRPC, with Retry-After.

Qdrant has done nothing then, so sending the same request again is safe. A request that is larger
than the whole limit is refused without Retry-After, and never sent again.
"""

from __future__ import annotations

import time

import httpx

# How long one request may be delayed altogether.
DELAY_SECONDS = 600.0
TOO_MANY = 429


class Patience:
    """How much longer one request may be delayed."""

    def __init__(self) -> None:
        self._deadline = time.monotonic() + DELAY_SECONDS

    def waits_for(self, response: httpx.Response) -> bool:
        """Wait if a rate limit refused the request; return whether to send it again."""
        if response.status_code != TOO_MANY:
            return False
        return self.waits(response.headers.get("retry-after"))

    def waits(self, retry_after: str | None) -> bool:
        """Wait for so many seconds, unless it is too long; return whether to send it again."""
        if retry_after is None or not retry_after.isdecimal():
            return False
        seconds = float(retry_after)
        if time.monotonic() + seconds > self._deadline:
            return False
        time.sleep(seconds)
        return True
