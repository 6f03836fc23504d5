"""What a gateway answers in Qdrant's place: a lost answer, because Qdrant may go on."""

from __future__ import annotations

import httpx

from snapshot_tasks.qdrant.errors import is_not_stored

# Qdrant never sends these: bad gateway, gateway timeout, and two of Cloudflare's time-outs.
_ONLY_GATEWAYS = (502, 504, 522, 524)


class GatewayAnswer(httpx.RemoteProtocolError):
    """An answer that is not Qdrant's; `status` is that of HTTP."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        super().__init__(f"a gateway answered {self.status}", request=response.request)

    @property
    def is_page(self) -> bool:
        """Whether it is a web page, sent as if it were what was asked for."""
        return self.status < 400


def refuse_gateway(response: httpx.Response) -> None:
    """Treat the answer of a gateway that gave up as a lost connection.

    Raises:
        GatewayAnswer: if the response is such a one.
    """
    status = response.status_code
    if status in _ONLY_GATEWAYS or (status >= 500 and not _is_qdrants(response)):
        raise GatewayAnswer(response)
    if response.is_success and response.headers.get("content-type", "").startswith("text/html"):
        raise GatewayAnswer(response)


def _is_qdrants(response: httpx.Response) -> bool:
    """Return whether an error has the form of Qdrant's: all but one are JSON with a `status`."""
    response.read()
    if is_not_stored(response.text):
        return True
    try:
        return "status" in dict(response.json())
    except (ValueError, TypeError):
        return False
