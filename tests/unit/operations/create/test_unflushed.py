"""A server that cannot write a collection to its disk is asked again, and then said to be that."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from snapshot_tasks.catalog.journal import NO_JOURNAL
from snapshot_tasks.domain.collection import CollectionState, ServerSnapshot
from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.operations.create import download
from snapshot_tasks.qdrant.errors import is_unflushed, refusal
from snapshot_tasks.qdrant.mark import SnapshotMark
from snapshot_tasks.system.errors import ServerFailure, TaskError, Unreachable
from snapshot_tasks.system.progress import Silent
from tests.conftest import now

# As 1.17.0 answered it while an index was made and dropped in a loop.
ANSWER = (
    "Service internal error: failed to create snapshot: Service internal error: last background "
    "flush failed: Service runtime error: Failed to flush payload_index: Service runtime error: "
    "Failed to flush mutable map index gridstore: Flush was cancelled"
)
MADE = ServerSnapshot(name="a.snapshot", size_bytes=1, sha256=None)


def failure(text: str) -> TaskError:
    """Return what a 500 with this reason means."""
    response = httpx.Response(500, json={"status": {"error": text}})
    return refusal(response, Endpoint(url="http://nowhere.invalid"))


class Snapshots:
    """Refuses some times, then creates."""

    def __init__(self, errors: list[TaskError]) -> None:
        self.errors = errors

    def mark(self, collection: str) -> SnapshotMark:
        """Return a mark before everything."""
        return SnapshotMark(before=(), since=now())

    def delete(self, collection: str, name: str, **options: object) -> None:
        """Delete nothing."""

    def discard_made(self, *args: object, **options: object) -> bool:
        """Nothing was made."""
        return True

    def create(self, *args: object, **options: object) -> ServerSnapshot:
        """Refuse or create."""
        if self.errors:
            raise self.errors.pop(0)
        return MADE


class Refusing:
    """A server with such snapshots."""

    def __init__(self, errors: list[TaskError]) -> None:
        self.snapshots = Snapshots(errors)
        self.endpoint = Endpoint(url="http://nowhere.invalid")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that would have been made."""
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    return pauses


def create(*errors: TaskError, interval: object = 3) -> ServerSnapshot:
    """Create a snapshot on a server that first refuses with these errors."""
    config = {"optimizer_config": {"flush_interval_sec": interval}}
    state = CollectionState(points_count=1, config=config, payload_schema={}, aliases=())
    server: Any = Refusing(list(errors))
    with download.ServerCopy("books", server, NO_JOURNAL, Silent(), keep=False) as copy:
        return copy.create(state)


def test_it_is_asked_again_after_the_flush_interval(waits: list[float]) -> None:
    """As long as the collection's own setting says."""
    assert is_unflushed(failure(ANSWER))
    assert create(failure(ANSWER), failure(ANSWER)) == MADE
    assert waits == [3.0, 3.0]


@pytest.mark.parametrize(("interval", "seconds"), [(None, 5.0), (600, 30.0)])
def test_other_intervals_are_reasonable(
    waits: list[float], interval: object, seconds: float
) -> None:
    """Unknown, or very long."""
    create(failure(ANSWER), interval=interval)
    assert waits == [seconds]


def test_what_stays_is_named(waits: list[float]) -> None:
    """Five times, then 13, with the cause and the way out."""
    with pytest.raises(Unreachable, match="drops payload indexes") as caught:
        create(*(failure(ANSWER) for _ in range(9)))
    assert len(waits) == download.FLUSH_ATTEMPTS - 1
    assert "last background flush failed" in caught.value.message


def test_another_failure_is_not_repeated(waits: list[float]) -> None:
    """Only this one goes away by itself."""
    with pytest.raises(ServerFailure):
        create(failure("Service internal error: something else"))
    assert waits == []
