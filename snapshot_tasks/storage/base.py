"""The interface of a store: list, read, write and delete whole objects by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from snapshot_tasks.system.errors import Refused, StorageError

TOO_LONG = (
    "Off-site, a character that is not ASCII takes 6 to 12 bytes. Push it to a place with a shorter"
    " prefix or to a bucket, or give the collection a shorter name."
)


class Protected(StorageError):
    """The store does not allow deleting or replacing an object, such as under an object lock."""

    kind = "protected"


class AlreadyThere(Refused):
    """An object with this name already exists, and only a new one may be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One object: its name below the store's prefix, its size and its time of writing."""

    name: str
    size_bytes: int
    modified_at: datetime


class Store(Protocol):
    """A store of objects. Its problems are raised as a `StorageError` with a hint.

    Names consist of `/` and of parts encoded by `offsite.layout`. `url` is for display, without
    credentials.
    """

    @property
    def url(self) -> str:
        """The URL of the store."""
        ...

    def check_name(self, name: str) -> None:
        """Check that an object can have this name, and that no other name means the same.

        Raises:
            Refused: if it cannot.
        """
        ...

    def list(self, folder: str) -> Iterator[Stored]:
        """Yield the objects below a folder, in any order; a missing folder counts as empty.

        Raises:
            StorageError: if the store cannot be reached or there is no such bucket.
        """
        ...

    def folders(self) -> Iterator[str]:
        """Yield the names of folders directly in this place, not of all if there are very many.

        Raises:
            StorageError: if the store cannot be reached or there is no such bucket.
        """
        ...

    def read(self, name: str, *, offset: int = 0, size: int | None = None) -> Iterator[bytes]:
        """Yield an object's bytes from an offset on, `size` of them or as many as there are.

        A lost connection resumes where it stopped.

        Raises:
            NotFound: if there is no such object.
            Damaged: if the disk answers, but cannot read this one any more.
        """
        ...

    def write(self, name: str, data: bytes, *, new: bool = False) -> None:
        """Write an object, which only becomes visible once it is complete.

        Raises:
            AlreadyThere: if `new`, and an object with that name exists.
            Protected: if the store protects the existing object with that name.
        """
        ...

    def delete(self, name: str) -> None:
        """Delete an object; a missing object counts as deleted.

        Raises:
            Protected: if the store protects it.
        """
        ...
