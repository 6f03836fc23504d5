"""Partial files of pulls in the snapshot folder; they are hidden, and a later pull resumes them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from snapshot_tasks.system.errors import Locked
from snapshot_tasks.system.locks import try_lock

PREFIX, SUFFIX = ".pull-", ".part"


def partial_name(sha256: str) -> str:
    """Return the hidden name of a file that will have this SHA-256."""
    return f"{PREFIX}{sha256[:32]}{SUFFIX}"


@contextmanager
def own_partial(partial: Path) -> Iterator[BinaryIO]:
    """Open a partial file for this run only, with the contents that it already has.

    Raises:
        Locked: if another run is writing it.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(partial, flags, 0o600), "r+b") as file:
        if not try_lock(file):
            raise Locked(
                f"Another run is already pulling this snapshot into {partial.parent}.",
                hint="Wait until it ends, then run this again.",
            )
        yield file


def clear_partials(folder: Path, *, keep: set[str]) -> None:
    """Remove partial files of killed pulls of other snapshots; a running pull holds a lock."""
    for path in folder.glob(f"{PREFIX}*{SUFFIX}"):
        if path.name in keep:
            continue
        with suppress(OSError), path.open("rb") as file:
            if try_lock(file):
                path.unlink()
