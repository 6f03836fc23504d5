"""Sends one HTTP message in a background thread.

A receiver may accept and never respond, a name may take a minute to resolve, a response may arrive
byte by byte. httpx limits single reads, not whole requests, so waiting has a deadline, and the
thread is a daemon that ends with the process.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from importlib import import_module
from urllib.parse import urlsplit

from snapshot_tasks.domain.endpoint import is_loopback
from snapshot_tasks.system.errors import SettingsError
from snapshot_tasks.system.proxies import proxy_for
from snapshot_tasks.system.untrusted import printable

# The longest time that a task waits for its alarms at the end.
DEADLINE_SECONDS = 5.0
# A ping that says "ended" must not overtake the one that says "started".
FIRST_SECONDS = 1.5
ATTEMPTS, PAUSE_SECONDS = 3, 0.3
MAX_REASON = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message and its destination; users see `kind` and the host, but no secret of the URL."""

    kind: str
    url: str = field(repr=False)
    body: bytes = field(repr=False)
    content_type: str

    @property
    def host(self) -> str:
        """The receiving host, without credentials, port and path."""
        return urlsplit(self.url).hostname or ""


class Delivery:
    """A message being sent. `after` is a delivery that should finish first, if it is quick."""

    def __init__(self, message: Message, *, after: Delivery | None = None) -> None:
        self._message = message
        self._after = after
        self._reason = "no response in time"
        self._thread = threading.Thread(target=self._work, name=message.kind, daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Wait until the message was delivered or failed, at most that long."""
        self._thread.join(max(seconds, 0.0))

    @property
    def problem(self) -> str:
        """The reason why it was not delivered, or an empty string."""
        if not self._reason:
            return ""
        host = printable(self._message.host, limit=MAX_REASON)
        return f"The {self._message.kind} to {host} was not delivered: {self._reason}."

    def _work(self) -> None:
        if self._after:
            self._after.wait(FIRST_SECONDS)
        try:
            self._reason = _send(self._message)
        except Exception as error:  # no error here may make the task fail
            self._reason = _reason(error)


def prepare() -> None:
    """Import the modules for sending before any thread does.

    A signal during an import that two threads share would leave the import lock held forever.
    """
    for name in ("httpx", "tenacity"):
        import_module(name)


def settle(deliveries: list[Delivery], *, seconds: float = DEADLINE_SECONDS) -> list[str]:
    """Wait for all deliveries, at most that long in total; return each problem once."""
    deadline = time.monotonic() + seconds
    for delivery in deliveries:
        delivery.wait(deadline - time.monotonic())
    return list(dict.fromkeys(d.problem for d in deliveries if d.problem))


def _send(message: Message) -> str:
    """Send a message; return the reason if it was not accepted, else an empty string.

    Only a connection that could not be opened is retried, because nothing had been sent. A redirect
    is not followed, because the text may be confidential.
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
                return f"the server responded {response.status_code}"
            words = next(response.iter_raw(), b"").decode(errors="replace").strip()
            # Healthchecks responds with 200 and this text if the check is unknown or rate limited.
            refused = words.startswith("OK (")
            return f"the server responded {printable(words, limit=MAX_REASON)}" if refused else ""

    # Never use a proxy for connections to this machine.
    proxy = None if is_loopback(message.host) else proxy_for(message.url)
    with httpx.Client(
        timeout=DEADLINE_SECONDS,
        # Loading the certificate bundle takes longer than a whole request over plain HTTP.
        verify=httpx.create_ssl_context() if is_https else False,
        follow_redirects=False,
        proxy=proxy.url if proxy else None,
        trust_env=False,
    ) as client:
        return retrying(post)


def _reason(error: Exception) -> str:
    """Return the reason without a URL; only the texts of transport errors never contain one."""
    import httpx

    words = str(error) if isinstance(error, httpx.TransportError | SettingsError) else ""
    return printable((words or type(error).__name__).rstrip("."), limit=MAX_REASON)
