"""Reads the contents of a snapshot file without a server, in separate processes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from snapshot_tasks.domain.fingerprint import Accumulator, Fingerprint
from snapshot_tasks.domain.index_counts import IndexCount, IndexCounter
from snapshot_tasks.domain.outline import Outline
from snapshot_tasks.domain.search_parity import QUERIES, Probe, merge_hits, recall
from snapshot_tasks.qdrant.errors import OLD_STORAGE_WAY_OUT, is_full_disk, is_old_storage
from snapshot_tasks.sealing.archive import check_archive
from snapshot_tasks.sealing.parts import Part, processors, split, without_copies
from snapshot_tasks.sealing.room import is_full, no_room
from snapshot_tasks.sealing.unpack import Shard, unpack
from snapshot_tasks.system.children import ChildFailed, ask
from snapshot_tasks.system.errors import Damaged, StorageError, TaskError
from snapshot_tasks.system.files import storage_errors
from snapshot_tasks.system.progress import Progress
from snapshot_tasks.system.scratch import scratch_folder

NO_INDEXES: Mapping[str, Any] = MappingProxyType({})
CHILD = "snapshot_tasks.sealing.reader_process"


class OldStorage(StorageError):
    """The points are in RocksDB, which is gone since 1.18. The file need not be damaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The contents of a file.

    With pending operations, a server may restore more than this. `log_ends` is the number of the
    last operation in each shard's log. `index_counts` says what filters on the payload indexes that
    were asked for must find, and `shards` what is in each shard.
    """

    fingerprint: Fingerprint
    pending_count: int
    log_ends: dict[str, int]
    sanity: dict[str, Any]
    probes: tuple[Probe, ...]
    index_counts: tuple[IndexCount, ...] = ()
    shards: Mapping[str, Fingerprint] = field(default_factory=dict)


def read_contents(
    snapshot: Path,
    progress: Progress,
    *,
    points_count: int | None = None,
    payload_schema: Mapping[str, Any] = NO_INDEXES,
) -> Contents:
    """Unpack a snapshot into a temporary folder and read every point of it.

    `payload_schema` has the payload indexes for which filters are counted.

    Raises:
        StorageError: if the temporary folder has too little space.
        OldStorage: if only an earlier version of Qdrant can read it.
        Damaged: if the reader cannot read it.
    """
    total, sanities, samples = Accumulator(), [], []
    indexes = IndexCounter(payload_schema)
    with _unpacked(snapshot, progress, points_count=points_count) as parts:
        label = "reading every point of the file"
        with progress.phase(label, total_points=points_count) as advance:

            def take(line: dict[str, Any]) -> None:
                advance(line.get("points", 0))

            readers, results = read_parts(snapshot, parts, take, payload_schema)
        by_name = _by_shard(readers, results)
        for one in by_name.values():
            total.merge(one)
        for result in results:
            sanities.append(result["sanity"])
            samples += result["sample"]
            indexes.merge(result["indexes"])
        with progress.phase("running the searches on the file"):
            probes = _probes(snapshot, readers, _chosen(samples))
    shards = tuple(part.shard for part in readers if part.index == 0)
    return Contents(
        fingerprint=total.result(),
        pending_count=sum(shard.pending_count for shard in shards),
        log_ends={shard.name: shard.log_end for shard in shards},
        sanity=_merged(sanities),
        probes=probes,
        index_counts=indexes.counts(),
        shards=by_name,
    )


def read_shards(snapshot: Path, progress: Progress) -> dict[str, Fingerprint]:
    """Return what is in each shard of a file, and nothing else. Raises as `read_contents`."""
    with (
        _unpacked(snapshot, progress, points_count=None) as parts,
        progress.phase("reading every point of each shard") as advance,
    ):
        readers, results = read_parts(snapshot, parts, lambda line: advance(line.get("points", 0)))
    return _by_shard(readers, results)


def _by_shard(parts: tuple[Part, ...], results: list[dict[str, Any]]) -> dict[str, Fingerprint]:
    found: dict[str, Accumulator] = {}
    for part, result in zip(parts, results, strict=True):
        one = found.setdefault(part.shard.name, Accumulator())
        one.merge(Fingerprint.from_json(result["fingerprint"]))
    return {name: one.result() for name, one in found.items()}


def read_parts(
    snapshot: Path,
    parts: tuple[Part, ...],
    take: Callable[[dict[str, Any]], None],
    payload_schema: Mapping[str, Any] = NO_INDEXES,
) -> tuple[tuple[Part, ...], list[dict[str, Any]]]:
    """Return the parts and their readers' results, which together cover all points of the shards.

    If a reader fails and a shard was shared, each shard is read once more by a single reader: two
    may be too much for the machine, and a file is only damaged if one reader cannot read it.

    Raises:
        StorageError: if there was not enough space.
        Damaged: if the reader cannot read it.
    """
    schema = parts[0].folder.parent / "schema.json"
    _hand_over(schema, dict(payload_schema))
    try:
        results = _each(snapshot, parts, take, "read", str(schema))
        _check_counts(snapshot, parts, results)
    except (Damaged, StorageError):
        if all(part.of == 1 for part in parts):
            raise
        parts = without_copies(parts)
        return read_parts(snapshot, parts, take, payload_schema)
    return parts, results


def locate_points(
    snapshot: Path, buckets: frozenset[int], progress: Progress
) -> dict[int | str, bytes]:
    """Return the id and the leaf of each point of a file that belongs to one of the buckets.

    Raises:
        StorageError, Damaged: as `read_contents`.
    """
    found: dict[int | str, bytes] = {}

    def take(line: dict[str, Any]) -> None:
        advance(line.get("points", 0))
        found.update((identity, bytes.fromhex(leaf)) for identity, leaf in line.get("found", ()))

    with (
        _unpacked(snapshot, progress) as parts,
        progress.phase("finding the points in the file") as advance,
    ):
        _each(snapshot, parts, take, "locate", ",".join(map(str, sorted(buckets))))
    return found


def outline_points(
    snapshot: Path,
    buckets: frozenset[int],
    take: Callable[[list[Outline]], None],
    progress: Progress,
    *,
    by: str = "",
) -> None:
    """Give `take` the outline of each point of a file in the buckets, batch by batch.

    Raises:
        StorageError, Damaged: as `read_contents`.
    """

    def take_line(line: dict[str, Any]) -> None:
        advance(line.get("points", 0))
        take([Outline(*found) for found in line.get("found", ())])

    with (
        _unpacked(snapshot, progress) as parts,
        progress.phase(f"reading the points of {snapshot.name}") as advance,
    ):
        wanted = ",".join(map(str, sorted(buckets)))
        _each(snapshot, parts, take_line, "outline", wanted, by)


def retrieve_points(
    snapshot: Path, ids: Sequence[int | str], progress: Progress
) -> list[dict[str, Any]]:
    """Return those of these points that a file has: `id`, `payload`, and `vectors` by name.

    Raises:
        StorageError, Damaged: as `read_contents`.
    """
    found: list[dict[str, Any]] = []
    with _unpacked(snapshot, progress) as parts:
        path = parts[0].folder.parent / "ids.json"
        _hand_over(path, list(ids))
        _each(
            snapshot, parts, lambda line: found.extend(line.get("found", ())), "retrieve", str(path)
        )
    return found


@contextmanager
def _unpacked(
    snapshot: Path, progress: Progress, *, points_count: int | None = 0
) -> Iterator[tuple[Part, ...]]:
    with scratch_folder() as folder:
        with progress.phase("unpacking"):
            shards = unpack(snapshot, folder)
            parts = split(shards, folder, points_count=points_count)
        yield parts


def _hand_over(path: Path, document: Any) -> None:
    with storage_errors(path.parent, setting="TMPDIR"):
        path.write_text(json.dumps(document), encoding="utf-8")


def _each(
    snapshot: Path,
    parts: tuple[Part, ...],
    take: Callable[[dict[str, Any]], None],
    task: str,
    *rest: str,
) -> list[dict[str, Any]]:
    """Run one reader for each part, at most one per processor at a time."""
    with ThreadPoolExecutor(max_workers=processors()) as pool:
        return list(pool.map(lambda part: _read(snapshot, part, take, task, *rest), parts))


def _read(
    snapshot: Path,
    part: Part,
    take: Callable[[dict[str, Any]], None],
    task: str,
    *rest: str,
) -> dict[str, Any]:
    which = (str(part.folder), str(part.index), str(part.of))
    try:
        return ask(CHILD, task, *which, *rest, take=take, cwd=part.folder.parent)
    except ChildFailed as failure:
        # A full disk kills a reader with SIGBUS, and what it has mapped stays until we remove it.
        if is_full_disk(str(failure)) or is_full(part.folder):
            raise no_room(snapshot, part.folder) from failure
        raise _unreadable(snapshot, part.shard, str(failure)) from failure


def _check_counts(snapshot: Path, parts: tuple[Part, ...], results: list[dict[str, Any]]) -> None:
    """Check that the parts of each shard cover all its points, because Qdrant Edge slices them."""
    seen: Counter[str] = Counter()
    for part, result in zip(parts, results, strict=True):
        seen[part.shard.name] += result["seen"]
        if part.index == part.of - 1 and seen[part.shard.name] != result["counted"]:
            reason = f"counted {result['counted']:,} points, but read {seen[part.shard.name]:,}"
            raise _unreadable(snapshot, part.shard, reason)


def _unreadable(snapshot: Path, shard: Shard, reason: str) -> TaskError:
    if is_old_storage(reason) or _uses_rocksdb(snapshot):
        return OldStorage(
            f"Only Qdrant 1.17 and earlier can read {snapshot.name}: {reason}.",
            hint=OLD_STORAGE_WAY_OUT,
        )
    return Damaged(
        f"Cannot read shard {shard.name} of {snapshot.name}: {reason}.",
        hint="Use an older snapshot from `inv snapshot.list`.",
    )


def _uses_rocksdb(snapshot: Path) -> bool:
    try:
        return check_archive(snapshot).uses_rocksdb
    except (TaskError, OSError):
        return False


def _chosen(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return, for each vector name, the sampled points with the smallest keys of all shards."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for item in sorted(samples, key=lambda item: int(item["key"])):
        by_name.setdefault(item["vector"], []).append(item)
    return [item for name in sorted(by_name) for item in by_name[name][:QUERIES]]


def _probes(
    snapshot: Path, parts: tuple[Part, ...], queries: list[dict[str, Any]]
) -> tuple[Probe, ...]:
    """Run the same queries on every shard, shared among its readers, and merge the results."""
    if not queries:
        return ()
    path = parts[0].folder.parent / "queries.json"
    _hand_over(path, queries)
    results = _each(snapshot, parts, lambda line: None, "answer", str(path))
    probes = []
    for number, query in enumerate(queries):
        answers = [
            result["answers"][number // part.of]
            for part, result in zip(parts, results, strict=True)
            if number % part.of == part.index
        ]
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
