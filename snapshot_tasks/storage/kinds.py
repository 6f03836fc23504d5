"""The kinds of stores; what a store needs is only imported when one is opened."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from snapshot_tasks.storage.kind import StoreKind
from snapshot_tasks.storage.place import FILE, Place
from snapshot_tasks.system.errors import SettingsError

if TYPE_CHECKING:
    from snapshot_tasks.storage.base import Store
    from snapshot_tasks.storage.object_store import ObjectStore


def _open_s3(place: Place, variables: Mapping[str, str]) -> ObjectStore:
    """Open a bucket of S3, or of a compatible store at AWS_ENDPOINT_URL.

    Every object is sent with its SHA-256 for the store to check, because a bucket with an object
    lock requires a checksum; AWS_CHECKSUM_ALGORITHM chooses another algorithm.
    """
    from obstore.store import S3Store

    from snapshot_tasks.storage.bucket import open_bucket

    return open_bucket(
        S3Store,
        place,
        variables,
        prefix=S3.prefix,
        defaults={"checksum_algorithm": "SHA256"},
        endpoints=("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"),
    )


def _open_s3_at(place: Place, variables: Mapping[str, str], at: datetime) -> Store:
    """Open a bucket of S3 that keeps versions, as it was at a time."""
    from snapshot_tasks.storage.bucket import allows_http
    from snapshot_tasks.storage.versions import ENDPOINTS, needs_http, open_versions

    store = _open_s3(place, variables)
    if needs_http(variables) and not allows_http(variables, S3.prefix, ENDPOINTS):
        raise SettingsError(
            f"Cannot use {place.url}: its endpoint is not encrypted.",
            hint="Use https://, or set AWS_ALLOW_HTTP=true.",
        )
    return open_versions(place, store, variables, at)


def _open_google(place: Place, variables: Mapping[str, str]) -> Store:
    from obstore.store import GCSStore

    from snapshot_tasks.storage.bucket import open_bucket

    return open_bucket(GCSStore, place, variables, prefix=GOOGLE.prefix)


def _open_azure(place: Place, variables: Mapping[str, str]) -> Store:
    """Open a container of the account in the variables."""
    from obstore.store import AzureStore

    from snapshot_tasks.storage.bucket import open_bucket

    return open_bucket(
        AzureStore,
        place,
        variables,
        prefix=AZURE.prefix,
        endpoints=("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
    )


def _open_folder(place: Place, variables: Mapping[str, str]) -> Store:
    """Open a folder, which has no variables."""
    from snapshot_tasks.storage.folder import FolderStore

    return FolderStore(place, variables)


S3 = StoreKind(
    scheme="s3",
    example="s3://bucket/prefix",
    prefix="AWS_",
    open=_open_s3,
    open_at=_open_s3_at,
)
GOOGLE = StoreKind(scheme="gs", example="gs://bucket/prefix", prefix="GOOGLE_", open=_open_google)
AZURE = StoreKind(scheme="az", example="az://container/prefix", prefix="AZURE_", open=_open_azure)
FOLDER = StoreKind(scheme=FILE, example="file:///mnt/backup", open=_open_folder, has_bucket=False)
