"""The contents of a snapshot file, read without a server: one process for each shard."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snapshot_tasks.children import ChildFailed, ask
from snapshot_tasks.errors import Damaged
from snapshot_tasks.fingerprint import Accumulator, Fingerprint
from snapshot_tasks.models import Progress
from snapshot_tasks.scratch import scratch_folder
from snapshot_tasks.sealing.unpack import Shard, unpack
from snapshot_tasks.search_parity import QUERIES, Probe, merge_hits, recall

CHILD = "snapshot_tasks.sealing.child"


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
    probes: tuple[Probe, ...]


def read_contents(
    snapshot: Path, progress: Progress, *, points_count: int | None = None
) -> Contents:
    """Unpack a snapshot into a temporary folder and read every point of it.

    Raises:
        StorageError: when the temporary folder has no room; nothing is written then.
        Damaged: when the engine cannot read it.
    """
    total, sanities, samples = Accumulator(), [], []
    with _unpacked(snapshot, progress) as shards:
        label = "reading every point of the file"
        with progress.phase(label, total_points=points_count) as advance:

            def take(line: dict[str, Any]) -> None:
                advance(line.get("points", 0))

            for result in _each(snapshot, shards, take, "read"):
                total.merge(Fingerprint.from_json(result["fingerprint"]))
                sanities.append(result["sanity"])
                samples += result["sample"]
        with progress.phase("asking the file for its search answers"):
            probes = _probes(snapshot, shards, _chosen(samples))
    return Contents(
        fingerprint=total.result(),
        pending_count=sum(shard.pending_count for shard in shards),
        log_ends={shard.name: shard.log_end for shard in shards},
        sanity=_merged(sanities),
        probes=probes,
    )


def locate_points(
    snapshot: Path, buckets: frozenset[int], progress: Progress
) -> dict[int | str, bytes]:
    """Return id and leaf of each point of a file that lies in one of the buckets.

    Raises:
        StorageError, Damaged: as `read_contents`.
    """
    found: dict[int | str, bytes] = {}

    def take(line: dict[str, Any]) -> None:
        advance(line.get("points", 0))
        found.update((identity, bytes.fromhex(leaf)) for identity, leaf in line.get("found", ()))

    with (
        _unpacked(snapshot, progress) as shards,
        progress.phase("looking for the points in the file") as advance,
    ):
        _each(snapshot, shards, take, "locate", ",".join(map(str, sorted(buckets))))
    return found


@contextmanager
def _unpacked(snapshot: Path, progress: Progress) -> Iterator[tuple[Shard, ...]]:
    with scratch_folder() as folder:
        with progress.phase("unpacking"):
            shards = unpack(snapshot, folder)
        yield shards


def _each(
    snapshot: Path,
    shards: tuple[Shard, ...],
    take: Callable[[dict[str, Any]], None],
    task: str,
    *rest: str,
) -> list[dict[str, Any]]:
    """Run one reader for each shard, as many at once as there are processors."""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return list(pool.map(lambda shard: _read(snapshot, shard, take, task, *rest), shards))


def _read(
    snapshot: Path,
    shard: Shard,
    take: Callable[[dict[str, Any]], None],
    task: str,
    *rest: str,
) -> dict[str, Any]:
    try:
        return ask(CHILD, task, str(shard.folder), *rest, take=take, cwd=shard.folder.parent)
    except ChildFailed as failure:
        raise Damaged(
            f"Shard {shard.name} of {snapshot.name} cannot be read: {failure}.",
            hint="Use an older snapshot from `inv snapshot.list`.",
        ) from failure


def _chosen(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return, of each vector name, the sampled points with the smallest keys over all shards."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for item in sorted(samples, key=lambda item: int(item["key"])):
        by_name.setdefault(item["vector"], []).append(item)
    return [item for name in sorted(by_name) for item in by_name[name][:QUERIES]]


def _probes(
    snapshot: Path, shards: tuple[Shard, ...], queries: list[dict[str, Any]]
) -> tuple[Probe, ...]:
    """Ask every shard the same queries and merge what they answer."""
    if not queries:
        return ()
    path = shards[0].folder.parent / "queries.json"
    path.write_text(json.dumps(queries), encoding="utf-8")
    results = _each(snapshot, shards, lambda line: None, "answer", str(path))
    probes = []
    for number, query in enumerate(queries):
        answers = [result["answers"][number] for result in results]
        exact = merge_hits([tuple(hit) for hit in answer["exact"]] for answer in answers)
        hnsw = merge_hits([tuple(hit) for hit in answer["hnsw"]] for answer in answers)
        probes.append(
            Probe(vector=query["vector"], id=query["id"], exact=exact, recall=recall(hnsw, exact))
        )
    return tuple(probes)


def _merged(parts: list[dict[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {"without_vector": sum(part["without_vector"] for part in parts)}
    for key in ("zero_vectors", "nan_vectors", "payload_keys"):
        names = sorted({name for part in parts for name in part[key]})
        merged[key] = {name: sum(part[key].get(name, 0) for part in parts) for name in names}
    return merged
