"""Reads small files from elsewhere in bounded memory and without blocking."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO


def read_text(path: Path, *, max_bytes: int) -> str:
    """Return the text of a small regular file, without blocking on a pipe or device of that name.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is too large, not UTF-8, or not a regular file.
    """
    with _opened(path) as file:
        # Python reserves the memory for all that is asked for; some files do not know their size.
        size = os.fstat(file.fileno()).st_size or max_bytes
        data = file.read(min(size, max_bytes) + 1)
    if len(data) > max_bytes:
        raise ValueError(f"larger than {max_bytes >> 20} MiB")
    return data.decode("utf-8")


def read_start(path: Path, *, max_bytes: int) -> str:
    """Return the start of a regular text file; bytes that are not UTF-8 are replaced.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is not a regular file.
    """
    with _opened(path) as file:
        return file.read(max_bytes).decode("utf-8", "replace")


def read_end(path: Path, *, max_bytes: int) -> str:
    """Return the end of a regular text file; bytes that are not UTF-8 are replaced.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is not a regular file.
    """
    with _opened(path) as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - max_bytes))
        return file.read(max_bytes).decode("utf-8", "replace")


def _opened(path: Path) -> BinaryIO:
    # Without O_NONBLOCK, opening a pipe that has no writer would block forever.
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise ValueError("not a regular file")
