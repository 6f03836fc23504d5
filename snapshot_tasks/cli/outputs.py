"""Stdout and stderr as they may be: closed, full, a broken pipe, or unable to write a name.

What a task has done must not depend on who reads about it.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

# What the operating system says if an output cannot take any more.
UNWRITABLE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    *(errno.EIO, errno.EBADF, errno.EPIPE, errno.EAGAIN, errno.ESTALE, errno.ENXIO),
)


def open_outputs() -> None:
    """Let both outputs exist, and show whatever the locale cannot write as an escape.

    Python has no stream for a closed descriptor, and the next file that is opened would get its
    number: a program that we start would then write into that file.
    """
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            _fill(number)
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and stream.errors != "backslashreplace":
            stream.reconfigure(errors="backslashreplace")


def silence(stream: TextIO) -> None:
    """Discard what is written from now on, or Python would fail when it flushes at its end."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)
        stream.flush()


class Unfailing:
    """Stderr for rich: what cannot be written is discarded."""

    def write(self, text: str) -> int:
        """Write, or discard."""
        return write_error(text)

    def flush(self) -> None:
        """Flush, or discard."""
        write_error("")

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


def write_error(text: str) -> int:
    """Write to stderr, or discard the text if that is impossible; return its length."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):
        silence(sys.stderr)
    return len(text)


def _fill(number: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        if nowhere != number:
            os.dup2(nowhere, number)
            os.close(nowhere)
