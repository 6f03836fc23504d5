"""Lets each node create its copies one after the other, and meanwhile downloads what is made."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path

from snapshot_tasks.domain.collection import CollectionState, ServerSnapshot
from snapshot_tasks.operations.create.download import ServerCopy, require_free
from snapshot_tasks.sealing.container import Place, Writer
from snapshot_tasks.system.at_once import GoOn, at_once

WAIT_SECONDS = 0.05


class _Work(Enum):
    CREATE = "create"
    FETCH = "fetch"
    HASH = "hash"


class Transfer:
    """The shards of one collection on their way from the nodes into one file, ordered by id.

    `copies` are those that the nodes are to create, `holders` the node of each shard, `before` the
    state of the collection. `advance` gets the number of bytes that have arrived.
    """

    def __init__(
        self,
        copies: Mapping[int, ServerCopy],
        holders: Mapping[int, int],
        before: CollectionState,
        staging: Path,
        writer: Writer,
        advance: Callable[[int], None],
    ) -> None:
        self.made: dict[int, ServerSnapshot] = {}
        self.hashes: dict[int, str] = {}
        self._copies = copies
        self._holders = holders
        self._before = before
        self._staging = staging
        self._writer = writer
        self._advance = advance
        self._order = sorted(copies)
        self._places: dict[int, Place] = {}
        self._arrived_bytes = 0
        self._placed = threading.Condition()

    def run(self) -> None:
        """Take all shards: all nodes at once, but one copy of a node after the other.

        The file is hashed while it is written.

        Raises:
            Damaged: if a shard arrives otherwise than Qdrant created it.
            StorageError: if the shards do not fit on the disk.
        """
        nodes = sorted(set(self._holders.values()))
        at_once(self._do, [(_Work.HASH, 0), *((w, n) for n in nodes for w in _OF_NODE)])

    def _do(self, key: tuple[_Work, int], go_on: GoOn) -> None:
        work, node = key
        if work is _Work.HASH:
            self._writer.follow(go_on, until=lambda: len(self._places) == len(self._order))
            return
        step = self._create if work is _Work.CREATE else self._fetch
        for shard_id in self._order:
            if self._holders[shard_id] == node:
                go_on()
                step(shard_id, go_on)

    def _create(self, shard_id: int, go_on: GoOn) -> None:
        made = self._copies[shard_id].create(self._before)
        with self._placed:
            self.made[shard_id] = made
            total = sum(one.size_bytes for one in self.made.values())
            require_free(self._staging, total - self._arrived_bytes)
            # A place begins where the one before ends, so its size must be known.
            for next_id in self._order[len(self._places) :]:
                if next_id not in self.made:
                    break
                size = self.made[next_id].size_bytes
                self._places[next_id] = self._writer.place(next_id, size)
            self._placed.notify_all()

    def _fetch(self, shard_id: int, go_on: GoOn) -> None:
        place = self._place_of(shard_id, go_on)

        def take(chunk: bytes) -> None:
            go_on()
            place.write(chunk)
            self._advance(len(chunk))
            self._arrived_bytes += len(chunk)

        self.hashes[shard_id] = self._copies[shard_id].download(self.made[shard_id], take)
        self._copies[shard_id].forget()

    def _place_of(self, shard_id: int, go_on: GoOn) -> Place:
        with self._placed:
            while shard_id not in self._places:
                self._placed.wait(WAIT_SECONDS)
                go_on()
            return self._places[shard_id]


_OF_NODE = (_Work.CREATE, _Work.FETCH)
