"""What a place for off-site copies can do: list, read, write and delete whole objects by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from snapshot_tasks.system.errors import Refused, StorageError


class Protected(StorageError):
    """The store keeps an object from being deleted or replaced, such as under an object lock."""

    kind = "protected"


class AlreadyThere(Refused):
    """Something has this name already, and only something new may be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One object: its name below the store's prefix, its size and when it was written."""

    name: str
    size_bytes: int
    modified_at: datetime


class Store(Protocol):
    """A store of objects. What goes wrong with it is a `StorageError` with a hint.

    Names are of `/`, and of what `offsite.layout` makes of anything else. `url` is for people: it
    holds no credentials.
    """

    @property
    def url(self) -> str:
        """Where the store is."""
        ...

    def list(self, folder: str) -> Iterator[Stored]:
        """Yield what is below a folder, in no order; a missing folder counts as empty.

        Raises:
            StorageError: if the store cannot be reached or there is no such bucket.
        """
        ...

    def read(self, name: str, *, offset: int = 0) -> Iterator[bytes]:
        """Yield an object's bytes from an offset on; a lost connection is taken up where it broke.

        Raises:
            NotFound: if there is no such object.
        """
        ...

    def write(self, name: str, data: bytes, *, new: bool = False) -> None:
        """Write an object, which is visible only once it is whole.

        Raises:
            AlreadyThere: if `new` and something has that name.
            Protected: if the store keeps what has that name.
        """
        ...

    def delete(self, name: str) -> None:
        """Delete an object; one that is not there is deleted already.

        Raises:
            Protected: if the store keeps it.
        """
        ...
