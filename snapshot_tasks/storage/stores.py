"""The registry of all kinds of stores. A new one is a class with a `StoreKind`, and one line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from snapshot_tasks.storage.kind import StoreKind
from snapshot_tasks.storage.kinds import AZURE, FOLDER, GOOGLE, S3
from snapshot_tasks.storage.place import FILE, Place
from snapshot_tasks.system.errors import Refused, SettingsError
from snapshot_tasks.system.untrusted import printable

if TYPE_CHECKING:
    from snapshot_tasks.storage.base import Store

STORES: tuple[StoreKind, ...] = (S3, GOOGLE, AZURE, FOLDER)


def examples() -> str:
    """Return an example URL of each kind, for help texts and errors; a folder is a path."""
    return ", ".join(kind.example for kind in STORES if kind.scheme != FILE)


def variable_prefixes() -> tuple[str, ...]:
    """Return the prefixes of the stores' variables."""
    return tuple(kind.prefix for kind in STORES if kind.prefix)


def parse_place(text: str, *, relative_to: Path) -> Place:
    """Parse a URL or a path.

    Raises:
        ValueError: if it is invalid; the message says what was expected, without repeating the URL,
            which may contain a secret.
    """
    scheme, has_scheme, rest = text.partition("://")
    if not has_scheme and re.match("[a-z][a-z0-9]+:", text):
        raise ValueError(f"{_expected()}, got a URL without its two slashes")
    if not has_scheme:
        return Place(scheme=FILE, bucket="", prefix=str(relative_to / Path(text).expanduser()))
    kind = _kind_of(scheme)
    if kind is None:
        raise ValueError(
            f"{_expected()}, got a URL that begins with {printable(scheme, limit=20)}://"
        )
    if "@" in rest or "?" in rest or "#" in rest:
        raise ValueError(
            f"{_expected()}, without credentials, ? or #; "
            "put credentials into the variables of the store"
        )
    if not kind.has_bucket:
        return _parse_path(text, kind)
    bucket, _, prefix = rest.partition("/")
    if not bucket:
        raise ValueError(f"{_expected()}, got a URL without a bucket")
    return Place(scheme=scheme, bucket=bucket, prefix=prefix.strip("/"))


def open_store(url: str, variables: Mapping[str, str], *, at: datetime | None = None) -> Store:
    """Return the store of a URL or a path, without contacting it; `at` a time, it is read-only.

    `variables` are the variables of the store, such as AWS_ACCESS_KEY_ID.

    Raises:
        Refused: if this kind of store cannot be read as it was.
        SettingsError: if the URL is wrong, or a variable has an impossible value.
    """
    try:
        place = parse_place(url, relative_to=Path.cwd())
    except ValueError as error:
        raise SettingsError(
            f"The off-site URL is invalid: expected {error}.",
            hint="Correct it; docs/offsite.md has an example for each store.",
        ) from None
    kind = _kind_of(place.scheme)
    assert kind is not None
    if at is None:
        return kind.open(place, variables)
    if kind.open_at is None:
        raise Refused(
            f"{place.url} cannot be read as it was at another time; only S3 buckets that keep"
            " versions can.",
            hint="Run this without `--at`, or restore the place from its own snapshots.",
        )
    return kind.open_at(place, variables, at)


def _kind_of(scheme: str) -> StoreKind | None:
    return next((kind for kind in STORES if kind.scheme == scheme), None)


def _expected() -> str:
    return f"a folder, or a URL such as {', '.join(kind.example for kind in STORES)}"


def _parse_path(text: str, kind: StoreKind) -> Place:
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise ValueError(f"a {kind.scheme} URL with three slashes, such as {kind.example}")
    return Place(scheme=kind.scheme, bucket="", prefix=unquote(parts.path))
