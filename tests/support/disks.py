"""Small disks, and disks that are full."""

from __future__ import annotations

import os
import shutil
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


@contextmanager
def exfat_disk(place: Path, *, megabytes: int) -> Iterator[Path]:
    """Mount a new exFAT disk by FUSE. Skips on a laptop without it; fails in CI."""
    if not (shutil.which("mkfs.exfat") and shutil.which("mount.exfat-fuse")):
        missing("no exFAT on this machine (Debian's packages exfatprogs and exfat-fuse)")
    place.mkdir(parents=True)
    image = place.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    device = _said("losetup", "--find", "--show", str(image))
    try:
        _said("mkfs.exfat", device)
        _said("mount.exfat-fuse", device, str(place))
        yield place
        wait_until(lambda: not subprocess.run(("umount", str(place)), check=False).returncode)
    finally:
        subprocess.run(("losetup", "--detach", device), check=False)


def _said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def fill(disk: Path, *, but_bytes: int = 0) -> Path:
    """Leave no byte free on a disk, or only so many, and return the file that fills it."""
    filler = disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        for _ in range(1 << 20):
            file.write(bytes(4096))
    os.truncate(filler, filler.stat().st_size - but_bytes)
    return filler
