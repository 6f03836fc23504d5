"""The packs of a repository: listed, written, read, and deleted a week after nobody needs them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from snapshot_tasks.offsite.codec import Unpacker
from snapshot_tasks.offsite.packs import (
    HEAL,
    MAX_STORED_BYTES,
    PACKS,
    Block,
    Place,
    block_of,
    is_named_after,
    is_pack_name,
)
from snapshot_tasks.storage.base import Protected, Store, Stored
from snapshot_tasks.system.errors import Damaged, NotFound

# A push relies on what it found at its start, so nothing that it may rely on goes for this long.
ABANDONED_AFTER = timedelta(days=7)
# Notes: no snapshot needs the pack of that name; the object of that name is damaged.
UNUSED, DAMAGED = "unused", "damaged"
NOTE = b"See docs/offsite.md.\n"
# Another request costs about as much as reading this many bytes.
NEAR_BYTES = 1 << 20
Plain = Iterator[tuple[Block, bytes]]


def read_object(store: Store, name: str, max_bytes: int) -> bytes:
    """Return an object. Raises `Damaged` if it is larger than it can be."""
    data = bytearray()
    for chunk in store.read(name):
        data += chunk
        if len(data) > max_bytes:
            raise Damaged(f"{name} in {store.url} is larger than allowed.", hint=HEAL)
    return bytes(data)


def delete_each(store: Store, groups: Iterable[Sequence[str]]) -> int:
    """Delete objects, those of a group in its order; return how many groups are gone.

    A protected one stays, and so does what follows in its group.

    Raises:
        Protected: for the first of them, after all others.
    """
    deleted, kept = 0, []
    for group in groups:
        try:
            for name in group:
                store.delete(name)
        except Protected as error:
            kept.append(error)
        else:
            deleted += 1
    if kept:
        raise kept[0]
    return deleted


@dataclass(frozen=True, slots=True)
class PackStore:
    """The packs in a store, and the notes about them. No push relies on a pack with a note."""

    store: Store

    def sizes(self) -> dict[str, int]:
        """Return the stored size of each pack, by name."""
        return {name: stored.size_bytes for name, stored in self._listed(PACKS).items()}

    def usable(self) -> dict[str, int]:
        """Return the stored size of each pack without a note."""
        noted = {*self.unused(), *self._listed(f"{DAMAGED}/{PACKS}")}
        return {name: size for name, size in self.sizes().items() if name not in noted}

    def write(self, name: str, stored: bytes) -> None:
        """Write a pack, also in the place of a damaged one."""
        self.store.write(f"{PACKS}/{name}", stored)

    def read_whole(self, name: str) -> bytes:
        """Return a pack as it is stored.

        Raises:
            Damaged: if it is not what was stored, or missing.
        """
        with self._present(name):
            stored = read_object(self.store, f"{PACKS}/{name}", MAX_STORED_BYTES)
        if not is_named_after(name, stored):
            raise Damaged(f"{self._where(name)} is damaged.", hint=HEAL)
        return stored

    def read(self, places: Sequence[tuple[Block, Place]], key: bytes, unpacker: Unpacker) -> Plain:
        """Yield blocks of one pack, in the order of their places, and their plain bytes.

        What lies between them is read too, unless it is much.

        Raises:
            Damaged: if one is not what was sent, or the pack is missing.
        """
        for near in _near(places):
            yield from self._read_near(near, key, unpacker)

    def _read_near(
        self, near: Sequence[tuple[Block, Place]], key: bytes, unpacker: Unpacker
    ) -> Plain:
        name, start, end = near[0][1].pack, near[0][1].offset, near[-1][1].end
        data, position = bytearray(), start
        with self._present(name):
            chunks = self.store.read(f"{PACKS}/{name}", offset=start, size=end - start)
            for block, place in near:
                while position + len(data) < place.end:
                    if not (chunk := next(chunks, b"")):
                        raise Damaged(f"{self._where(name)} is too short.", hint=HEAL)
                    data += chunk
                del data[: place.offset - position]
                stored = bytes(data[: place.stored_bytes])
                del data[: place.stored_bytes]
                position = place.end
                plain = unpacker.unpack(f"{PACKS}/{name}", stored, max_bytes=block.size_bytes)
                if block_of(plain, key) != block:
                    raise Damaged(f"{self._where(name)} holds another block.", hint=HEAL)
                yield block, plain

    @contextmanager
    def _present(self, name: str) -> Iterator[None]:
        try:
            yield
        except NotFound:
            raise Damaged(f"{self._where(name)} is missing.", hint=HEAL) from None

    def _where(self, name: str) -> str:
        return f"{PACKS}/{name} in {self.store.url}"

    def unused(self) -> set[str]:
        """Return the packs that may go at any moment, so no push writes them again either."""
        return set(self._listed(UNUSED))

    def sweep(self, needed: Collection[str], *, now: datetime) -> int:
        """Delete packs that no snapshot has needed for a week; return how many.

        A push may have begun to rely on a pack just before nobody needed it any more. So such a
        pack first gets a note, which tells later pushes, and goes a week after that.

        Raises:
            Protected: if the store keeps a pack or a note, after all others.
        """
        packs, notes = self._listed(PACKS), self._listed(UNUSED)
        for name, pack in packs.items():
            if name in needed or name in notes or now - pack.modified_at < ABANDONED_AFTER:
                continue
            self.store.write(f"{UNUSED}/{name}", NOTE)
        stale = [f"{UNUSED}/{n}" for n in notes if n in needed or n not in packs]
        damaged = self._listed(f"{DAMAGED}/{PACKS}").items()
        stale += [note.name for n, note in damaged if n not in needed and n not in packs]
        old = [
            (packs[name].name, f"{DAMAGED}/{packs[name].name}", note.name)
            for name, note in notes.items()
            if name in packs and name not in needed and now - note.modified_at >= ABANDONED_AFTER
        ]
        delete_each(self.store, [(name,) for name in stale])
        return delete_each(self.store, old)

    def _listed(self, folder: str) -> dict[str, Stored]:
        listed = ((s.name.removeprefix(f"{folder}/"), s) for s in self.store.list(folder))
        return {name: stored for name, stored in listed if is_pack_name(name)}


def _near(places: Sequence[tuple[Block, Place]]) -> Iterator[list[tuple[Block, Place]]]:
    """Yield groups of blocks between which little lies that is not wanted."""
    group: list[tuple[Block, Place]] = []
    for one in sorted(places, key=lambda one: one[1].offset):
        if group and one[1].offset - group[-1][1].end > NEAR_BYTES:
            yield group
            group = []
        group.append(one)
    if group:
        yield group
