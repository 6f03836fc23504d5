"""Runs one contestant in a separate process: the work done, the time and the memory used.

`python -m bench.contestant CONTEST NAME`, with its request as JSON on stdin.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from bench.memory import anonymous_bytes
from snapshot_tasks.system.process import collect_rarely

Asked = dict[str, Any]
# Does its work and returns the amount: points, bytes or calls.
Contestant = Callable[[Asked], int]


class Clock:
    """Measures from its creation, or from its last start, until it is stopped."""

    def __init__(self) -> None:
        self._seconds: float | None = None
        self._start, self.bytes_before = time.perf_counter(), anonymous_bytes("self")

    def __call__(self, *, end: bool = False) -> None:
        """Start again, or stop."""
        if end:
            self._seconds = time.perf_counter() - self._start
        else:
            self.bytes_before = anonymous_bytes("self")
            self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """The seconds until it was stopped, or until now."""
        return self._seconds or time.perf_counter() - self._start


def main(contest: str, name: str) -> int:
    """Run one contestant and print its result as a line of JSON."""
    asked = json.load(sys.stdin)
    # Everything that a contestant imports is imported before the clock starts.
    contestants: Mapping[str, Contestant] = import_module(f"bench.{contest}").CONTESTANTS
    for module in ("qdrant_client", "qdrant_edge", "httpx", "urllib3"):
        import_module(module)
    # Every task of this project does the same.
    collect_rarely()
    clock = asked["clock"] = Clock()
    amount = contestants[name](asked)
    seconds = clock.seconds
    result = {"amount": amount, "seconds": seconds, "before": clock.bytes_before}
    print(json.dumps(result | {key: asked[key] for key in ("sent",) if key in asked}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
