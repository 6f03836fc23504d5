"""What Qdrant says about its cluster, and what that means for a snapshot of one node. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from snapshot_tasks.system.untrusted import JsonObject

ACTIVE = "Active"
CUSTOM = "custom"
P2P_PORT = 6335
# Measured: two nodes make 60 shards in more than 10 s, and old keys leave gaps of thousands.
GAP_SHARDS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardKey:
    """A key of custom sharding and the ids of its shards."""

    key: str | int
    shard_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStep:
    """A shard key to create. A `gap` only uses up ids of deleted keys, and is deleted again."""

    key: str | int
    shards_count: int
    gap: bool = False
    replication_factor: int | None = None


def is_enabled(answer: JsonObject) -> bool:
    """Return whether the answer to `GET /cluster` is that of a node in cluster mode."""
    return answer.get("status") == "enabled"


def nodes_count(answer: JsonObject) -> int:
    """Return how many nodes a cluster has; 1 without cluster mode."""
    return max(1, len(answer.get("peers") or {}))


def peer_addresses(answer: JsonObject) -> dict[int, str]:
    """Return where nodes reach each other, by peer id; a node's REST URL is not known there."""
    peers = answer.get("peers") or {}
    return {int(peer): str(known.get("uri", "?")).rstrip("/") for peer, known in peers.items()}


def p2p_address(answer: JsonObject) -> tuple[str, int] | None:
    """Return host and port at which other nodes reach this one, if they do so without TLS."""
    peers, own = answer.get("peers"), str(answer.get("peer_id"))
    peer = peers.get(own) if isinstance(peers, dict) else None
    try:
        uri = urlsplit(str(peer["uri"])) if isinstance(peer, dict) else urlsplit("")
        port = uri.port or P2P_PORT
    except (KeyError, ValueError):
        return None
    return (uri.hostname, port) if uri.hostname and uri.scheme == "http" else None


def replica_problem(shard: str, document: Any) -> str:
    """Return why the shard in a file is not whole and current, according to its replica state."""
    if not isinstance(document, dict) or "peers" not in document:
        return ""
    if document.get("is_local") is False:
        return f"shard {shard} was on another node of a cluster"
    peers, this = document["peers"], str(document.get("this_peer_id"))
    state = peers.get(this, ACTIVE) if isinstance(peers, dict) else ACTIVE
    return "" if state == ACTIVE else f"shard {shard} was {state} on this node, not {ACTIVE}"


def shard_keys(document: Any) -> tuple[ShardKey, ...]:
    """Parse a file's `shard_key_mapping.json`. Raises ValueError if it is not one."""
    try:
        pairs = document.items() if isinstance(document, dict) else map(_pair, document or ())
        keys = [ShardKey(key=key, shard_ids=tuple(sorted(map(int, ids)))) for key, ids in pairs]
    except TypeError as error:
        raise ValueError(f"the shard keys are malformed ({error})") from error
    if any(isinstance(k.key, bool) or not isinstance(k.key, str | int) for k in keys):
        raise ValueError("a shard key is neither text nor a number")
    return tuple(sorted((k for k in keys if k.shard_ids), key=lambda k: k.shard_ids))


def keys_of(shards: Iterable[tuple[int, str | int | None]]) -> tuple[ShardKey, ...]:
    """Return the keys of these shards, in the order of the shards, of which some may have none."""
    ids: dict[str | int, list[int]] = {}
    for shard_id, key in shards:
        if key is not None:
            ids.setdefault(key, []).append(shard_id)
    return tuple(ShardKey(key=key, shard_ids=tuple(its)) for key, its in ids.items())


def key_steps(keys: tuple[ShardKey, ...]) -> tuple[KeyStep, ...]:
    """Return the order in which new keys get the same shard ids again: Qdrant counts from 1.

    Raises:
        ValueError: if no order gives a key its ids.
    """
    steps: list[KeyStep] = []
    following, taken = 1, {key.key for key in keys}
    for key in sorted(keys, key=lambda key: key.shard_ids):
        first, count = key.shard_ids[0], len(key.shard_ids)
        if key.shard_ids != tuple(range(first, first + count)) or first < following:
            raise ValueError(f"the shards of the key {key.key!r} have the ids {key.shard_ids}")
        steps += _gap(following, first, taken)
        steps.append(KeyStep(key=key.key, shards_count=count))
        following = first + count
    return tuple(steps)


def _gap(start: int, end: int, taken: Collection[str | int]) -> Iterator[KeyStep]:
    """Yield keys that use up the ids from `start` to before `end`, a few of them at a time."""
    for first in range(start, end, GAP_SHARDS):
        count, name = min(GAP_SHARDS, end - first), f"gap-{first}"
        # Qdrant refuses a second key of the same name.
        while name in taken:
            name += "-"
        yield KeyStep(key=name, shards_count=count, gap=True, replication_factor=1)


def is_custom(config: JsonObject) -> bool:
    """Return whether a collection has shard keys of its own."""
    return bool((config.get("params") or {}).get("sharding_method") == CUSTOM)


def _pair(item: Any) -> tuple[Any, Any]:
    if not isinstance(item, dict) or not {"key", "shard_ids"} <= item.keys():
        raise ValueError("the shard keys are malformed")
    return item["key"], item["shard_ids"]
