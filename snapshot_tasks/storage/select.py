"""Which storage a URL means. A new one: a class in a file beside this one, and its line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from snapshot_tasks.storage.base import Storage
from snapshot_tasks.storage.folder import FolderStorage
from snapshot_tasks.storage.place import FILE, Place, parse_place
from snapshot_tasks.storage.vendors import azure_storage, gcs_storage, s3_storage
from snapshot_tasks.system.errors import SettingsError

STORAGES: dict[str, Callable[[Place, Mapping[str, str]], Storage]] = {
    "s3": s3_storage,
    "gs": gcs_storage,
    "az": azure_storage,
    FILE: FolderStorage,
}


def open_storage(url: str, variables: Mapping[str, str]) -> Storage:
    """Return the store that a URL or a path means.

    `variables` are the store's own, such as AWS_ACCESS_KEY_ID. Nothing is asked of it yet.

    Raises:
        SettingsError: when the URL is none, or a variable has an impossible value.
    """
    try:
        place = parse_place(url, relative_to=Path.cwd())
    except ValueError as error:
        raise SettingsError(
            f"The off-site URL is wrong: expected {error}.",
            hint="Correct it; docs/offsite.md shows one for each store.",
        ) from None
    return STORAGES[place.scheme](place, variables)
