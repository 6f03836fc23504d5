"""Records how each task last ended, in one small file of the snapshot folder.

Several tasks run at different times and write one metrics file, so each needs the results of the
others. The file is only used for reporting, so invalid content is ignored and overwritten.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from snapshot_tasks.system.files import storage_errors, write_text
from snapshot_tasks.system.locks import try_lock
from snapshot_tasks.system.reading import read_text
from snapshot_tasks.system.untrusted import parse_json, parse_moment

RUNS_NAME = ".runs.json"
MAX_RUNS_BYTES = 64 << 10
MAX_TASKS = 32
LOCK_SECONDS = 1.0
_TASK = re.compile(r"[a-z][a-z.-]{0,62}[a-z]")


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRun:
    """How a task last ended, and when it last succeeded."""

    task: str
    ended_at: datetime
    seconds: float
    exit_code: int
    succeeded_at: datetime | None

    @property
    def ok(self) -> bool:
        """Whether it exited with 0."""
        return self.exit_code == 0

    def as_json(self) -> dict[str, Any]:
        """Return the run as it is stored in the file, under the name of its task."""
        return {
            "ended_at": self.ended_at.isoformat(),
            "seconds": round(self.seconds, 3),
            "exit_code": self.exit_code,
            "succeeded_at": self.succeeded_at.isoformat() if self.succeeded_at else None,
        }


def record_run(
    folder: Path, task: str, *, ended_at: datetime, seconds: float, exit_code: int
) -> None:
    """Record how a task has just ended. Raises `StorageError` if that cannot be written."""
    with storage_errors(folder), _alone(folder):
        runs = {run.task: run for run in read_runs(folder)}
        before = runs.get(task)
        runs[task] = LastRun(
            task=task,
            ended_at=ended_at,
            seconds=seconds,
            exit_code=exit_code,
            succeeded_at=(before.succeeded_at if before else None) if exit_code else ended_at,
        )
        newest = sorted(runs.values(), key=lambda run: run.ended_at, reverse=True)[:MAX_TASKS]
        text = json.dumps({run.task: run.as_json() for run in newest}, indent=2)
        try:
            write_text(folder / RUNS_NAME, text + "\n")
        except FileNotFoundError:
            # A run that takes the folder's lock may remove this staging file at the same time.
            write_text(folder / RUNS_NAME, text + "\n")


def read_runs(folder: Path) -> tuple[LastRun, ...]:
    """Return the last run of each task, by name; invalid entries are ignored."""
    try:
        document = parse_json(read_text(folder / RUNS_NAME, max_bytes=MAX_RUNS_BYTES))
    except (OSError, ValueError):
        return ()
    if not isinstance(document, dict):
        return ()
    runs = (run for task, facts in document.items() if (run := _parse(task, facts)))
    return tuple(sorted(runs, key=lambda run: run.task))


def _parse(task: str, facts: Mapping[str, Any]) -> LastRun | None:
    try:
        succeeded_at = facts["succeeded_at"]
        run = LastRun(
            task=task,
            ended_at=parse_moment(facts["ended_at"]),
            seconds=float(facts["seconds"]),
            exit_code=int(facts["exit_code"]),
            succeeded_at=parse_moment(succeeded_at) if succeeded_at is not None else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
        return None
    is_sound = math.isfinite(run.seconds) and run.seconds >= 0 and 0 <= run.exit_code <= 255
    return run if is_sound and _TASK.fullmatch(task) else None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep two tasks that end at the same time from overwriting each other's run.

    The holder of the lock only writes one small file; after a second, the run is recorded anyway.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            try_lock(descriptor, wait_seconds=LOCK_SECONDS)
        yield
    finally:
        os.close(descriptor)
