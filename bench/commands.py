"""The contestants for start-up: what `inv` costs before it does anything."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.contestant import Asked, Contestant
from bench.server import PROJECT_ROOT
from snapshot_tasks.catalog.load import load_manifest
from snapshot_tasks.domain.names import manifest_path

CALLS = 3
MANY, MOST = 1000, 10_000
BARE = '''from invoke import task


@task
def hello(c):
    """Say hello."""
'''


def _inv(*flags: str, cwd: Path, **environment: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "invoke", *flags],
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        check=True,
    )


def bare_list(asked: Asked) -> int:
    """`inv --list` with a file of one task."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tasks.py").write_text(BARE, encoding="utf-8")
        asked["clock"]()
        for _ in range(CALLS):
            _inv("--list", cwd=Path(folder))
        asked["clock"](end=True)
    return CALLS


def own_list(asked: Asked) -> int:
    """`inv --list` of this project."""
    asked["clock"]()
    for _ in range(CALLS):
        _inv("--list", cwd=PROJECT_ROOT)
    asked["clock"](end=True)
    return CALLS


def _catalogue(asked: Asked, count: int, *task: str) -> int:
    """Run a task on a catalogue of that many entries with the manifest of the measured snapshot."""
    sample = Path(asked["snapshot"])
    text = manifest_path(sample).read_text(encoding="utf-8")
    manifest = load_manifest(manifest_path(sample))
    assert manifest
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            name = f"bench_20250101_{number // 3600:02}{number // 60 % 60:02}{number % 60:02}"
            name += ".snapshot"
            (Path(folder) / name).touch()
            own = text.replace(manifest.snapshot, name)
            (Path(folder) / f"{name}.json").write_text(own, encoding="utf-8")
        asked["clock"]()
        for _ in range(CALLS):
            _inv(*(task or ("snapshot.list",)), cwd=PROJECT_ROOT, QDRANT_SNAPSHOT_DIR=folder)
        asked["clock"](end=True)
    return CALLS


def list_one(asked: Asked) -> int:
    """`inv snapshot.list` with one snapshot."""
    return _catalogue(asked, 1)


def list_many(asked: Asked) -> int:
    """`inv snapshot.list` with a thousand snapshots."""
    return _catalogue(asked, MANY)


def list_most(asked: Asked) -> int:
    """`inv snapshot.list` with ten thousand snapshots."""
    return _catalogue(asked, MOST)


def prune_most(asked: Asked) -> int:
    """`inv snapshot.prune --dry-run` with ten thousand snapshots."""
    return _catalogue(asked, MOST, "snapshot.prune", "--dry-run", "--keep-daily", "7")


CONTESTANTS: dict[str, Contestant] = {
    "inv --list, one bare task": bare_list,
    "inv --list": own_list,
    "snapshot.list, 1 snapshot": list_one,
    "snapshot.list, 1,000 snapshots": list_many,
    "snapshot.list, 10,000 snapshots": list_most,
    "snapshot.prune --dry-run, 10,000 snapshots": prune_most,
}
