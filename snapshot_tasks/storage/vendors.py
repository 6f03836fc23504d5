"""The stores that `obstore` speaks to, each set up by the variables that it has itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from urllib.parse import urlsplit

from obstore import exceptions
from obstore.store import AzureStore, GCSStore, S3Store

from snapshot_tasks.domain.endpoint import is_loopback
from snapshot_tasks.storage.object_store import MAX_REASON, ObjectStorage, Store
from snapshot_tasks.storage.place import Place
from snapshot_tasks.system.errors import SettingsError
from snapshot_tasks.system.untrusted import printable

# One request moves at most one part of a snapshot: 32 MiB in 5 minutes is a line of 1 Mbit/s.
REQUEST_SECONDS = 300.0
CONNECT_SECONDS = 5.0
RETRIES = 10
RETRY_SECONDS = 180.0
_SECRET = re.compile("KEY|SECRET|TOKEN|PASSWORD|SAS|SIGNATURE", re.I)


def s3_storage(place: Place, variables: Mapping[str, str]) -> ObjectStorage:
    """S3, and what speaks its protocol: AWS_ENDPOINT_URL says where.

    Every object carries its SHA-256 for the store to check, which a bucket with an object lock
    demands; AWS_CHECKSUM_ALGORITHM chooses another.
    """
    config = {"checksum_algorithm": "SHA256"} | _config(S3Store, "AWS_", variables)
    return _storage(S3Store, place, config, variables, "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")


def gcs_storage(place: Place, variables: Mapping[str, str]) -> ObjectStorage:
    """Google Cloud Storage."""
    return _storage(GCSStore, place, _config(GCSStore, "GOOGLE_", variables), variables)


def azure_storage(place: Place, variables: Mapping[str, str]) -> ObjectStorage:
    """Azure Blob Storage; the bucket is a container of the account that the variables name."""
    config = _config(AzureStore, "AZURE_", variables)
    endpoints = ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
    return _storage(AzureStore, place, config, variables, *endpoints)


def _storage(
    kind: Callable[..., Store],
    place: Place,
    config: Mapping[str, str],
    variables: Mapping[str, str],
    *endpoints: str,
) -> ObjectStorage:
    try:
        store = kind(
            place.bucket,
            prefix=place.prefix or None,
            config=config,
            client_options={
                "allow_http": _allows_http(variables, endpoints),
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
            f"{place.url} cannot be used: {printable(reason, limit=MAX_REASON)}.",
            hint="Correct the store's own variables; docs/offsite.md lists them.",
        ) from None
    secret = (value for name, value in variables.items() if _SECRET.search(name) and len(value) > 5)
    return ObjectStorage(place, store, secrets=tuple(secret))


def _config(
    kind: Callable[..., Store], prefix: str, variables: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables that the store knows; the others are for other programs."""
    known = {}
    for name, value in variables.items():
        if name.startswith(prefix):
            try:
                kind("any", config={name.lower(): value})
            except exceptions.UnknownConfigurationKeyError:
                continue
            except (exceptions.BaseError, ValueError):
                pass  # it is told with all the others
            known[name.lower()] = value
    return known


def _allows_http(variables: Mapping[str, str], endpoints: tuple[str, ...]) -> bool:
    """Say whether plain http will do: on this machine, or where the variables allow it."""
    if any(
        variables.get(f"{provider}_ALLOW_HTTP", "").lower() in ("1", "true")
        for provider in ("AWS", "AZURE", "GOOGLE")
    ):
        return True
    urls = [variables[name] for name in endpoints if name in variables]
    return bool(urls) and all(is_loopback(urlsplit(url).hostname or "") for url in urls)
