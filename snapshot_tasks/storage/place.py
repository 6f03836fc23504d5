"""The location of a store. Pure: nothing is opened."""

from __future__ import annotations

from dataclasses import dataclass

FILE = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The scheme of a store, its bucket, and the prefix in it. A folder has only a prefix."""

    scheme: str
    bucket: str
    prefix: str

    @property
    def url(self) -> str:
        """The place as a URL, for display."""
        if self.scheme == FILE:
            return self.prefix
        return f"{self.scheme}://{'/'.join(filter(None, (self.bucket, self.prefix)))}"
