"""Stores in memory, in which a run dies at one of its calls, or something else happens just before.

There are thousands of such runs. What a folder and a bucket do is tested by tests/contract.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from snapshot_tasks.storage.base import AlreadyThere, Protected, Store, Stored
from snapshot_tasks.system.errors import NotFound


class Died(BaseException):
    """The process was killed: no handler of a `TaskError` goes on after it."""


@dataclass
class Memory:
    """Objects in memory. What was written less than `kept` ago cannot be deleted."""

    objects: dict[str, tuple[Stored, bytes]] = field(default_factory=dict)
    kept: timedelta = timedelta(0)
    url: str = "memory"

    def check_name(self, name: str) -> None:
        """Accept any name."""

    def list(self, folder: str) -> Iterator[Stored]:
        """Yield what is there at the time of the call, as in one page of a bucket."""
        prefix = f"{folder}/" if folder else ""
        return iter([s for name, (s, _) in self.objects.items() if name.startswith(prefix)])

    def folders(self) -> Iterator[str]:
        """Yield the names of the folders."""
        return iter({name.partition("/")[0] for name in self.objects})

    def read(self, name: str, *, offset: int = 0, size: int | None = None) -> Iterator[bytes]:
        """Yield an object in one piece."""
        if name not in self.objects:
            raise NotFound(f"{name} is missing.", hint="None.")
        data = self.objects[name][1]
        yield data[offset : len(data) if size is None else offset + size]

    def write(self, name: str, data: bytes, *, new: bool = False) -> None:
        """Write an object."""
        if new and name in self.objects:
            raise AlreadyThere(f"{name} is there.", hint="None.")
        stored = Stored(name=name, size_bytes=len(data), modified_at=datetime.now(UTC))
        self.objects[name] = (stored, data)

    def delete(self, name: str) -> None:
        """Delete an object, unless it is kept."""
        found = self.objects.get(name)
        if found and datetime.now(UTC) - found[0].modified_at < self.kept:
            raise Protected(f"{name} is kept.", hint="None.")
        self.objects.pop(name, None)

    def age(self, days: float) -> None:
        """Let days pass."""
        for name, (stored, data) in self.objects.items():
            earlier = stored.modified_at - timedelta(days=days)
            self.objects[name] = (replace(stored, modified_at=earlier), data)

    def copy(self) -> Memory:
        """Return the same objects in another store."""
        return replace(self, objects=dict(self.objects))


class Breaking:
    """Passes calls on to a store; after one of them, number `at` from 0, it is dead for good.

    With `meanwhile`, that is called before it instead, and all goes on as if nothing had happened.
    """

    def __init__(
        self,
        store: Store,
        at: int,
        *,
        meanwhile: Callable[[], object] | None = None,
    ) -> None:
        self.url = store.url
        self.reached = False
        self._store = store
        self._at = at
        self._meanwhile = meanwhile
        self._calls = 0
        self._lock = threading.Lock()

    def check_name(self, name: str) -> None:
        """Accept any name."""

    def list(self, folder: str) -> Iterator[Stored]:
        """List a folder."""
        return iter(self._call(lambda: [*self._store.list(folder)]))

    def folders(self) -> Iterator[str]:
        """List the folders."""
        return iter(self._call(lambda: [*self._store.folders()]))

    def read(self, name: str, *, offset: int = 0, size: int | None = None) -> Iterator[bytes]:
        """Read an object."""
        return iter(self._call(lambda: [*self._store.read(name, offset=offset, size=size)]))

    def write(self, name: str, data: bytes, *, new: bool = False) -> None:
        """Write an object."""
        self._call(lambda: self._store.write(name, data, new=new))

    def delete(self, name: str) -> None:
        """Delete an object."""
        self._call(lambda: self._store.delete(name))

    def _call(self, work: Callable[[], Any]) -> Any:
        with self._lock:
            number, self._calls = self._calls, self._calls + 1
            self.reached |= number == self._at
        if self._meanwhile:
            if number == self._at:
                self._meanwhile()
            return work()
        result = work() if number <= self._at else None
        if number >= self._at:
            raise Died
        return result
