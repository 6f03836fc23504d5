"""The checks catch every fault of a cluster's own kind, also re-signed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.engines.native import NativeEngine
from snapshot_tasks.operations.prove.selftest import (
    BYTES,
    CONTENTS,
    DRILL,
    SelfTestReport,
    SelfTestRequest,
    selftest,
)
from snapshot_tasks.selftest.faults import FAULTS
from snapshot_tasks.settings import load_settings
from snapshot_tasks.system.progress import Silent
from tests.conftest import NEWER, now
from tests.support.cluster import KEYED

OF_SHARDS = (
    "two shard files swapped",
    "two shard keys swapped",
    "shard missing",
    "stream of a shard cut at half",
    "stream of a shard ended early",
)
OF_REPLICAS = ("stale replica", "empty replica that is Active")


def damaged(path: Path, checks: tuple[str, ...], *, only: tuple[str, ...] = ()) -> SelfTestReport:
    """Run the self-test on a native engine."""
    request = SelfTestRequest(
        snapshot=Catalog(path.parent).find(path.name),
        version=NEWER,
        operation_timeout_seconds=60,
        checks=checks,
        faults=tuple(f for f in FAULTS if not only or f.name in only),
    )
    engine = NativeEngine(load_settings(path.parent, {"QDRANT_VERSION": NEWER}))
    return selftest(request, engine, Silent(), clock=now)


@pytest.mark.timeout(600)
def test_faults_of_a_clusters_file_are_caught(taken: Callable[..., Path]) -> None:
    """Each is seen in the file, also re-signed; swapped shards only in what each shard has."""
    report = damaged(taken(KEYED, "--stream"), (BYTES, CONTENTS), only=OF_SHARDS)
    assert report.error is None
    assert [row.left_out for row in report.rows] == [""] * len(OF_SHARDS)
    caught = {row.fault: row.resigned.caught_by for row in report.rows if row.resigned}
    assert caught == {
        "two shard files swapped": "contents",
        "two shard keys swapped": "description",
        "shard missing": "archive",
        "stream of a shard cut at half": "archive",
        "stream of a shard ended early": "archive",
    }


@pytest.mark.timeout(600)
def test_a_replica_that_is_wrong_is_caught(taken: Callable[..., Path]) -> None:
    """Two nodes restore it well; then an active, green replica lacks a point, or all of them."""
    report = damaged(taken(KEYED), (DRILL,), only=OF_REPLICAS)
    assert report.error is None
    assert [row.fault for row in report.rows if not row.left_out] == list(OF_REPLICAS)
    for row in report.rows:
        assert row.as_it_is
        assert "replicas" in row.as_it_is.caught_by
