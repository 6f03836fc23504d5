"""Puts a snapshot together from its blocks: from the file itself, other local files, and packs."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

from snapshot_tasks.offsite.codec import Unpacker
from snapshot_tasks.offsite.index import Index, Lying, Piece
from snapshot_tasks.offsite.packs import MAX_BLOCK_BYTES, Block, Place, block_of
from snapshot_tasks.offsite.repository import Repository
from snapshot_tasks.sealing.blocks import cut
from snapshot_tasks.system.behind import Behind
from snapshot_tasks.system.progress import Progress

# How many packs are fetched, decrypted and decompressed side by side.
WIDTH = 4
# How many local snapshots are looked through for blocks, those taken at about the same time.
MAX_LOCAL = 2
_WAIT_SECONDS = 0.1


class Assembly:
    """A file that gets its blocks, each where it belongs, in any order.

    `fetched_bytes` is what was downloaded. Every block is compared with its hash before it is
    written.
    """

    def __init__(self, file: BinaryIO, index: Index) -> None:
        self._fetched: list[int] = []
        self._descriptor = file.fileno()
        self._index = index
        self._missing: dict[Block, list[int]] = {}
        self._arrived = threading.Condition()
        position = 0
        for piece in index.pieces:
            if isinstance(piece, Lying):
                self._missing.setdefault(piece.block, []).append(position)
            position += piece.size_bytes
        self._had_bytes = os.fstat(self._descriptor).st_size
        # Zeros are holes from now on.
        os.ftruncate(self._descriptor, position)

    @property
    def fetched_bytes(self) -> int:
        """How many bytes of blocks were downloaded."""
        return sum(self._fetched)

    def keep(self, progress: Progress) -> None:
        """Find the blocks that an earlier, interrupted pull has written."""
        if not self._had_bytes:
            return
        total = sum(b.size_bytes * len(where) for b, where in self._missing.items())
        with progress.phase("checking what has arrived", total_bytes=total) as advance:
            for block, positions in list(self._missing.items()):
                if all(self._read(position, block) for position in positions):
                    del self._missing[block]
                advance(block.size_bytes * len(positions))

    def copy(self, paths: Iterable[Path], progress: Progress) -> None:
        """Take what other snapshots here have too; one that cannot be read has nothing."""
        for path in paths:
            if not self._missing:
                return
            with (
                suppress(OSError),
                path.open("rb") as file,
                path.open("rb") as headers,
                progress.phase(f"taking what {path.name} has", total_bytes=_size(file)) as advance,
            ):
                for _, size in cut(headers):
                    plain = file.read(size)
                    self._write(block_of(plain, self._index.key), plain)
                    advance(size)

    def fetch(
        self, repository: Repository, unpacker: Unpacker, advance: Callable[[int], None]
    ) -> str:
        """Fetch the packs of all other blocks; return the SHA-256 of the file.

        The file is hashed while the rest of it arrives.

        Raises:
            Damaged: if a pack is missing or is not what was sent.
        """
        whole, position = hashlib.sha256(), 0
        wanted = self._by_pack()
        order = iter(wanted)
        with Behind(WIDTH) as behind:
            for piece in self._index.pieces:
                while isinstance(piece, Lying) and piece.block in self._missing:
                    pack = next(order, None)
                    if pack:
                        behind.start(partial(self._unpack, repository, wanted[pack], unpacker))
                    else:
                        behind.check()
                        with self._arrived:
                            self._arrived.wait(_WAIT_SECONDS)
                for plain in self._plain(piece, position):
                    whole.update(plain)
                position += piece.size_bytes
                advance(piece.size_bytes)
        return whole.hexdigest()

    def _by_pack(self) -> dict[str, dict[Block, Place]]:
        """Return what is missing, by pack, in the order of the file."""
        wanted: dict[str, dict[Block, Place]] = {}
        for one in self._index.lying():
            if one.block in self._missing:
                wanted.setdefault(one.place.pack, {})[one.block] = one.place
        return wanted

    def _unpack(
        self, repository: Repository, places: dict[Block, Place], unpacker: Unpacker
    ) -> None:
        read = repository.packs.read(list(places.items()), self._index.key, unpacker)
        for block, plain in read:
            self._write(block, plain)
            self._fetched.append(places[block].stored_bytes)

    def _write(self, block: Block, plain: bytes) -> None:
        """Write a block wherever it belongs."""
        for position in self._missing.get(block, ()):
            self._write_at(position, plain)
        with self._arrived:
            self._missing.pop(block, None)
            self._arrived.notify_all()

    def _write_at(self, position: int, plain: bytes) -> None:
        """Write all of it: a disk that fills up takes a part, and tells only the next time."""
        written = 0
        while written < len(plain):
            written += os.pwrite(self._descriptor, plain[written:], position + written)

    def _plain(self, piece: Piece, position: int) -> Iterator[bytes]:
        """Yield what was written of a piece; there can be any number of zeros in one."""
        end = position + piece.size_bytes
        for start in range(position, end, MAX_BLOCK_BYTES):
            yield os.pread(self._descriptor, min(MAX_BLOCK_BYTES, end - start), start)

    def _read(self, position: int, block: Block) -> bool:
        plain = os.pread(self._descriptor, block.size_bytes, position)
        return block_of(plain, self._index.key) == block


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size
