"""Round after round on changing data: what is sealed is what a drill finds. No false alarm, ever.

`DRILL_ROUNDS` sets how many rounds there are for each version; the usual run takes a few.
"""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.engines.native import NativeEngine
from snapshot_tasks.models import Silent, Status
from snapshot_tasks.operations.create import CreateRequest, create
from snapshot_tasks.operations.drill import DrillRequest, drill
from snapshot_tasks.operations.seal import Scratch
from snapshot_tasks.settings import load_settings
from tests.conftest import NEWER, OLDER, Live, now
from tests.support.collections import rich_points

ROUNDS = int(os.environ.get("DRILL_ROUNDS", "3"))
POINTS = 600


def change(live: Live, name: str, rng: random.Random, *, wait: bool) -> None:
    """Write, overwrite, delete and edit points, some of them right before the snapshot is taken."""
    points = list(rich_points(POINTS, seed=rng.randrange(1 << 30)))
    of = f"/collections/{name}/points"
    live.loader.request("PUT", of, {"points": rng.sample(points, 200)})
    there = live.loader.request("POST", f"{of}/scroll", {"limit": 1000})["points"]

    def some(count: int) -> list[Any]:
        return [point["id"] for point in rng.sample(there, count)]

    actions: list[tuple[str, str, dict[str, Any]]] = [
        ("PUT", of, {"points": rng.sample(points, rng.randrange(1, 300))}),
        ("POST", f"{of}/payload", {"payload": {"round": rng.random()}, "points": some(30)}),
        ("POST", f"{of}/payload/delete", {"keys": ["flag"], "points": some(20)}),
        ("POST", f"{of}/payload/clear", {"points": some(10)}),
        ("POST", f"{of}/vectors/delete", {"points": some(15), "vector": ["late", "words"]}),
    ]
    rng.shuffle(actions)
    # Last: editing a point that is not there any more is refused.
    actions.append(("POST", f"{of}/delete", {"points": some(rng.randrange(1, 40))}))
    for method, path, body in actions:
        live.loader.request(method, path, body, wait=wait)


@pytest.mark.parametrize("version", [OLDER, NEWER])
def test_no_false_alarm(
    request: pytest.FixtureRequest, version: str, catalog: Catalog, tmp_path_factory: Any
) -> None:
    """Create and drill, with writes acknowledged or still queued when the snapshot is taken."""
    live: Live = request.getfixturevalue("older_qdrant" if version == OLDER else "qdrant")
    settings = load_settings(tmp_path_factory.mktemp("project"), {"QDRANT_VERSION": version})
    engine = NativeEngine(settings)
    scratch = Scratch(engine=lambda: engine, operation_timeout_seconds=60)
    name = f"rounds-{version.replace('.', '-')}"
    live.loader.rich(name, points=POINTS)
    rng = random.Random(version)
    for number in range(ROUNDS):
        change(live, name, rng, wait=number % 3 != 2)
        with live.server() as server:
            asked = CreateRequest(collection=name, scratch=scratch)
            snapshot = create(asked, server, catalog, Silent(), clock=now).snapshot
        assert snapshot.sealed is not None
        drilled = DrillRequest(snapshot=snapshot, version=version, operation_timeout_seconds=60)
        report = drill(drilled, engine, Silent(), clock=now)
        assert report.error is None, f"round {number}: {report.error}"
        alarms = [f for f in report.findings if f.status is not Status.OK]
        assert alarms == [], f"round {number}"
    live.loader.delete(name)
