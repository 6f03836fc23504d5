"""What the URL of a store says. Pure: nothing is opened."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from snapshot_tasks.system.untrusted import printable

FILE = "file"
SCHEMES = ("s3", "gs", "az", FILE)
EXPECTED = "a folder, or a URL such as s3://bucket/prefix, gs://…, az://container/…, file:///…"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which kind of store, its bucket, and the prefix in it. A folder has only a prefix."""

    scheme: str
    bucket: str
    prefix: str

    @property
    def url(self) -> str:
        """The place as a URL, for people."""
        if self.scheme == FILE:
            return self.prefix
        return f"{self.scheme}://{'/'.join(filter(None, (self.bucket, self.prefix)))}"


def parse_place(text: str, *, relative_to: Path) -> Place:
    """Return what a URL or a path means.

    Raises:
        ValueError: saying what was expected. It does not repeat a URL that may hold a secret.
    """
    scheme, has_scheme, rest = text.partition("://")
    if not has_scheme and re.match("[a-z][a-z0-9]+:", text):
        raise ValueError(f"{EXPECTED}, got a URL without its two slashes")
    if not has_scheme:
        return Place(scheme=FILE, bucket="", prefix=str(relative_to / Path(text).expanduser()))
    if scheme not in SCHEMES:
        raise ValueError(f"{EXPECTED}, got one that begins with {printable(scheme, limit=20)}://")
    if "@" in rest or "?" in rest or "#" in rest:
        raise ValueError(f"{EXPECTED}, without credentials, ? or #: credentials have variables")
    if scheme == FILE:
        parts = urlsplit(text)
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise ValueError("a file URL with three slashes, such as file:///mnt/backup")
        return Place(scheme=FILE, bucket="", prefix=unquote(parts.path))
    bucket, _, prefix = rest.partition("/")
    if not bucket:
        raise ValueError(f"{EXPECTED}, got one without a bucket")
    return Place(scheme=scheme, bucket=bucket, prefix=prefix.strip("/"))
