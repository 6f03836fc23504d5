"""Where a cluster keeps the shards of a collection, as all of its nodes see it. Pure.

One node's word is not enough: a node that was stopped calls itself active for seconds more, and one
that missed writes answers as if it had them. Only if the views of all nodes are equal, every
replica is active and nothing moves, each shard can be read from any node that holds it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from snapshot_tasks.domain.cluster import ACTIVE, ShardKey, keys_of
from snapshot_tasks.system.untrusted import JsonObject

# Counts of nodes are approximate, and writes reach one replica before another.
EVEN_SHARE = 0.9


@dataclass(frozen=True, slots=True, order=True)
class Replica:
    """One copy of a shard: the node that holds it, and its state."""

    shard_id: int
    peer_id: int
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What one node says about a collection: every replica, and what is moving.

    `points` is about how many points each of its own replicas has. `shards_count` counts all
    shards, also those that no node holds any more; 0 is unknown. `name` is what people call it.
    """

    peer_id: int
    name: str = ""
    shards_count: int = 0
    replicas: frozenset[Replica]
    keys: Mapping[int, str | int] = field(default_factory=dict)
    moving: tuple[str, ...] = ()
    points: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedShard:
    """A shard, its key if it has one, and the nodes that hold it."""

    id: int
    key: str | int | None
    holders: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The shards of a collection, by id. Equal layouts mean that nothing was moved."""

    shards: tuple[PlacedShard, ...]

    @property
    def keys(self) -> tuple[ShardKey, ...]:
        """The keys of custom sharding with their shards, in the order of their ids."""
        return keys_of((shard.id, shard.key) for shard in self.shards)

    @property
    def peers(self) -> tuple[int, ...]:
        """The nodes that hold a shard."""
        return tuple(sorted({peer for shard in self.shards for peer in shard.holders}))

    def held_by(self, peer: int) -> tuple[int, ...]:
        """Return the ids of the shards that a node holds."""
        return tuple(shard.id for shard in self.shards if peer in shard.holders)

    def replication_of(self, key: ShardKey) -> int:
        """Return how many nodes hold each shard of a key."""
        return max(len(shard.holders) for shard in self.shards if shard.id in key.shard_ids)


def view_of(placement: JsonObject, *, name: str = "") -> View:
    """Parse a node's answer to `GET /collections/NAME/cluster`; `name` is the node's."""
    here = int(placement["peer_id"])
    local = list(placement.get("local_shards") or ())
    remote = list(placement.get("remote_shards") or ())
    return View(
        peer_id=here,
        name=name or str(here),
        shards_count=int(placement.get("shard_count") or 0),
        replicas=frozenset(
            Replica(int(shard["shard_id"]), int(shard.get("peer_id", here)), str(shard["state"]))
            for shard in (*local, *remote)
        ),
        keys={
            int(shard["shard_id"]): shard["shard_key"]
            for shard in (*local, *remote)
            if shard.get("shard_key") is not None
        },
        points={int(shard["shard_id"]): int(shard.get("points_count") or 0) for shard in local},
        moving=(
            *(f"shard {t['shard_id']} is moving" for t in placement.get("shard_transfers") or ()),
            *("it is being resharded" for _ in placement.get("resharding_operations") or ()),
        ),
    )


def unsettled(views: Sequence[View]) -> Iterator[str]:
    """Yield why a collection cannot be read shard by shard right now; nothing if it can."""
    replicas = sorted({replica for view in views for replica in view.replicas})
    names = {view.peer_id: view.name for view in views}
    for replica in replicas:
        if replica.state != ACTIVE:
            where = names.get(replica.peer_id, replica.peer_id)
            yield f"shard {replica.shard_id} is {replica.state} on node {where}"
    yield from sorted({reason for view in views for reason in view.moving})
    first, *others = views
    for view in others:
        if (view.replicas, view.keys) != (first.replicas, first.keys):
            yield f"the nodes {first.name} and {view.name} do not see the same replicas"
    for replica in replicas:
        if replica.peer_id not in names:
            yield f"shard {replica.shard_id} is on the node {replica.peer_id}, which is unknown"


def lost_count(views: Sequence[View]) -> int:
    """Return how many shards no node holds: a node was removed that had the only copy."""
    held = {replica.shard_id for view in views for replica in view.replicas}
    return max(0, *(view.shards_count - len(held) for view in views))


def uneven(views: Sequence[View]) -> Iterator[str]:
    """Yield each shard of which an active replica has far fewer points than another.

    Nodes say about how many points they have, and answer a count from any replica: an empty one can
    hide the loss of all its points.
    """
    lacking = {shard_id for shard_id, _ in _lacking(views)}
    names = {view.peer_id: view.name for view in views}
    for shard_id, counts in _counts(views).items():
        if shard_id in lacking:
            each = ", ".join(f"{count:,} on node {names[peer]}" for peer, count in counts.items())
            yield f"the replicas of shard {shard_id} have different numbers of points: {each}"


def _counts(views: Sequence[View]) -> dict[int, dict[int, int]]:
    """Return about how many points each replica has: by shard, by its node."""
    ids = sorted({shard_id for view in views for shard_id in view.points})
    return {
        shard_id: {v.peer_id: v.points[shard_id] for v in views if shard_id in v.points}
        for shard_id in ids
    }


def _lacking(views: Sequence[View]) -> set[tuple[int, int]]:
    """Return the shard and the node of each replica with far fewer points than another."""
    return {
        (shard_id, peer)
        for shard_id, counts in _counts(views).items()
        for peer, count in counts.items()
        if count < EVEN_SHARE * max(counts.values())
    }


def layout_of(view: View) -> Layout:
    """Return the layout that settled views agree on."""
    holders: dict[int, list[int]] = {}
    for replica in sorted(view.replicas):
        holders.setdefault(replica.shard_id, []).append(replica.peer_id)
    return Layout(
        shards=tuple(
            PlacedShard(id=shard_id, key=view.keys.get(shard_id), holders=tuple(peers))
            for shard_id, peers in holders.items()
        )
    )


def spread(layout: Layout, views: Sequence[View] = ()) -> dict[int, int]:
    """Choose one holder for each shard, so that every node has about as many to give.

    A replica with far fewer points than another is not chosen: it may have lost them.
    """
    given: Counter[int] = Counter()
    chosen: dict[int, int] = {}
    lacking = _lacking(views)
    for shard in sorted(layout.shards, key=lambda shard: (len(shard.holders), shard.id)):
        whole = [peer for peer in shard.holders if (shard.id, peer) not in lacking]
        peer = min(whole, key=lambda peer: (given[peer], peer))
        given[peer] += 1
        chosen[shard.id] = peer
    return chosen
