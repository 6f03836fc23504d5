"""Small disks, and disks that are full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.conftest import missing
from tests.support.world import wait_until


def need_disks() -> None:
    """Skip on a laptop, where only root can mount a disk; fail in CI."""
    if os.geteuid():
        missing("mounting a tmpfs is not permitted")


@contextmanager
def small_disk(place: Path, *, size: str) -> Iterator[Path]:
    """Mount a separate disk of this size."""
    place.mkdir(parents=True, exist_ok=True)
    mount = ("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place))
    subprocess.run(mount, check=True, capture_output=True)
    try:
        yield place
    finally:
        # A program that has just ended may still be using it for a moment.
        wait_until(lambda: not subprocess.run(("umount", str(place)), check=False).returncode)


def fill(disk: Path) -> Path:
    """Leave no byte free on a disk, and return the file that fills it."""
    filler = disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        for _ in range(1 << 20):
            file.write(bytes(4096))
    return filler
