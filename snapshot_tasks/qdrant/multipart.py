"""The file in a multipart upload, as httpx reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from snapshot_tasks.system.files import CHUNK_BYTES


class FilePart:
    """An open file that is read in large chunks and reports its progress."""

    def __init__(self, file: Any, advance: Callable[[int], None]) -> None:
        self._file = file
        self._advance = advance

    def read(self, size: int = -1) -> bytes:
        """Return the next chunk, which is large even if a small one was requested."""
        chunk: bytes = self._file.read(max(size, CHUNK_BYTES))
        self._advance(len(chunk))
        return chunk

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a position, which httpx does to find the size."""
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        """Return the position."""
        return int(self._file.tell())

    def fileno(self) -> int:
        """Return the descriptor, from which httpx gets the size without reading."""
        return int(self._file.fileno())
