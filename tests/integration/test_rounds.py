"""Round after round on changing data: a drill finds what was sealed, without false alarms.

The collection has every kind of vector, quantization, storage and payload index.

`DRILL_ROUNDS` sets how many rounds there are for each version.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from typing import Any

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.findings import Status
from snapshot_tasks.engines.native import NativeEngine
from snapshot_tasks.operations.create.one import create
from snapshot_tasks.operations.create.request import CreateRequest
from snapshot_tasks.operations.create.seal import FreshServers
from snapshot_tasks.operations.prove.drill import DrillRequest, drill
from snapshot_tasks.settings import load_settings
from snapshot_tasks.system.progress import Silent
from tests.conftest import NEWER, OLDER, Live, now
from tests.support.amount import amount
from tests.support.collections import Loader
from tests.support.widest import make_widest, widest_points

# Three kinds of writes: one round of each.
ROUNDS = amount("DRILL_ROUNDS", quick=3, full=30)
POINTS = 250


def change(live: Live, name: str, rng: random.Random, *, wait: bool) -> None:
    """Write, overwrite, delete and edit points, some of them right before the snapshot is taken."""
    points = list(widest_points(POINTS, seed=rng.randrange(1 << 30)))
    of = f"/collections/{name}/points"
    live.loader.request("PUT", of, {"points": rng.sample(points, 200)})
    there = live.loader.request("POST", f"{of}/scroll", {"limit": 1000})["points"]

    def some(count: int) -> list[Any]:
        return [point["id"] for point in rng.sample(there, count)]

    actions: list[tuple[str, str, dict[str, Any]]] = [
        ("PUT", of, {"points": rng.sample(points, rng.randrange(1, 200))}),
        ("POST", f"{of}/payload", {"payload": {"round": rng.random()}, "points": some(30)}),
        ("POST", f"{of}/payload/delete", {"keys": ["bool"], "points": some(20)}),
        ("POST", f"{of}/payload/clear", {"points": some(10)}),
        ("POST", f"{of}/vectors/delete", {"points": some(15), "vector": ["late", "words"]}),
    ]
    rng.shuffle(actions)
    # Last: editing a point that is not there any more is refused.
    actions.append(("POST", f"{of}/delete", {"points": some(rng.randrange(1, 40))}))
    for method, path, body in actions:
        live.loader.request(method, path, body, wait=wait)


@contextmanager
def writing(live: Live, name: str, rng: random.Random) -> Iterator[None]:
    """Keep writing, as fast as the server responds, during the block."""
    points, stop = list(widest_points(POINTS, seed=rng.randrange(1 << 30))), threading.Event()

    def write() -> None:
        with closing(Loader(live.url)) as loader:
            while not stop.is_set():
                of, chosen = f"/collections/{name}/points", rng.sample(points, 20)
                loader.request("PUT", of, {"points": chosen})
                loader.request("POST", f"{of}/delete", {"points": [p["id"] for p in chosen[:5]]})

    with ThreadPoolExecutor(max_workers=1) as pool:
        done = pool.submit(write)
        try:
            yield
        finally:
            stop.set()
            done.result()


@pytest.mark.timeout(120 * ROUNDS)
@pytest.mark.parametrize("version", [OLDER, NEWER])
def test_no_false_alarm(
    request: pytest.FixtureRequest, version: str, catalog: Catalog, tmp_path_factory: Any
) -> None:
    """Create and drill: writes acknowledged before, still running, or still queued."""
    live: Live = request.getfixturevalue("older_qdrant" if version == OLDER else "qdrant")
    settings = load_settings(tmp_path_factory.mktemp("project"), {"QDRANT_VERSION": version})
    engine = NativeEngine(settings)
    fresh_servers = FreshServers(engine=lambda: engine, operation_timeout_seconds=60)
    name = f"rounds-{version.replace('.', '-')}"
    make_widest(live.loader, name, points=POINTS)
    rng = random.Random(version)
    for number in range(ROUNDS):
        change(live, name, rng, wait=number % 3 != 2)
        meanwhile = writing(live, name, rng) if number % 3 == 1 else nullcontext()
        with live.server() as server, meanwhile:
            asked = CreateRequest(collection=name, fresh_servers=fresh_servers)
            snapshot = create(asked, server, catalog, Silent(), clock=now).snapshot
        assert snapshot.sealed is not None
        drilled = DrillRequest(snapshot=snapshot, version=version, operation_timeout_seconds=60)
        report = drill(drilled, engine, Silent(), clock=now)
        assert report.error is None, f"round {number}: {report.error}"
        # Every restored segment that is small is indexed anew, as on the source.
        alarms = [
            f for f in report.findings if f.status is not Status.OK and "HNSW" not in f.message
        ]
        assert alarms == [], f"round {number}"
    live.loader.delete(name)
