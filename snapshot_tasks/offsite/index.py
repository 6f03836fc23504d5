"""The index of a snapshot off-site: the list of its blocks in order, and where each of them lies.

Plain text, one block in a line, so that a snapshot can be put together by hand (docs/offsite.md):

    blocks 1
    key <64 hexadecimal digits>
    pack <name>                         numbered from 0 on, in this order
    block <hash> <bytes> <pack> <offset> <stored bytes>
    zeros <bytes>

It holds the key of the names and hashes, so it is encrypted like the packs. Whoever can write to
the store can write an index too, so nothing in it is trusted: it is read within limits, every block
is compared with its hash, and the file with the SHA-256 in its manifest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NoReturn

from snapshot_tasks.offsite.packs import (
    MAX_BLOCK_BYTES,
    MAX_STORED_BYTES,
    Block,
    Place,
    is_pack_name,
)
from snapshot_tasks.system.errors import Damaged, Refused
from snapshot_tasks.system.untrusted import printable

FORMAT = "blocks 1"
_KEY = re.compile("key ([0-9a-f]{64})")
_PACK = re.compile(r"pack ([0-9a-z.-]{1,100})")
_BLOCK = re.compile(r"block ([0-9a-f]{64}) (\d{1,9}) (\d{1,9}) (\d{1,9}) (\d{1,9})")
_ZEROS = re.compile(r"zeros (\d{1,18})")


@dataclass(frozen=True, slots=True)
class Zeros:
    """So many zero bytes of a snapshot, of which nothing is stored."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class Lying:
    """One block of a snapshot, and where it lies."""

    block: Block
    place: Place

    @property
    def size_bytes(self) -> int:
        """The size of the block."""
        return self.block.size_bytes


Piece = Lying | Zeros


@dataclass(frozen=True, slots=True)
class Index:
    """All pieces of a snapshot, in order. `key` is that of the hashes of its blocks."""

    key: bytes
    pieces: tuple[Piece, ...]

    @property
    def size_bytes(self) -> int:
        """The size of the snapshot."""
        return sum(piece.size_bytes for piece in self.pieces)

    @property
    def packs(self) -> tuple[str, ...]:
        """The packs that the snapshot needs, in the order of their first use."""
        return tuple(dict.fromkeys(one.place.pack for one in self.lying()))

    def lying(self) -> Iterator[Lying]:
        """Yield the blocks that lie in packs."""
        return (piece for piece in self.pieces if isinstance(piece, Lying))

    def dump(self) -> bytes:
        """Return the index as it is stored, before compression and encryption."""
        numbers = {pack: number for number, pack in enumerate(self.packs)}
        lines = [FORMAT, f"key {self.key.hex()}", *(f"pack {pack}" for pack in numbers)]
        lines += (_line(piece, numbers) for piece in self.pieces)
        return ("\n".join(lines) + "\n").encode("ascii")


def _line(piece: Piece, numbers: dict[str, int]) -> str:
    if isinstance(piece, Zeros):
        return f"zeros {piece.size_bytes}"
    block, place = piece.block, piece.place
    number = numbers[place.pack]
    where = f"{number} {place.offset} {place.stored_bytes}"
    return f"block {block.digest.hex()} {block.size_bytes} {where}"


def joined(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """Return the pieces with neighbouring zeros as one."""
    found: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, Zeros) and found and isinstance(found[-1], Zeros):
            found[-1] = Zeros(found[-1].size_bytes + piece.size_bytes)
        else:
            found.append(piece)
    return tuple(found)


def relocate(index: Index, moves: Mapping[Place, Place]) -> Index:
    """Return the index of the same snapshot after blocks have moved; `moves` leads to new places.

    By place, not by hash: of two copies of a block, only the one that was moved lies elsewhere.
    """
    pieces = (
        replace(piece, place=moves.get(piece.place, piece.place))
        if isinstance(piece, Lying)
        else piece
        for piece in index.pieces
    )
    return replace(index, pieces=tuple(pieces))


def parse_index(data: bytes, snapshot: str) -> Index:
    """Return the contents of an index.

    Raises:
        Refused: for a newer format.
        Damaged: if it is no index.
    """
    lines = iter(data.decode("ascii", "replace").splitlines())
    first = next(lines, "")
    if first != FORMAT and re.fullmatch(r"blocks \d+", first):
        raise Refused(
            f"{printable(snapshot)} was pushed by a newer version of this project.",
            hint="Update this project on this machine, then try again.",
        )
    key = _KEY.fullmatch(next(lines, ""))
    if first != FORMAT or not key:
        _fail(snapshot, "its first lines are wrong")
    packs: list[str] = []
    pieces: list[Piece] = []
    for line in lines:
        if pack := _PACK.fullmatch(line):
            packs.append(pack[1])
        else:
            pieces.append(_piece(line, packs, snapshot))
    if not all(map(is_pack_name, packs)):
        _fail(snapshot, "it names an object that is no pack")
    return Index(bytes.fromhex(key[1]), tuple(pieces))


def _piece(line: str, packs: list[str], snapshot: str) -> Piece:
    if zeros := _ZEROS.fullmatch(line):
        return Zeros(int(zeros[1]))
    match = _BLOCK.fullmatch(line)
    if not match:
        _fail(snapshot, f"a line is wrong: {printable(line, limit=100)}")
    size, number, offset, stored_bytes = map(int, match.groups()[1:])
    if number >= len(packs) or not 0 < size <= MAX_BLOCK_BYTES:
        _fail(snapshot, "a block is larger than any can be, or its pack is not listed")
    if not 0 < stored_bytes <= MAX_STORED_BYTES - offset:
        _fail(snapshot, "a block lies outside its pack")
    place = Place(packs[number], offset, stored_bytes)
    return Lying(Block(bytes.fromhex(match[1]), size), place)


def _fail(snapshot: str, reason: str) -> NoReturn:
    raise Damaged(
        f"The off-site index of {printable(snapshot)} cannot be read: {reason}.",
        hint="Push that snapshot again, or pull another.",
    )
