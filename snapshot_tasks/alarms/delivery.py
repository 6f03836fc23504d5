"""One message over HTTP, under way in a thread that nothing has to wait for.

A listener may accept and never answer, a name may resolve for a minute, an answer may come byte by
byte. httpx bounds single reads, not a whole request; so what waits here has a deadline, and the
thread is a daemon, which ends with the process.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from importlib import import_module
from urllib.parse import urlsplit

from snapshot_tasks.domain.endpoint import is_loopback
from snapshot_tasks.system.untrusted import printable

# All that the end of a task waits for its alarms.
DEADLINE_SECONDS = 5.0
# A ping that says "ended" must not overtake the one that says "started".
FIRST_SECONDS = 1.5
ATTEMPTS, PAUSE_SECONDS = 3, 0.3
MAX_REASON = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is sent, and where; `kind` names it to the user, who never sees the URL's secrets."""

    kind: str
    url: str = field(repr=False)
    body: bytes = field(repr=False)
    content_type: str

    @property
    def host(self) -> str:
        """Where it goes: the host alone, without credentials, port and path."""
        return urlsplit(self.url).hostname or ""


class Delivery:
    """A message on its way. `after` is one that is to arrive first, if it does so soon."""

    def __init__(self, message: Message, *, after: Delivery | None = None) -> None:
        self._message = message
        self._after = after
        self._reason = "no answer in time"
        self._thread = threading.Thread(target=self._work, name=message.kind, daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Wait until it has arrived or failed, no longer than that."""
        self._thread.join(max(seconds, 0.0))

    @property
    def problem(self) -> str:
        """Why it has not arrived; empty when it has."""
        if not self._reason:
            return ""
        host = printable(self._message.host, limit=MAX_REASON)
        return f"The {self._message.kind} to {host} was not delivered: {self._reason}."

    def _work(self) -> None:
        if self._after:
            self._after.wait(FIRST_SECONDS)
        try:
            self._reason = _send(self._message)
        except Exception as error:  # whatever it is, it is no reason for the task to fail
            self._reason = _reason(error)


def prepare() -> None:
    """Import what sending takes, before a thread does.

    A signal that met two threads in the same import would leave its lock taken for good.
    """
    for name in ("httpx", "tenacity"):
        import_module(name)


def settle(deliveries: list[Delivery], *, seconds: float = DEADLINE_SECONDS) -> list[str]:
    """Wait for all of them, no longer than that in all; return each problem once."""
    deadline = time.monotonic() + seconds
    for delivery in deliveries:
        delivery.wait(deadline - time.monotonic())
    return list(dict.fromkeys(d.problem for d in deliveries if d.problem))


def _send(message: Message) -> str:
    """Send it and return why it was not taken; empty when it was.

    Only a connection that never came to be is tried again: nothing had been sent. A redirect is
    not followed, since the text may be confidential.
    """
    import httpx
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

    is_https = urlsplit(message.url).scheme == "https"
    retrying = Retrying(
        retry=retry_if_exception_type(httpx.ConnectError),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_fixed(PAUSE_SECONDS),
        reraise=True,
    )

    def post() -> str:
        with client.stream(
            "POST",
            message.url,
            content=message.body,
            headers={"Content-Type": message.content_type, "Accept-Encoding": "identity"},
        ) as response:
            if not response.is_success:
                return f"it answered {response.status_code}"
            words = next(response.iter_raw(), b"").decode(errors="replace").strip()
            # Healthchecks says so, with 200, when it knows no such check, or has had enough.
            refused = words.startswith("OK (")
            return f"it answered {printable(words, limit=MAX_REASON)}" if refused else ""

    with httpx.Client(
        timeout=DEADLINE_SECONDS,
        # Loading the certificate bundle costs more than a whole request over plain http.
        verify=is_https,
        follow_redirects=False,
        # A proxy has no place between this machine and itself.
        trust_env=not is_loopback(message.host),
    ) as client:
        return retrying(post)


def _reason(error: Exception) -> str:
    """Return what went wrong in words that hold no URL: only transport errors' own words do so."""
    import httpx

    words = str(error) if isinstance(error, httpx.TransportError) else ""
    return printable((words or type(error).__name__).rstrip("."), limit=MAX_REASON)
