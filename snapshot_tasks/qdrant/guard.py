"""Protects the key on the network: plain HTTP, untrusted certificates, redirects."""

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
    "Check QDRANT_TLS_CA_FILE (the CA that signed the server's certificate), QDRANT_TLS_CERT_FILE"
    " and QDRANT_TLS_KEY_FILE (if the server asks for a client certificate), and the host name in"
    " QDRANT_URL."
)

# What OpenSSL calls a response that is no TLS, by its version.
_NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")


def refuse_exposed_key(endpoint: Endpoint) -> None:
    """Keep the key off a network where others could read it. Nothing has been sent yet.

    Raises:
        Refused: if it would be sent over plain HTTP to a host that is not explicitly allowed.
    """
    if endpoint.exposes_key:
        raise Refused(
            f"The API key would be sent unencrypted to {endpoint.host}: {endpoint.url} uses plain"
            " HTTP.",
            hint=f"Use HTTPS, or allow it with QDRANT_ALLOW_PLAINTEXT_KEY={endpoint.host}.",
        )


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Return the context that verifies HTTPS: with only the private CA if set, else the usual CAs.

    Raises:
        SettingsError: if a file does not contain what its setting requires.
    """
    try:
        if tls.ca_file:
            context = ssl.create_default_context(cafile=tls.ca_file)
        else:
            context = httpx.create_ssl_context()
    except (ssl.SSLError, OSError) as error:
        raise SettingsError(
            f"QDRANT_TLS_CA_FILE: {tls.ca_file} contains no CA certificate: {_reason(error)}.",
            hint="It must be in PEM format: -----BEGIN CERTIFICATE-----.",
        ) from error
    if tls.cert_file and tls.key_file:
        try:
            # Without a password from us, OpenSSL would ask for one on the terminal.
            context.load_cert_chain(tls.cert_file, tls.key_file, password=lambda: "")
        except (ssl.SSLError, OSError) as error:
            raise SettingsError(
                f"QDRANT_TLS_CERT_FILE and QDRANT_TLS_KEY_FILE do not match: {_reason(error)}.",
                hint="Both must be in PEM format, belong together, and have no password.",
            ) from error
    return context


def is_not_tls(error: BaseException) -> bool:
    """Return whether the server at an https:// URL responded in plain HTTP."""
    return getattr(tls_error(error), "reason", None) in _NOT_TLS


def tls_error(error: BaseException) -> ssl.SSLError | None:
    """Return the TLS failure behind a lost connection, if there is one."""
    return next((cause for cause in _causes(error) if isinstance(cause, ssl.SSLError)), None)


def is_scoped(key: str | None) -> bool:
    """Return whether a key is a token for single collections, which cannot see aliases."""
    parts = (key or "").split(".")
    if len(parts) != 3:
        return False
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return isinstance(claims["access"], list)
    except (binascii.Error, ValueError, KeyError, TypeError):
        return False


def refuse_redirect(response: httpx.Response) -> None:
    """Do not follow redirects: the key is meant only for the host in the settings.

    Raises:
        Unreachable: with the target of the redirect, without its query string.
    """
    location = response.headers.get("location")
    if location is None or not 300 <= response.status_code < 400:
        return
    target = urlsplit(urljoin(str(response.request.url), location))
    place = f"{target.scheme}://{target.netloc.rpartition('@')[2]}{target.path}"
    raise Unreachable(
        f"{response.request.url.copy_with(query=None)} redirected ({response.status_code}) to"
        f" {place[:200]!r}. Redirects are not followed, so that the key is not sent elsewhere.",
        hint="Set QDRANT_URL to the address of Qdrant itself.",
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _reason(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or str(error)
