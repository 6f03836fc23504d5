"""Finds the place that was meant: one near an empty one, as after a typo, that has snapshots."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from difflib import SequenceMatcher

from snapshot_tasks.offsite.layout import MARKERS, parse_marker_name
from snapshot_tasks.storage.base import Store
from snapshot_tasks.system.errors import TaskError

# How far it looks: this many folders up, and at this many folders in each.
MAX_UP, MAX_FOLDERS = 2, 8


def nearest_place(url: str, open_place: Callable[[str], Store]) -> str | None:
    """Return the URL of the most similar place that has snapshots; None if none is near.

    Only names of folders are listed, and only near the URL, because a bucket can be huge.
    """
    for candidate in _candidates(url, open_place):
        with suppress(TaskError):
            if any(parse_marker_name(s.name) for s in open_place(candidate).list(MARKERS)):
                return candidate
    return None


def _candidates(url: str, open_place: Callable[[str], Store]) -> Iterator[str]:
    """Yield the folders in the place, then what its last or last but one name may have been."""
    scheme, separator, path = url.rpartition("://")
    first, *parts = path.split("/")
    root = f"{scheme}{separator}{first}"
    for up in range(min(MAX_UP, len(parts)) + 1):
        here, rest = parts[: len(parts) - up], parts[len(parts) - up :]
        try:
            folders = list(open_place(_joined(root, here)).folders())
        except TaskError:  # these credentials may not list it
            continue
        if rest and MARKERS in folders:
            yield _joined(root, here)
        for folder in _similar(folders, "".join(rest[:1])):
            yield _joined(root, [*here, folder, *rest[1:]])


def _similar(folders: Sequence[str], name: str) -> list[str]:
    def distance(folder: str) -> tuple[float, str]:
        return -SequenceMatcher(None, folder.lower(), name.lower()).ratio(), folder

    return sorted((f for f in folders if f not in (name, MARKERS)), key=distance)[:MAX_FOLDERS]


def _joined(root: str, parts: Sequence[str]) -> str:
    return "/".join((root, *parts)) or "/"
