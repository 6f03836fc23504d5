"""The contents of a snapshot file, read without a server: one process for each shard."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snapshot_tasks import process
from snapshot_tasks.errors import Damaged
from snapshot_tasks.fingerprint import Accumulator, Fingerprint
from snapshot_tasks.models import Progress
from snapshot_tasks.sealing.unpack import Shard, unpack

PACKAGE_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a file holds.

    With pending operations a server may restore more than this. `log_ends` tells, by shard, the
    number of the last operation in its log.
    """

    fingerprint: Fingerprint
    pending_count: int
    log_ends: dict[str, int]
    sanity: dict[str, Any]


def read_contents(
    snapshot: Path, progress: Progress, *, points_count: int | None = None
) -> Contents:
    """Unpack a snapshot into a temporary folder and read every point of it.

    Raises:
        StorageError: when the temporary folder has no room; nothing is written then.
        Damaged: when the engine cannot read it.
    """
    with tempfile.TemporaryDirectory(prefix="qdrant-seal-") as scratch:
        with progress.phase("unpacking"):
            shards = unpack(snapshot, Path(scratch))
        total = Accumulator()
        with (
            progress.phase("reading every point of the file", total_points=points_count) as advance,
            ThreadPoolExecutor(max_workers=os.cpu_count()) as pool,
        ):
            results = list(pool.map(lambda shard: _read(snapshot, shard, advance), shards))
        for result in results:
            total.merge(Fingerprint.from_json(result["fingerprint"]))
    return Contents(
        fingerprint=total.result(),
        pending_count=sum(shard.pending_count for shard in shards),
        log_ends={shard.name: shard.log_end for shard in shards},
        sanity=_merged([result["sanity"] for result in results]),
    )


def _read(snapshot: Path, shard: Shard, advance: Callable[[int], None]) -> dict[str, Any]:
    last: dict[str, Any] = {}

    def take(line: str) -> None:
        nonlocal last
        last = json.loads(line)
        advance(last.get("points", 0))

    code = process.run_lines(
        (sys.executable, "-m", "snapshot_tasks.sealing.child", str(shard.folder)),
        take,
        env={"PYTHONPATH": str(PACKAGE_ROOT), "RUST_BACKTRACE": "0"},
    )
    if code or "result" not in last:
        reason = last.get("failure") or f"the reader ended with {code}"
        raise Damaged(
            f"Shard {shard.name} of {snapshot.name} cannot be read: {reason}.",
            hint="Use an older snapshot from `inv snapshot.list`.",
        )
    result: dict[str, Any] = last["result"]
    return result


def _merged(parts: list[dict[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {"without_vector": sum(part["without_vector"] for part in parts)}
    for key in ("zero_vectors", "nan_vectors", "payload_keys"):
        names = sorted({name for part in parts for name in part[key]})
        merged[key] = {name: sum(part[key].get(name, 0) for part in parts) for name in names}
    return merged
