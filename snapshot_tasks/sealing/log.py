"""Does a shard's write-ahead log hold operations that its segments lack?

A snapshot taken while updates are queued holds them only in the log, and a server replays them
when it restores. A reader of the segments alone would miss them. Every operation has a number,
counted from the log's first; a segment remembers the number of the last one it applied. So the
segments hold everything exactly when no number in the log is larger than the largest that a segment
remembers.

Measured on each tested version of `domain/versions.py`: a log file starts with `wal`, a zero byte
and four more; then come entries of a little-endian 64-bit length, the data, and a checksum of four
bytes, padded to eight. A file named `closed-N` starts with operation N; the open one goes on where
the last closed one ends.
"""

from __future__ import annotations

import io
import struct
from typing import IO

MAGIC = b"wal\0"
HEADER_BYTES = 8
LENGTH = struct.Struct("<Q")
CHECKSUM_BYTES = 4
ALIGNMENT = 8


def count_entries(file: IO[bytes]) -> int:
    """Return how many entries a log file holds; only their lengths are read.

    Raises:
        ValueError: when it is no such file.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if file.read(HEADER_BYTES)[:4] != MAGIC:
        raise ValueError("a WAL file does not start as one")
    count, offset = 0, HEADER_BYTES
    while offset + LENGTH.size <= size:
        file.seek(offset)
        (length,) = LENGTH.unpack(file.read(LENGTH.size))
        end = offset + LENGTH.size + length + CHECKSUM_BYTES
        if length == 0 or end > size:
            break
        count += 1
        offset = end + (-end) % ALIGNMENT
    return count


def last_operation(entries: dict[str, int]) -> int:
    """Return the number of the log's last operation, -1 for an empty log.

    `entries` tells how many entries each file of the log holds, by its name.
    """
    closed = {int(name.partition("-")[2]): n for name, n in entries.items() if "closed-" in name}
    start = max((first + count for first, count in closed.items()), default=0)
    return start + sum(n for name, n in entries.items() if "open-" in name) - 1
