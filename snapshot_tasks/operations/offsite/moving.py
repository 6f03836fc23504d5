"""Moves blocks off-site into new packs, for the recipients that are set now.

For each snapshot: first the packs, then its index and the files beside it, last its marker. So it
is whole at any moment, and what a killed run has moved is found by the next. The former packs go as
any that nobody needs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from snapshot_tasks.offsite.codec import Packer, Unpacker
from snapshot_tasks.offsite.index import Index, Lying, relocate
from snapshot_tasks.offsite.known import Known
from snapshot_tasks.offsite.marker import Marker, Pack
from snapshot_tasks.offsite.packing import WIDTH, Packing
from snapshot_tasks.offsite.packs import PACK_BYTES, Block, Place
from snapshot_tasks.offsite.repository import Repository
from snapshot_tasks.offsite.upload import Upload
from snapshot_tasks.operations.offsite.recall import known_of
from snapshot_tasks.system.behind import Behind


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """For whom new objects are packed, who can read the old ones, and what this machine knows.

    `cache` is the folder in which it keeps that.
    """

    packer: Packer
    unpacker: Unpacker
    cache: Path | None = None
    pack_bytes: int = PACK_BYTES


class Mover:
    """Moves the blocks of some snapshots of one place, each block once."""

    def __init__(self, repository: Repository, keys: Keys) -> None:
        self.sent_bytes = 0
        self._repository = repository
        self._keys = keys
        self._moves: dict[Place, Place] = {}
        self._known: dict[bytes, Known] = {}

    def move(self, marker: Marker, index: Index, packs: Collection[str]) -> bool:
        """Move what a snapshot has in these packs; return whether it is as it was read.

        If it was deleted or pushed again in the meantime, it is left alone.

        Raises:
            Damaged: if something of it cannot be read; it is as it was then.
            StorageError: if the place cannot be written.
        """
        sizes = self._move_blocks(index, packs)
        upload = Upload(self._repository, marker.key, self._keys.packer)
        found = upload.found
        if found is None or (found.index, found.packs) != (marker.index, marker.packs):
            return False
        if set(found.encrypted_to) != set(self._keys.packer.recipients):
            for kind, blob in found.beside.items():
                plain = self._repository.fetch(found.key, blob, self._keys.unpacker)
                upload.send_beside({kind: plain})
        moved = relocate(index, self._moves)
        upload.send_index(moved)
        upload.commit(
            replace(
                found,
                index=upload.index,
                packs=tuple(Pack(name, sizes[name]) for name in moved.packs),
                beside={**found.beside, **upload.beside},
                encrypted_to=self._keys.packer.recipients,
            )
        )
        self.sent_bytes += upload.sent_bytes
        return True

    def _move_blocks(self, index: Index, packs: Collection[str]) -> Mapping[str, int]:
        """Write blocks into new packs; return the stored size of every pack that is there."""
        wanted = _by_pack(index, self._moves, packs)
        sizes = self._repository.packs.sizes()
        if not wanted:
            return sizes
        if index.key not in self._known:
            keys = self._keys
            self._known[index.key] = known_of(
                self._repository.url, index.key, keys.packer, keys.cache
            )
        usable = self._repository.packs.usable()
        with Behind(WIDTH) as behind:
            packing = Packing(
                self._keys.packer,
                self._known[index.key],
                {name: size for name, size in usable.items() if name not in packs},
                write=self._write,
                behind=behind,
                unused=self._repository.packs.unused(),
                pack_bytes=self._keys.pack_bytes,
            )
            order: list[Place] = []
            for places in wanted.values():
                by_place = sorted(places, key=lambda one: one[1].offset)
                read = self._repository.packs.read(by_place, index.key, self._keys.unpacker)
                for (_, place), (_, plain) in zip(by_place, read, strict=True):
                    packing.add(plain)
                    order.append(place)
            lying = packing.finish().lying()
        self._moves |= {old: new.place for old, new in zip(order, lying, strict=True)}
        return sizes | packing.sizes

    def _write(self, name: str, stored: bytes) -> None:
        self._repository.packs.write(name, stored)
        self.sent_bytes += len(stored)


def _by_pack(
    index: Index, moved: Collection[Place], packs: Collection[str]
) -> dict[str, set[tuple[Block, Place]]]:
    wanted: dict[str, set[tuple[Block, Place]]] = {}
    for piece in index.pieces:
        if isinstance(piece, Lying) and piece.place.pack in packs and piece.place not in moved:
            wanted.setdefault(piece.place.pack, set()).add((piece.block, piece.place))
    return wanted
