"""Writes a file for node_exporter's textfile collector: the catalogue, and how tasks last ended.

Times are timestamps, never ages, because an age would stop growing when nothing writes the file.
`time() - x` in PromQL continues to grow when nothing runs any more, and that is when it matters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from snapshot_tasks.catalog.runs import LastRun
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.system.errors import StorageError
from snapshot_tasks.system.files import storage_errors, write_text

Sample = tuple[str, float | None]
Family = tuple[str, str, str, Iterable[Sample]]
PREFIX = "qdrant_snapshot_"


def write_metrics(
    path: Path, entries: Iterable[Snapshot], runs: Sequence[LastRun], *, now: datetime
) -> None:
    """Replace the metrics file in one rename; node_exporter, as another user, can read it.

    Raises:
        StorageError: if it cannot be written.
    """
    if path.exists() and not path.is_file():
        raise StorageError(
            f"{path} is not a regular file, so no metrics were written.",
            hint="Set QDRANT_METRICS_FILE to a new file name.",
        )
    with storage_errors(path.parent, setting="QDRANT_METRICS_FILE"):
        write_text(path, render_metrics(entries, runs, now=now))


def render_metrics(entries: Iterable[Snapshot], runs: Sequence[LastRun], *, now: datetime) -> str:
    """Return the metrics in the text format of Prometheus.

    An unknown value has no sample, because unknown is not 0.
    """
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    registry = CollectorRegistry()
    for name, label, help_text, samples in (
        *_of_collections(_by_collection(entries)),
        *_of_tasks(runs),
    ):
        gauge = Gauge(PREFIX + name, help_text, [label], registry=registry)
        for value, number in samples:
            if number is not None:
                gauge.labels(value).set(number)
    written = Gauge(
        PREFIX + "metrics_timestamp_seconds", "When this file was written.", registry=registry
    )
    written.set(now.timestamp())
    return generate_latest(registry).decode()


def _by_collection(entries: Iterable[Snapshot]) -> dict[str, list[Snapshot]]:
    """Group the snapshots by collection, newest first, without safety snapshots."""
    found: dict[str, list[Snapshot]] = {}
    for entry in entries:
        if entry.collection is not None and not entry.is_safety:
            found.setdefault(entry.collection, []).append(entry)
    return dict(sorted(found.items()))


def _of_collections(found: Mapping[str, Sequence[Snapshot]]) -> Iterator[Family]:
    def family(name: str, help_text: str, value: Any) -> Family:
        return name, "collection", help_text, [(key, value(own)) for key, own in found.items()]

    yield family(
        "newest_timestamp_seconds",
        "When the newest snapshot was taken.",
        lambda own: own[0].created_at.timestamp(),
    )
    yield family("newest_size_bytes", "Size of the newest snapshot.", lambda own: own[0].size_bytes)
    yield family(
        "newest_points",
        "Points in the newest snapshot.",
        lambda own: own[0].manifest.points_count if own[0].manifest else None,
    )
    yield family(
        "proof_timestamp_seconds",
        "When a restore of the collection was last proven.",
        lambda own: max((s.proven_at.timestamp() for s in own if s.proven_at), default=None),
    )
    yield family(
        "restored_timestamp_seconds",
        "When a test restore of the collection last passed, also without a seal to compare with.",
        lambda own: max((s.restored_at.timestamp() for s in own if s.restored_at), default=None),
    )
    yield family(
        "newest_sealed",
        "Whether the newest snapshot was sealed when it was taken, 1 or 0.",
        lambda own: float(own[0].is_sealed),
    )
    yield family(
        "last_restore_seconds", "How long the last test restore took.", _last_restore_seconds
    )
    yield family("files", "Number of snapshots in the folder.", len)
    yield family(
        "files_size_bytes",
        "Total size of all snapshots.",
        lambda own: sum(s.size_bytes for s in own),
    )


def _of_tasks(runs: Sequence[LastRun]) -> Iterator[Family]:
    def family(name: str, help_text: str, value: Any) -> Family:
        return name, "task", help_text, [(run.task, value(run)) for run in runs]

    yield family(
        "task_last_run_timestamp_seconds",
        "When the task last ended.",
        lambda run: run.ended_at.timestamp(),
    )
    yield family("task_last_run_seconds", "How long the last run took.", lambda run: run.seconds)
    yield family(
        "task_last_run_exit_code",
        "Exit code of the last run; 0 is success.",
        lambda run: run.exit_code,
    )
    yield family(
        "task_last_run_success",
        "Whether the last run succeeded, 1 or 0.",
        lambda run: float(run.ok),
    )
    yield family(
        "task_last_success_timestamp_seconds",
        "When the task last succeeded.",
        lambda run: run.succeeded_at.timestamp() if run.succeeded_at else None,
    )


def _last_restore_seconds(own: Sequence[Snapshot]) -> float | None:
    timed = [
        (proof.at, proof.restore_seconds)
        for snapshot in own
        for proof in snapshot.proofs
        if proof.restore_seconds is not None
    ]
    return max(timed)[1] if timed else None
