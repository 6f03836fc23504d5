"""Sorts the outlines of two sets of points by id on disk, so that few are in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import orjson

from snapshot_tasks.domain.fingerprint import BUCKETS, bucket_of, id_bytes
from snapshot_tasks.domain.outline import Id, Outline

# So many piles of neighbouring buckets; one pile of each side is in memory at a time.
PILES = 64
BEFORE, AFTER = "before", "after"


class Sorter:
    """Takes the outlines of two sides in any order, and gives them back pile by pile."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._files: dict[tuple[str, int], BinaryIO] = {}

    def __enter__(self) -> Sorter:
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.close()

    def take(self, side: str, outlines: list[Outline]) -> None:
        """Write down the outlines of some points of one side."""
        for one in outlines:
            pile = bucket_of(id_bytes(one.id)) * PILES // BUCKETS
            self._file(side, pile).write(orjson.dumps(one.as_json()) + b"\n")

    def piles(self) -> Iterator[tuple[dict[Id, Outline], dict[Id, Outline]]]:
        """Yield the points of both sides, by id, a pile at a time."""
        for pile in range(PILES):
            yield self._read(BEFORE, pile), self._read(AFTER, pile)

    def _file(self, side: str, pile: int) -> BinaryIO:
        if (side, pile) not in self._files:
            file = self._stack.enter_context((self._folder / f"{side}-{pile}").open("w+b"))
            self._files[side, pile] = file
        return self._files[side, pile]

    def _read(self, side: str, pile: int) -> dict[Id, Outline]:
        file = self._files.get((side, pile))
        if file is None:
            return {}
        file.seek(0)
        found = (Outline(*orjson.loads(line)) for line in file)
        return {one.id: one for one in found}
