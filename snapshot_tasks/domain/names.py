"""Build and parse the file names of snapshots."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from snapshot_tasks.system.errors import SettingsError

SUFFIX = ".snapshot"
MANIFEST_SUFFIX = ".json"
PROOFS_SUFFIX = ".proofs.jsonl"
FINGERPRINT_SUFFIX = ".fingerprint.json"
PROBES_SUFFIX = ".probes.json"
PIN_SUFFIX = ".pin.json"
_OURS = re.compile(r"(?P<collection>.+)_(?P<stamp>\d{8}_\d{6})(-(?P<number>\d+))?")
# Qdrant's names: <collection>-<peer id>-<date>-<time>
_QDRANTS = re.compile(r"(?P<collection>.+)-\d+-(?P<stamp>\d{4}(-\d\d){5})")


def check_collection(collection: str) -> None:
    """Raise `SettingsError` if a collection name cannot be part of a file name."""
    impossible = "/" in collection or "\0" in collection or collection.startswith(".")
    if not collection or impossible or not _is_text(collection):
        raise SettingsError(
            f"{collection!r} cannot be a collection name.",
            hint="Use a name that `inv stack.status` shows.",
        )


def check_file_name(name: str) -> None:
    """Raise `ValueError` for anything but a plain snapshot file name, such as a path."""
    if "/" in name or "\0" in name or name.startswith(".") or not name.endswith(SUFFIX):
        raise ValueError(f"{name!r} is not a snapshot file name")


def _is_text(name: str) -> bool:
    """Return whether a name is not empty and can be encoded as UTF-8."""
    try:
        return bool(name.encode("utf-8"))
    except UnicodeEncodeError:
        return False


def snapshot_names(collection: str, taken_at: datetime) -> Iterator[str]:
    """Return possible names for a snapshot, in the order in which they should be tried."""
    stems = _numbered(f"{collection}_{taken_at.astimezone(UTC):%Y%m%d_%H%M%S}")
    return (stem + SUFFIX for stem in stems)


def beside_names(alias: str, taken_at: datetime) -> Iterator[str]:
    """Return possible names for the collection that an alias will mean, the best one first.

    They tell from when its points are.
    """
    return _numbered(f"{alias}-{taken_at.astimezone(UTC):%Y%m%d-%H%M%S}")


def _numbered(name: str) -> Iterator[str]:
    """Yield a name, then the same with a number, from 2 on."""
    yield name
    yield from (f"{name}-{number}" for number in count(2))


def latest_name(collection: str) -> str:
    """Return the name of the collection's latest link."""
    return f"{collection}_latest{SUFFIX}"


def manifest_path(snapshot: Path) -> Path:
    """Return the path of a snapshot file's manifest."""
    return snapshot.with_name(snapshot.name + MANIFEST_SUFFIX)


def fingerprint_path(snapshot: Path) -> Path:
    """Return the path of a snapshot file's sealed fingerprint."""
    return snapshot.with_name(snapshot.name + FINGERPRINT_SUFFIX)


def probes_path(snapshot: Path) -> Path:
    """Return the path of the searches whose results were recorded with a snapshot file."""
    return snapshot.with_name(snapshot.name + PROBES_SUFFIX)


def proofs_path(snapshot: Path) -> Path:
    """Return the path of a snapshot file's proofs."""
    return snapshot.with_name(snapshot.name.removesuffix(SUFFIX) + PROOFS_SUFFIX)


def pin_path(snapshot: Path) -> Path:
    """Return the path of the note that keeps a snapshot from being pruned."""
    return snapshot.with_name(snapshot.name + PIN_SUFFIX)


def paths_beside(snapshot: Path) -> tuple[Path, ...]:
    """Return the paths of all files that belong to a snapshot file and are deleted with it."""
    return (
        manifest_path(snapshot),
        fingerprint_path(snapshot),
        probes_path(snapshot),
        proofs_path(snapshot),
        pin_path(snapshot),
    )


def parse_name(name: str) -> tuple[str | None, datetime | None]:
    """Return the collection and the time in a file name, or None for both."""
    stem = name.removesuffix(SUFFIX)
    for pattern, form in ((_OURS, "%Y%m%d_%H%M%S"), (_QDRANTS, "%Y-%m-%d-%H-%M-%S")):
        if match := pattern.fullmatch(stem):
            try:
                taken_at = datetime.strptime(match["stamp"], form).replace(tzinfo=UTC)
                check_collection(match["collection"])
            except (ValueError, SettingsError):
                return None, None
            return match["collection"], taken_at
    return None, None
