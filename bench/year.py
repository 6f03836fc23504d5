"""A year of daily snapshots, with real bytes and made-up dates: how much lies off-site."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from bench.data import NAME, add, change, load
from bench.growth import Size
from bench.server import measured_server
from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.domain.retention import Policy
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.offsite.codec import Packer, Unpacker
from snapshot_tasks.offsite.marker import Marker
from snapshot_tasks.offsite.repository import Repository
from snapshot_tasks.operations.create.one import create
from snapshot_tasks.operations.create.request import CreateRequest
from snapshot_tasks.operations.offsite.moving import Keys
from snapshot_tasks.operations.offsite.prune import plan_remote, prune_remote
from snapshot_tasks.operations.offsite.push import PushRequest, push
from snapshot_tasks.operations.offsite.sparse import rewrite
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.storage.stores import open_store
from snapshot_tasks.system.progress import Silent

MODELS = ("1 % overwritten a day", "1 % added a day")
SIZE = Size(points=20_000, dimensions=128)
POLICY = Policy(keep_daily=7, keep_weekly=4, keep_monthly=12)
START = datetime(2027, 1, 1, 3, tzinfo=UTC)
GREEN_SECONDS = 600
# So small a collection would never be optimized, and its segments be overwritten in place.
SMALL_SEGMENTS = {"optimizers_config": {"indexing_threshold": 1000}, "hnsw_config": {"m": 16}}


@dataclass(frozen=True, slots=True)
class Day:
    """What lies off-site on one day: snapshots, all bytes, and those of the newest by itself."""

    number: int
    kept_count: int
    stored_bytes: int
    newest_bytes: int


def year(model: str, days: int) -> Iterator[Day]:
    """Take, push and prune once a day; yield how much lies off-site afterwards."""
    with measured_server() as (endpoint, _), tempfile.TemporaryDirectory() as name:
        desk = _Desk(Path(name))
        load(endpoint, NAME, SIZE)
        settings = httpx.patch(f"{endpoint.url}/collections/{NAME}", json=SMALL_SEGMENTS)
        settings.raise_for_status()
        points = SIZE.points
        with Server(endpoint, operation_timeout_seconds=3600) as server:
            for number in range(days):
                if number:
                    points = _write(endpoint, model, points, seed=number)
                server.collections.wait_green(NAME, GREEN_SECONDS)
                yield desk.day(server, number)


def _write(endpoint: Endpoint, model: str, points: int, *, seed: int) -> int:
    if model == MODELS[0]:
        change(endpoint, NAME, SIZE, seed=seed)
        return points
    more = SIZE.points // 100
    add(endpoint, NAME, SIZE, range(points, points + more), seed=seed)
    return points + more


class _Desk:
    """The snapshot folder and the place, whose objects get the made-up time."""

    def __init__(self, folder: Path) -> None:
        self._place, self._catalog = folder / "place", Catalog(folder / "snapshots")
        self._place.mkdir()
        self._catalog.make_folder()
        self._repository = Repository(open_store(str(self._place), {}))
        self._keys = Keys(packer=Packer(), unpacker=Unpacker(), cache=self._catalog.folder)

    def day(self, server: Server, number: int) -> Day:
        """Live one day."""
        now = START + timedelta(days=number)
        request = CreateRequest(collection=NAME, seal=False)
        taken = create(request, server, self._catalog, Silent(), clock=lambda: now).snapshot
        with self._written_at(now):
            marker = self._push(taken)
        with self._written_at(now):
            pruned = prune_remote(
                plan_remote(self._repository, POLICY, now=now), POLICY, Silent(), now=now
            )
            assert not pruned.failures
            rewrite(None, self._repository, self._keys, Silent(), collections=None, now=now)
        for old in self._catalog.entries(NAME)[2:]:
            self._catalog.drop(old)
        files = (path for path in self._place.rglob("*") if path.is_file())
        return Day(
            number=number,
            kept_count=len(list(self._repository.keys(NAME))),
            stored_bytes=sum(path.stat().st_size for path in files),
            newest_bytes=self._alone_bytes(marker),
        )

    def _push(self, snapshot: Snapshot) -> Marker:
        request = PushRequest(
            snapshot=snapshot, packer=self._keys.packer, cache=self._keys.cache, collection=NAME
        )
        return push(request, self._repository, Silent()).marker

    def _alone_bytes(self, marker: Marker) -> int:
        """Return what a push of this snapshot into an empty place would store."""
        assert marker.index
        index = self._repository.index_of(marker, marker.index, self._keys.unpacker)
        blocks = {one.place for one in index.lying()}
        own = sum(blob.stored_bytes for blob in marker.blobs)
        return own + sum(place.stored_bytes for place in blocks)

    @contextmanager
    def _written_at(self, now: datetime) -> Iterator[None]:
        start = time.time() - 1
        yield
        for path in self._place.rglob("*"):
            # What has a made-up time already is far ahead.
            if start <= path.stat().st_mtime <= time.time() + 1:
                os.utime(path, (now.timestamp(),) * 2)
