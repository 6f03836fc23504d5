"""Packs: the objects in which blocks lie off-site, one after the other.

Each block is compressed and encrypted by itself, so that it can be read alone. A pack is named
after the hash of its bytes as they are stored, so damage is found also without an identity, and
nobody finds out from a name whether some contents are there: encrypted, the same block never has
the same bytes twice. For the same reason the hash of a plain block, which only indexes and this
machine's notes hold, has a key.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass

PACKS = "packs"
# The most plain bytes in one pack, and the most bytes that it can have as it is stored.
PACK_BYTES = 32 << 20
MAX_STORED_BYTES = 2 * PACK_BYTES
# Those of `sealing.blocks` are smaller; another version may choose otherwise.
MAX_BLOCK_BYTES = 4 << 20
KEY_BYTES = HASH_BYTES = 32
# Without encryption whoever reads the names reads the contents too: every machine shares this key.
OPEN_KEY = bytes(KEY_BYTES)
HEAL = "Run `inv snapshot.push --all` where an intact file is: it sends what is damaged again."
_NAME = re.compile(r"[0-9a-f]{64}(-[0-9a-f]{8})?\.zst(\.age)?")


@dataclass(frozen=True, slots=True)
class Block:
    """Identifies some bytes of a snapshot: their keyed hash, and how many they are."""

    digest: bytes
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a block lies: in which pack, from which byte on, and how many bytes are stored."""

    pack: str
    offset: int
    stored_bytes: int

    @property
    def end(self) -> int:
        """The offset of what follows."""
        return self.offset + self.stored_bytes


def new_key() -> bytes:
    """Return a new key for the hashes of blocks that are encrypted."""
    return secrets.token_bytes(KEY_BYTES)


def block_of(plain: bytes, key: bytes) -> Block:
    """Return what identifies these bytes, by BLAKE2b: it has keys, and needs no SHA hardware."""
    return Block(hashlib.blake2b(plain, key=key, digest_size=HASH_BYTES).digest(), len(plain))


def pack_name(stored: bytes | bytearray, ending: str) -> str:
    """Return the name of a pack with these bytes; `ending` tells how they are encoded."""
    return hashlib.blake2b(stored, digest_size=HASH_BYTES).hexdigest() + ending


def is_named_after(name: str, stored: bytes) -> bool:
    """Return whether a pack is what was stored under its name."""
    return name.startswith(pack_name(stored, ""))


def is_pack_name(name: str) -> bool:
    """Return whether an object in the folder of packs can be one of ours."""
    return _NAME.fullmatch(name) is not None


def ending_of(name: str) -> str:
    """Return how the blocks in a pack are encoded, and for which recipients."""
    return name[2 * HASH_BYTES :]
