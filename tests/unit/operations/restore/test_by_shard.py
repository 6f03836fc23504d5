"""The plan of a restore shard by shard, of which nothing is asked of a server."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from snapshot_tasks.domain.shards import KeyFacts, ShardFacts, ShardSet
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.operations.restore.by_shard import plan_by_shard
from snapshot_tasks.sealing.archive import ArchiveSummary
from snapshot_tasks.sealing.container import Description

CONFIG = {"params": {"sharding_method": "custom", "shard_number": 1, "replication_factor": 1}}
SHARDS = ShardSet(
    shards=(ShardFacts(id=1, key="a", size_bytes=1, sha256="0" * 64),),
    keys=(KeyFacts(key="a", shards_count=1, replication_factor=3),),
)
SNAPSHOT = Snapshot(
    path=Path("a.snapshot"),
    collection="a",
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    size_bytes=1,
    manifest=None,
)


@pytest.mark.parametrize(
    ("nodes_count", "asked", "made", "told"),
    [(3, 0, 3, ""), (2, 0, 2, "2 instead of 3 of the key 'a'"), (2, 2, 2, "as asked for")],
)
def test_fewer_replicas_of_a_key_are_told(
    nodes_count: int, asked: int, made: int, told: str
) -> None:
    """A key may have more of them than its collection."""
    description = Description(
        shard_set=SHARDS, config=CONFIG, payload_schema={}, qdrant_version="1.17.0"
    )
    summary = ArchiveSummary(
        shards=("1",), segments_count=1, members_count=1, config=CONFIG, description=description
    )
    plan = plan_by_shard(SNAPSHOT, summary, CONFIG, {}, nodes_count=nodes_count, replication=asked)
    assert [step.replication_factor for step in plan.steps] == [made]
    assert told in " ".join(finding.message for finding in plan.changed)
    assert bool(told) is bool(plan.changed)


@pytest.mark.parametrize(
    ("recorded", "nodes_count", "share"), [(1, 3, 1 / 3), (2, 2, 1), (3, 1, 1)]
)
def test_a_node_gets_its_share_of_the_shards(recorded: int, nodes_count: int, share: float) -> None:
    """So much room is needed to compare them: every replica of a node at once."""
    config = {"params": {"shard_number": 1, "replication_factor": recorded}}
    summary = ArchiveSummary(shards=("0",), segments_count=1, members_count=1, config=config)
    plan = plan_by_shard(SNAPSHOT, summary, config, {}, nodes_count=nodes_count)
    assert plan.node_share == share
