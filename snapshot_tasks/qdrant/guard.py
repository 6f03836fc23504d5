"""What stands between the key and the wire: plain http, foreign certificates, redirects."""

from __future__ import annotations

import base64
import binascii
import json
import ssl
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

import httpx

from snapshot_tasks.domain.endpoint import Endpoint, Tls
from snapshot_tasks.system.errors import Refused, SettingsError, Unreachable

TLS_HINT = (
    "Check QDRANT_TLS_CA_FILE (who signed the server's certificate), QDRANT_TLS_CERT_FILE and"
    " QDRANT_TLS_KEY_FILE (where it asks for a client's), and the host name in QDRANT_URL."
)


def refuse_exposed_key(endpoint: Endpoint) -> None:
    """Keep the key off the network where anybody could read it. Nothing has been sent yet.

    Raises:
        Refused: when it would travel over plain http, and the host is not allowed by name.
    """
    if endpoint.exposes_key:
        raise Refused(
            f"The API key would travel readable to {endpoint.host}: {endpoint.url} is plain http.",
            hint=f"Use https, or allow it with QDRANT_ALLOW_PLAINTEXT_KEY={endpoint.host}.",
        )


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Return what https is checked against: the private CA alone, else the usual ones.

    Raises:
        SettingsError: when a file does not hold what its name says.
    """
    try:
        if tls.ca_file:
            context = ssl.create_default_context(cafile=tls.ca_file)
        else:
            context = httpx.create_ssl_context()
    except (ssl.SSLError, OSError) as error:
        raise SettingsError(
            f"QDRANT_TLS_CA_FILE: {tls.ca_file} holds no certificate of a CA: {_reason(error)}.",
            hint="It must be in PEM format: -----BEGIN CERTIFICATE-----.",
        ) from error
    if tls.cert_file and tls.key_file:
        try:
            # Without a password of ours, OpenSSL would ask for one on the terminal.
            context.load_cert_chain(tls.cert_file, tls.key_file, password=lambda: "")
        except (ssl.SSLError, OSError) as error:
            raise SettingsError(
                f"QDRANT_TLS_CERT_FILE and QDRANT_TLS_KEY_FILE do not fit: {_reason(error)}.",
                hint="Both must be in PEM format, belong together, and have no password.",
            ) from error
    return context


def tls_error(error: BaseException) -> ssl.SSLError | None:
    """Return the TLS failure behind a lost connection, if that is what it was."""
    return next((cause for cause in _causes(error) if isinstance(cause, ssl.SSLError)), None)


def is_scoped(key: str | None) -> bool:
    """Say whether a key is a token for single collections: Qdrant hides all aliases from those."""
    parts = (key or "").split(".")
    if len(parts) != 3:
        return False
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return isinstance(claims["access"], list)
    except (binascii.Error, ValueError, KeyError, TypeError):
        return False


def refuse_redirect(response: httpx.Response) -> None:
    """Go nowhere that a server points to: the key is meant for the host in the settings.

    Raises:
        Unreachable: naming where it pointed, without what follows a question mark.
    """
    location = response.headers.get("location")
    if location is None or not 300 <= response.status_code < 400:
        return
    target = urlsplit(urljoin(str(response.request.url), location))
    place = f"{target.scheme}://{target.netloc.rpartition('@')[2]}{target.path}"
    raise Unreachable(
        f"{response.request.url.copy_with(query=None)} answered {response.status_code} and pointed"
        f" at {place[:200]!r}; redirects are not followed, so that the key goes nowhere else.",
        hint="Set QDRANT_URL to the address where Qdrant itself answers.",
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _reason(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or str(error)
