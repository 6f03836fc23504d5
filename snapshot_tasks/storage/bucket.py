"""Sets up a bucket with the variables of its store."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from urllib.parse import urlsplit

from obstore import exceptions

from snapshot_tasks.domain.endpoint import is_loopback
from snapshot_tasks.storage.object_store import MAX_REASON, Client, ObjectStore
from snapshot_tasks.storage.place import Place
from snapshot_tasks.system.errors import SettingsError
from snapshot_tasks.system.untrusted import printable

# A request transfers at most one part of a snapshot: 32 MiB in 5 minutes needs 1 Mbit/s.
REQUEST_SECONDS = 300.0
CONNECT_SECONDS = 5.0
RETRIES = 10
RETRY_SECONDS = 180.0
_SECRET = re.compile("KEY|SECRET|TOKEN|PASSWORD|SAS|SIGNATURE", re.I)


def open_bucket(
    vendor: Callable[..., Client],
    place: Place,
    variables: Mapping[str, str],
    *,
    prefix: str,
    defaults: Mapping[str, str] | None = None,
    endpoints: tuple[str, ...] = (),
) -> ObjectStore:
    """Return the store of a bucket. `prefix` is the prefix of the names of its variables.

    Plain HTTP is only allowed if one of the `endpoints` variables points to this machine.

    Raises:
        SettingsError: if a variable has an impossible value.
    """
    try:
        client = vendor(
            place.bucket,
            prefix=place.prefix or None,
            config={**(defaults or {}), **_config(vendor, prefix, variables)},
            client_options={
                "allow_http": allows_http(variables, prefix, endpoints),
                "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
                "timeout": timedelta(seconds=REQUEST_SECONDS),
            },
            retry_config={
                "max_retries": RETRIES,
                "retry_timeout": timedelta(seconds=RETRY_SECONDS),
            },
        )
    except (exceptions.BaseError, ValueError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise SettingsError(
            f"Cannot use {place.url}: {printable(reason, limit=MAX_REASON)}.",
            hint="Correct the variables of the store; docs/offsite.md lists them.",
        ) from None
    secret = (value for name, value in variables.items() if _SECRET.search(name) and len(value) > 5)
    return ObjectStore(place, client, prefix=prefix, secrets=tuple(secret))


def _config(
    vendor: Callable[..., Client], prefix: str, variables: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables that the store supports; the others are for other programs."""
    known = {}
    for name, value in variables.items():
        if name.startswith(prefix):
            try:
                vendor("any", config={name.lower(): value})
            except exceptions.UnknownConfigurationKeyError:
                continue
            except (exceptions.BaseError, ValueError):
                pass  # it is reported together with all the others
            known[name.lower()] = value
    return known


def allows_http(variables: Mapping[str, str], prefix: str, endpoints: tuple[str, ...]) -> bool:
    """Return whether plain HTTP is allowed: on this machine, or by the variables."""
    if variables.get(f"{prefix}ALLOW_HTTP", "").lower() in ("1", "true"):
        return True
    urls = [variables[name] for name in endpoints if name in variables]
    return bool(urls) and all(is_loopback(urlsplit(url).hostname or "") for url in urls)
