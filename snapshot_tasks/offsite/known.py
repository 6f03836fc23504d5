"""What this machine knows of the packs off-site, because it has sent them.

A machine that only pushes has no identity, so it cannot read what lies off-site. It keeps where
each block lies that it has sent, and the key of their hashes, in a file. That a pack stands there
is not believed unless it is listed off-site too. Without the file, more is sent than needed, and
nothing is lost.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from snapshot_tasks.offsite.index import Index
from snapshot_tasks.offsite.marker import Pack
from snapshot_tasks.offsite.packs import Block, Place, ending_of
from snapshot_tasks.system.files import PRIVATE, write_text

_FIRST = re.compile(r"known 1 ([0-9a-f]{64})")
_BLOCK = re.compile(r"([0-9a-f]{64}):(\d{1,9}):(\d{1,9})")
_GUARD_BYTES = 8


class Known:
    """The blocks in one place for one set of recipients. Without a `path` nothing is kept."""

    def __init__(self, key: bytes, path: Path | None = None) -> None:
        self.key = key
        self._packs: dict[str, Mapping[Block, Place]] = {}
        self._read: dict[Block, Place] = {}
        self._read_sizes: dict[str, int] = {}
        self._path = path

    def remember(self, pack: str, places: Mapping[Block, Place]) -> None:
        """Note a pack that has arrived off-site; a disk that is full only costs a later push."""
        self._packs[pack] = places
        if self._path:
            with suppress(OSError), self._path.open("ab") as file:
                # One call, so that two pushes at once do not mix their lines.
                os.write(file.fileno(), self._line(pack).encode())

    def learn(self, index: Index, packs: Iterable[Pack]) -> None:
        """Take what the index of a snapshot off-site says, for this run, if it has the same key."""
        if index.key == self.key:
            self._read.update((one.block, one.place) for one in index.lying())
            self._read_sizes.update((pack.name, pack.stored_bytes) for pack in packs)

    def places(self, sizes: Mapping[str, int]) -> dict[Block, Place]:
        """Return where blocks lie, in packs that are listed off-site with their whole size."""
        found: dict[Block, Place] = {}
        for block, place in self._read.items():
            if sizes.get(place.pack) == self._read_sizes[place.pack]:
                found[block] = place
        for pack, places in self._packs.items():
            if sizes.get(pack) == max(place.end for place in places.values()):
                found.update(places)
        return found

    def save(self) -> None:
        """Write the file anew with what is known now."""
        if self._path:
            with suppress(OSError):
                self._path.parent.mkdir(exist_ok=True)
                text = "".join((f"known 1 {self.key.hex()}\n", *map(self._line, self._packs)))
                write_text(self._path, text, mode=PRIVATE)

    def load(self, line: str, ending: str) -> None:
        """Take a line of the file; one that is torn, or of other recipients, is left out."""
        text, _, guard = line.rstrip("\n").rpartition(" ")
        pack, *blocks = text.split() or [""]
        if guard != self._guard(text) or ending_of(pack) != ending:
            return
        places: dict[Block, Place] = {}
        offset = 0
        for match in filter(None, map(_BLOCK.fullmatch, blocks)):
            stored_bytes = int(match[3])
            block = Block(bytes.fromhex(match[1]), int(match[2]))
            places[block] = Place(pack, offset, stored_bytes)
            offset += stored_bytes
        if places:
            self._packs[pack] = places

    def _line(self, pack: str) -> str:
        blocks = (
            f"{block.digest.hex()}:{block.size_bytes}:{place.stored_bytes}"
            for block, place in self._packs[pack].items()
        )
        text = " ".join((pack, *blocks))
        return f"{text} {self._guard(text)}\n"

    def _guard(self, text: str) -> str:
        return hashlib.blake2b(text.encode(), key=self.key, digest_size=_GUARD_BYTES).hexdigest()


def load_known(path: Path, ending: str) -> Known | None:
    """Return what a file knows of packs with this ending of their names; None without a file."""
    with suppress(OSError), path.open("r", encoding="ascii", errors="replace") as file:
        if first := _FIRST.fullmatch(file.readline().rstrip("\n")):
            known = Known(bytes.fromhex(first[1]), path)
            for line in file:
                known.load(line, ending)
            return known
    return None
