"""Makes a shard's own snapshot file of its part in a collection's snapshot.

Qdrant restores a collection's snapshot only on the one node that gets it. A cluster needs the file
of each shard on each of its holders.
"""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path
from typing import IO

from snapshot_tasks.sealing.tar import BLOCK, END_MARKER, Budget, Member, members
from snapshot_tasks.system.files import CHUNK_BYTES

_NAME, _SIZE, _CHECKSUM, _KIND = slice(0, 100), slice(124, 136), slice(148, 156), slice(156, 157)
_LONG_NAME = b"L"


def write_shard(snapshot: Path, shard_id: int, target: IO[bytes]) -> str:
    """Write the shard's part of a snapshot that has passed `check_archive`; return its SHA-256.

    Members keep their headers, holes and order; only the folder in front of their names is gone.
    """
    digest = hashlib.sha256()

    def put(data: bytes) -> None:
        digest.update(data)
        target.write(data)

    folder = f"{shard_id}/"
    with snapshot.open("rb") as file:
        for member in members(file, "the file", end_markers=(END_MARKER,), budget=Budget()):
            if not member.name.startswith(folder):
                continue
            put(_renamed(file, member, member.name.removeprefix(folder)))
            file.seek(member.data)
            left = member.end - member.data
            while left and (chunk := file.read(min(left, CHUNK_BYTES))):
                put(chunk)
                left -= len(chunk)
    put(END_MARKER)
    return digest.hexdigest()


def _renamed(file: IO[bytes], member: Member, name: str) -> bytes:
    """Return a member's headers with another name, which is shorter."""
    file.seek(member.header)
    raw = file.read(member.data - member.header)
    if raw[_KIND] == _LONG_NAME:
        size = int(raw[_SIZE].rstrip(b"\0 "), 8)
        raw = raw[BLOCK + size + -size % BLOCK :]
    encoded = name.encode() + b"/" * (not member.is_file)
    block = bytearray(raw[:BLOCK])
    block[_NAME] = encoded[:100].ljust(100, b"\0")
    block[_CHECKSUM] = b" " * 8
    block[_CHECKSUM] = b"%06o\0 " % sum(block)
    return _long_name(encoded) + bytes(block) + raw[BLOCK:]


def _long_name(name: bytes) -> bytes:
    """Return the blocks in front of a header whose name is too long for it."""
    if len(name) <= 100:
        return b""
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = _LONG_NAME, len(name) + 1
    padded = name + b"\0"
    return header.tobuf(tarfile.GNU_FORMAT) + padded + bytes(-len(padded) % BLOCK)
