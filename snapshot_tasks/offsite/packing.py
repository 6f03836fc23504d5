"""Puts the blocks that do not lie off-site yet into packs, and sends these."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Collection, Mapping
from functools import partial
from io import BytesIO

from snapshot_tasks.offsite.codec import Packer
from snapshot_tasks.offsite.index import Index, Lying, Piece, Zeros, joined
from snapshot_tasks.offsite.known import Known
from snapshot_tasks.offsite.packs import HASH_BYTES, PACK_BYTES, Block, Place, block_of, pack_name
from snapshot_tasks.system.behind import Behind

# How many packs are compressed, encrypted and sent while the next one is read.
WIDTH = 2
Write = Callable[[str, bytes], None]


class Packing:
    """The blocks of one snapshot on their way into packs.

    `sizes` are the stored sizes of the packs that may be relied on. `write` gets the name and the
    bytes of each new pack, behind the caller's back. A pack is `known` once it has arrived. No pack
    gets a name that is `unused`: somebody may be about to delete what has it.
    """

    def __init__(
        self,
        packer: Packer,
        known: Known,
        sizes: Mapping[str, int],
        *,
        write: Write,
        behind: Behind,
        unused: Collection[str] = (),
        pack_bytes: int = PACK_BYTES,
    ) -> None:
        self.sizes = dict(sizes)
        self._packer = packer
        self._known = known
        self._write = write
        self._behind = behind
        self._unused = unused
        self._pack_bytes = pack_bytes
        self._places = known.places(self.sizes)
        self._pieces: list[Block | Zeros] = []
        # The blocks of this push that have no place yet, and those of them in the next pack.
        self._moving: set[Block] = set()
        self._filling: deque[tuple[Block, bytes]] = deque()
        self._filled_bytes = 0

    def add(self, plain: bytes) -> None:
        """Take the next block of the snapshot; send it if it does not lie off-site yet."""
        if not plain.strip(b"\0"):
            self._pieces.append(Zeros(len(plain)))
            return
        block = block_of(plain, self._known.key)
        self._pieces.append(block)
        if block not in self._places and block not in self._moving:
            if self._filled_bytes + len(plain) > self._pack_bytes:
                self._flush()
            self._moving.add(block)
            self._filling.append((block, plain))
            self._filled_bytes += len(plain)

    def finish(self) -> Index:
        """Return where all blocks lie, once all packs have arrived."""
        if self._filling:
            self._flush()
        self._behind.finish()
        return Index(self._known.key, joined(map(self._piece, self._pieces)))

    def _piece(self, piece: Block | Zeros) -> Piece:
        return piece if isinstance(piece, Zeros) else Lying(piece, self._places[piece])

    def _flush(self) -> None:
        self._behind.start(partial(self._send, self._filling))
        self._filling, self._filled_bytes = deque(), 0

    def _send(self, filling: deque[tuple[Block, bytes]]) -> None:
        # What is packed is let go, so that a pack is never in memory twice.
        stored, places = BytesIO(), dict[Block, tuple[int, int]]()
        while filling:
            self._append(stored, places, *filling.popleft())
        if self._name(stored) in self._unused:
            # Another name, by a block that no snapshot needs.
            random = secrets.token_bytes(HASH_BYTES)
            self._append(stored, places, block_of(random, self._known.key), random)
        name, size_bytes = self._name(stored), stored.tell()
        if self.sizes.get(name) != size_bytes:
            self._write(name, stored.getvalue())
        found = {block: Place(name, *place) for block, place in places.items()}
        self._known.remember(name, found)
        self.sizes[name] = size_bytes
        self._places.update(found)

    def _append(
        self, stored: BytesIO, places: dict[Block, tuple[int, int]], block: Block, plain: bytes
    ) -> None:
        """Pack one block; its place is an offset and how many bytes it has there."""
        offset = stored.tell()
        places[block] = offset, stored.write(self._packer.pack(plain))

    def _name(self, stored: BytesIO) -> str:
        return pack_name(stored.getvalue(), self._packer.ending)
