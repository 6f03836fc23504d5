"""Show everything on sample data: load it, take a snapshot, prove it, leave nothing running."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.engines.base import Engine, FreshRequest
from snapshot_tasks.operations.create.one import create
from snapshot_tasks.operations.create.request import CreateDefaults
from snapshot_tasks.operations.prove.drill import DrillReport, DrillRequest, drill
from snapshot_tasks.qdrant.sample import load_points
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.progress import Clock, Progress

DATA = Path(__file__).resolve().parents[1] / "demo_data"
COLLECTION = "campus-demo"
ALIAS = "campus"
DIMENSIONS = 384


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """The snapshot that was taken, and its proof."""

    snapshot: Snapshot
    report: DrillReport


def sample_points() -> Iterator[tuple[int, array[float], dict[str, Any]]]:
    """Yield the sample's points: id, 384 floats, payload."""
    vectors = array("f", (DATA / "campus.f32").read_bytes())
    for row, line in enumerate((DATA / "campus.jsonl").read_text(encoding="utf-8").splitlines()):
        payload = json.loads(line)
        start = row * DIMENSIONS
        yield payload.pop("id"), vectors[start : start + DIMENSIONS], payload


def demo(
    engine: Engine,
    catalog: Catalog,
    progress: Progress,
    *,
    version: str,
    operation_timeout_seconds: float,
    clock: Clock,
) -> DemoResult:
    """Load the sample into a fresh server, take a snapshot, and drill it on another one."""
    request = FreshRequest(version=version, folder=catalog.folder)
    with engine.fresh(request, progress) as source:
        with progress.phase(f"loading the sample collection {COLLECTION}"):
            load_points(
                source.endpoint,
                COLLECTION,
                sample_points(),
                size=DIMENSIONS,
                indexes={"topic": "keyword", "language": "keyword", "year": "integer"},
                alias=ALIAS,
            )
        with Server(source.endpoint, operation_timeout_seconds=operation_timeout_seconds) as server:
            created = create(
                CreateDefaults().request(COLLECTION, label="demo"),
                server,
                catalog,
                progress,
                clock=clock,
            )
    drilled = drill(
        DrillRequest(
            snapshot=created.snapshot,
            version=version,
            operation_timeout_seconds=operation_timeout_seconds,
        ),
        engine,
        progress,
        clock=clock,
    )
    return DemoResult(snapshot=created.snapshot, report=drilled)
