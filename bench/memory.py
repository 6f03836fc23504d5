"""Measures private memory, without the pages of files that are read or mapped. Linux only."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PROCESSES = Path("/proc")
SAMPLE_SECONDS = 0.02


def anonymous_bytes(pid: int | str) -> int:
    """Return how much a process uses now; 0 if it has ended or the memory is unknown."""
    with suppress(OSError):
        for line in (PROCESSES / str(pid) / "status").read_text(encoding="utf-8").splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) << 10
    return 0


def watch(process: subprocess.Popen[str]) -> tuple[int, int]:
    """Wait for a process; return its peak memory, and the peak total of those it started."""
    own = children = 0
    while process.poll() is None:
        own = max(own, anonymous_bytes(process.pid))
        children = max(children, sum(map(anonymous_bytes, _descendants(str(process.pid)))))
        time.sleep(SAMPLE_SECONDS)
    return own, children


def _descendants(pid: str) -> Iterator[str]:
    for listed in (PROCESSES / pid / "task").glob("*/children"):
        with suppress(OSError):
            for child in listed.read_text(encoding="utf-8").split():
                yield child
                yield from _descendants(child)
