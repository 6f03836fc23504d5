"""Finds native Qdrant binaries."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from snapshot_tasks.engines.install import install
from snapshot_tasks.settings import Settings
from snapshot_tasks.system import process
from snapshot_tasks.system.progress import Progress


def cache_dir() -> Path:
    """Return the folder of the installed binaries, with one sub-folder per version."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "qdrant-snapshot-tasks"


def cached_binary(version: str) -> Path:
    """Return the path of an installed binary of this version."""
    return cache_dir() / f"qdrant-{version}" / "qdrant"


def binary_version(binary: Path) -> str | None:
    """Ask a binary for its version; None if it does not run."""
    answer = process.run((str(binary), "--version"), timeout_seconds=10)
    words = answer.stdout.split()
    return words[-1] if answer.ok and words else None


def find_binary(settings: Settings, version: str) -> Path | None:
    """Return a binary of exactly that version, if this machine already has one."""
    for candidate in _candidates(settings, version):
        if candidate.is_file() and binary_version(candidate) == version:
            return candidate
    return None


def live_binary(settings: Settings, progress: Progress) -> Path:
    """Return the live server's binary: `QDRANT_BINARY` as given, or one of `QDRANT_VERSION`.

    Raises:
        NotFound: naming every source that was tried.
    """
    return settings.engine.binary or obtain_binary(settings, settings.engine.version, progress)


def obtain_binary(settings: Settings, version: str, progress: Progress) -> Path:
    """Return a binary of exactly that version, installing it if it is missing.

    Raises:
        NotFound: naming every source that was tried.
    """
    found = find_binary(settings, version)
    return found or install(version, cached_binary(version), settings, progress)


def _candidates(settings: Settings, version: str) -> Iterator[Path]:
    if settings.engine.binary:
        yield settings.engine.binary
    if on_path := shutil.which("qdrant"):
        yield Path(on_path)
    yield cached_binary(version)
