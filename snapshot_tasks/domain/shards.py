"""What a cluster's snapshot says about its shards: in the manifest, and in the file. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from snapshot_tasks.domain.cluster import ShardKey, keys_of
from snapshot_tasks.system.untrusted import JsonObject, optional, typed

KIND = "shards"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardFacts:
    """One shard's own snapshot file: its identity, its bytes, and what is in it.

    Qdrant's file does not say of which shard it is, so this does. `node` is the URL of the node
    that made it. `points_count` and `digest` are None without a seal.
    """

    id: int
    key: str | int | None
    size_bytes: int
    sha256: str
    node: str = ""
    points_count: int | None = None
    digest: str | None = None

    def as_json(self) -> JsonObject:
        """Return the object in the manifest."""
        return {
            "id": self.id,
            "key": self.key,
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
            "node": self.node,
            "points_count": self.points_count,
            "digest": self.digest,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ShardFacts:
        """Parse what `as_json` wrote. Raises KeyError, TypeError or ValueError."""
        return cls(
            id=typed(document, "id", int),
            key=_key(document),
            size_bytes=typed(document, "size_bytes", int),
            sha256=typed(document, "sha256", str),
            node=optional(document, "node", str) or "",
            points_count=optional(document, "points_count", int),
            digest=optional(document, "digest", str),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """A shard key as it was made: how many shards, on how many nodes each."""

    key: str | int
    shards_count: int
    replication_factor: int

    def as_json(self) -> JsonObject:
        """Return the object in the manifest."""
        return {
            "key": self.key,
            "shards_count": self.shards_count,
            "replication_factor": self.replication_factor,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> KeyFacts:
        """Parse what `as_json` wrote. Raises KeyError, TypeError or ValueError."""
        key = _key(document)
        if key is None:
            raise ValueError("a shard key has no name")
        return cls(
            key=key,
            shards_count=typed(document, "shards_count", int),
            replication_factor=typed(document, "replication_factor", int),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSet:
    """All shards of a snapshot, by id, and the keys of custom sharding in that order."""

    shards: tuple[ShardFacts, ...]
    keys: tuple[KeyFacts, ...] = ()

    def as_json(self) -> JsonObject:
        """Return what a manifest and the file's own description have of it."""
        return {
            "kind": KIND,
            "shards": [shard.as_json() for shard in self.shards],
            "keys": [key.as_json() for key in self.keys],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ShardSet:
        """Parse what `as_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: if it is malformed, or a shard appears twice.
        """
        shards = tuple(map(ShardFacts.from_json, typed(document, "shards", list)))
        ids = [shard.id for shard in shards]
        if not ids or ids != sorted(set(ids)):
            raise ValueError("its shards are not a list in the order of their ids")
        keys = tuple(map(KeyFacts.from_json, typed(document, "keys", list)))
        if {key.key for key in keys} != {s.key for s in shards if s.key is not None}:
            raise ValueError("its shards have other keys than the list of keys")
        return cls(shards=shards, keys=keys)

    @property
    def shard_keys(self) -> tuple[ShardKey, ...]:
        """The keys with the ids of their shards, in the order of these."""
        return keys_of((shard.id, shard.key) for shard in self.shards)

    @property
    def identities(self) -> tuple[tuple[int, str | int | None, int, str], ...]:
        """What identifies each shard's file: its id and key, its size and its SHA-256."""
        return tuple((s.id, s.key, s.size_bytes, s.sha256) for s in self.shards)

    def sealed_with(self, found: Mapping[int, tuple[int, str]]) -> ShardSet:
        """Return this set with the count and the digest of each shard."""
        return replace(
            self,
            shards=tuple(
                replace(shard, points_count=found[shard.id][0], digest=found[shard.id][1])
                for shard in self.shards
            ),
        )


def _key(document: Mapping[str, Any]) -> str | int | None:
    key = document.get("key")
    if isinstance(key, bool) or not isinstance(key, str | int | None):
        raise TypeError("a shard key is neither text nor a number")
    return key
