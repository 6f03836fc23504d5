"""Every kind of store there is. A new one: a class with its `StoreKind`, and one line here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from snapshot_tasks.storage.base import Store
from snapshot_tasks.storage.folder import FOLDER
from snapshot_tasks.storage.kind import StoreKind
from snapshot_tasks.storage.place import FILE, Place
from snapshot_tasks.storage.vendors import AZURE, GOOGLE, S3
from snapshot_tasks.system.errors import SettingsError
from snapshot_tasks.system.untrusted import printable

STORES: tuple[StoreKind, ...] = (S3, GOOGLE, AZURE, FOLDER)


def examples() -> str:
    """Return one URL of each kind, for help texts and errors; a folder is written as its path."""
    return ", ".join(kind.example for kind in STORES if kind.scheme != FILE)


def variable_prefixes() -> tuple[str, ...]:
    """Return what the names of the stores' own variables begin with."""
    return tuple(kind.prefix for kind in STORES if kind.prefix)


def parse_place(text: str, *, relative_to: Path) -> Place:
    """Return what a URL or a path means.

    Raises:
        ValueError: saying what was expected. It does not repeat a URL that may hold a secret.
    """
    scheme, has_scheme, rest = text.partition("://")
    if not has_scheme and re.match("[a-z][a-z0-9]+:", text):
        raise ValueError(f"{_expected()}, got a URL without its two slashes")
    if not has_scheme:
        return Place(scheme=FILE, bucket="", prefix=str(relative_to / Path(text).expanduser()))
    kind = _kind_of(scheme)
    if kind is None:
        raise ValueError(
            f"{_expected()}, got one that begins with {printable(scheme, limit=20)}://"
        )
    if "@" in rest or "?" in rest or "#" in rest:
        raise ValueError(f"{_expected()}, without credentials, ? or #: credentials have variables")
    if not kind.has_bucket:
        return _parse_path(text, kind)
    bucket, _, prefix = rest.partition("/")
    if not bucket:
        raise ValueError(f"{_expected()}, got one without a bucket")
    return Place(scheme=scheme, bucket=bucket, prefix=prefix.strip("/"))


def open_store(url: str, variables: Mapping[str, str]) -> Store:
    """Return the store that a URL or a path means.

    `variables` are the store's own, such as AWS_ACCESS_KEY_ID. Nothing is asked of it yet.

    Raises:
        SettingsError: if the URL is wrong, or a variable has an impossible value.
    """
    try:
        place = parse_place(url, relative_to=Path.cwd())
    except ValueError as error:
        raise SettingsError(
            f"The off-site URL is wrong: expected {error}.",
            hint="Correct it; docs/offsite.md shows one for each store.",
        ) from None
    kind = _kind_of(place.scheme)
    assert kind is not None
    return kind.open(place, variables)


def _kind_of(scheme: str) -> StoreKind | None:
    return next((kind for kind in STORES if kind.scheme == scheme), None)


def _expected() -> str:
    return f"a folder, or a URL such as {', '.join(kind.example for kind in STORES)}"


def _parse_path(text: str, kind: StoreKind) -> Place:
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise ValueError(f"a {kind.scheme} URL with three slashes, such as {kind.example}")
    return Place(scheme=kind.scheme, bucket="", prefix=unquote(parts.path))
