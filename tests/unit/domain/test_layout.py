"""Where a cluster keeps shards: settled or not, and from which node each is taken."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from snapshot_tasks.domain.cluster import ShardKey
from snapshot_tasks.domain.layout import (
    Replica,
    View,
    layout_of,
    lost_count,
    spread,
    uneven,
    unsettled,
    view_of,
)


def answer(peer: int, holders: dict[int, list[int]], **more: Any) -> dict[str, Any]:
    """Return what a node says if all replicas are active; `more` overrides it."""
    local = [
        {"shard_id": shard, "points_count": 1, "state": "Active"}
        for shard, peers in holders.items()
        if peer in peers
    ]
    remote = [
        {"shard_id": shard, "peer_id": other, "state": "Active"}
        for shard, peers in holders.items()
        for other in peers
        if other != peer
    ]
    return {"peer_id": peer, "local_shards": local, "remote_shards": remote} | more


TWICE = {0: [1, 2], 1: [2, 3], 2: [1, 3]}


def test_equal_views_are_settled() -> None:
    """Each shard then has the holders that all nodes name."""
    views = [view_of(answer(peer, TWICE)) for peer in (1, 2, 3)]
    assert list(unsettled(views)) == []
    assert {s.id: list(s.holders) for s in layout_of(views[0]).shards} == TWICE


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"shard_transfers": [{"shard_id": 2, "from": 1, "to": 2}]}, "shard 2 is moving"),
        ({"resharding_operations": [{"direction": "up"}]}, "it is being resharded"),
        (
            {
                "local_shards": [
                    {"shard_id": 1, "state": "Dead"},
                    {"shard_id": 2, "state": "Active"},
                ]
            },
            "shard 1 is Dead on node 3",
        ),
        ({"remote_shards": []}, "the nodes 1 and 3 do not see the same replicas"),
    ],
)
def test_one_node_that_says_otherwise_is_enough(changed: dict[str, Any], reason: str) -> None:
    """The others may not know yet: a node that was stopped is active to itself for seconds."""
    views = [view_of(answer(peer, TWICE)) for peer in (1, 2)]
    views.append(view_of(answer(3, TWICE, **changed)))
    assert reason in list(unsettled(views))


def test_a_replica_on_an_unknown_node_is_told() -> None:
    """A single node of a cluster does not have all of a collection."""
    assert list(unsettled([view_of(answer(1, {0: [1], 1: [7]}))])) == [
        "shard 1 is on the node 7, which is unknown"
    ]


def test_nodes_are_called_by_their_urls() -> None:
    """Nobody knows a node by its peer id."""
    views = [view_of(answer(1, TWICE), name="http://one")]
    views.append(view_of(answer(2, TWICE, remote_shards=[]), name="http://two"))
    assert "the nodes http://one and http://two do not see the same replicas" in list(
        unsettled(views)
    )


def test_shards_that_no_node_holds_are_counted() -> None:
    """A removed node had the only copy: the other nodes agree, and say nothing of it but this."""
    once = {0: [1], 1: [2]}
    assert lost_count([view_of(answer(1, once, shard_count=2))]) == 0
    assert lost_count([view_of(answer(1, once, shard_count=6)), view_of(answer(2, once))]) == 4


def test_keys_come_with_their_shards_and_replicas() -> None:
    """Custom sharding: the ids of a key's shards, and on how many nodes each is."""
    local = [
        {"shard_id": 1, "shard_key": "a", "state": "Active"},
        {"shard_id": 4, "shard_key": 7, "state": "Active"},
        {"shard_id": 5, "shard_key": 7, "state": "Active"},
    ]
    remote = [{"shard_id": 4, "shard_key": 7, "state": "Active", "peer_id": 2}]
    view = view_of({"peer_id": 1, "local_shards": local, "remote_shards": remote})
    layout = layout_of(view)
    assert layout.keys == (
        ShardKey(key="a", shard_ids=(1,)),
        ShardKey(key=7, shard_ids=(4, 5)),
    )
    assert [layout.replication_of(key) for key in layout.keys] == [1, 2]


def test_every_node_gives_about_as_many_shards() -> None:
    """Six shards with two replicas on three nodes: two from each."""
    holders = {shard: [1 + shard % 3, 1 + (shard + 1) % 3] for shard in range(6)}
    chosen = spread(layout_of(view_of(answer(1, holders))))
    assert all(peer in holders[shard] for shard, peer in chosen.items())
    assert sorted(chosen.values()) == [1, 1, 2, 2, 3, 3]


def test_an_active_replica_with_fewer_points_is_told() -> None:
    """Empty or half of it, and never taken; a few points are only writes on their way."""
    views = [
        view_of(
            {
                "peer_id": peer,
                "local_shards": [
                    {"shard_id": shard, "state": "Active", "points_count": count}
                    for shard, count in enumerate(counts)
                ],
            }
        )
        for peer, counts in ((1, (500, 500, 0)), (2, (0, 480, 0)))
    ]
    assert list(uneven(views)) == [
        "the replicas of shard 0 have different numbers of points: 500 on node 1, 0 on node 2"
    ]
    placed = layout_of(View(peer_id=1, replicas=frozenset(Replica(0, p, "Active") for p in (1, 2))))
    assert (spread(placed), spread(placed, views)) == ({0: 1}, {0: 1})
    assert spread(placed, [replace(view, peer_id=3 - view.peer_id) for view in views]) == {0: 2}
