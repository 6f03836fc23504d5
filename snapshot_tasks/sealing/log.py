"""Finds out whether a shard's write-ahead log has operations that are missing in its segments.

A snapshot that is taken while updates are queued has them only in the log, and a server replays
them during a restore. A reader that only reads the segments would miss them. Every operation has a
number, counted from the first one in the log, and a segment records the number of the last
operation that it applied. So the segments are complete exactly when no number in the log is larger
than the largest that a segment records.

Measured on each tested version of `domain/versions.py`: a log file starts with `wal`, a zero byte
and four more; then come entries of a little-endian 64-bit length, the data, and a checksum of four
bytes, padded to eight. A file named `closed-N` starts with operation N; the open one continues
where the last closed one ends. The data is a CBOR map whose first key names the operation.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import IO, Any

from snapshot_tasks.sealing.cbor import decode

MAGIC = b"wal\0"
HEADER_BYTES = 8
LENGTH = struct.Struct("<Q")
CHECKSUM_BYTES = 4
ALIGNMENT = 8
# The start of a map, and its first key.
_CREATE_INDEX, _DELETE_INDEX = b"\xbflcreate_index", b"\xbfldelete_index"
MAX_INDEX_BYTES = 1 << 20


def count_entries(file: IO[bytes]) -> int:
    """Return how many entries a log file has; only their lengths are read.

    Raises:
        ValueError: if it is not a log file.
    """
    return sum(1 for _ in _entries(file))


def index_changes(file: IO[bytes]) -> dict[str, Any]:
    """Return the last change of each payload index in a log file: its parameters, None if dropped.

    Raises:
        ValueError: if it is not a log file, or describes an index in an unknown way.
    """
    changes: dict[str, Any] = {}
    for start, length in _entries(file):
        file.seek(start)
        head = file.read(min(length, len(_CREATE_INDEX)))
        if head not in (_CREATE_INDEX, _DELETE_INDEX) or length > MAX_INDEX_BYTES:
            continue
        file.seek(start)
        changes.update(_change(decode(file.read(length))))
    return changes


def _change(operation: Any) -> dict[str, Any]:
    if "delete_index" in operation:
        return {str(operation["delete_index"]): None}
    created = operation["create_index"]
    if not isinstance(created, dict) or not created.get("field_schema"):
        raise ValueError("the log describes an index in an unknown way")
    return {str(created["field_name"]): created["field_schema"]}


def _entries(file: IO[bytes]) -> Iterator[tuple[int, int]]:
    """Yield where the data of each entry starts, and how long it is."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if file.read(HEADER_BYTES)[:4] != MAGIC:
        raise ValueError("a WAL file has the wrong header")
    offset = HEADER_BYTES
    while offset + LENGTH.size <= size:
        file.seek(offset)
        (length,) = LENGTH.unpack(file.read(LENGTH.size))
        end = offset + LENGTH.size + length + CHECKSUM_BYTES
        if length == 0 or end > size:
            break
        yield offset + LENGTH.size, length
        offset = end + (-end) % ALIGNMENT


def last_operation(entries: dict[str, int]) -> int:
    """Return the number of the log's last operation, or -1 if the log is empty.

    `entries` is the number of entries in each file of the log, by file name.
    """
    closed = {int(name.partition("-")[2]): n for name, n in entries.items() if "closed-" in name}
    start = max((first + count for first, count in closed.items()), default=0)
    return start + sum(n for name, n in entries.items() if "open-" in name) - 1
