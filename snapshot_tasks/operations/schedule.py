"""Write a schedule's files into a folder, over nobody else's."""

from __future__ import annotations

from pathlib import Path

from snapshot_tasks.schedule.request import Schedule
from snapshot_tasks.system.errors import Refused
from snapshot_tasks.system.files import storage_errors, write_text

_HEAD_BYTES = 4096
_LINES = 2


def write_schedule(schedule: Schedule, folder: Path) -> tuple[Path, ...]:
    """Write every file, or none where one belongs to somebody else.

    Ours is what begins as the new one does: a unit names its project there, so that two projects
    on one machine do not write over each other.

    Raises:
        Refused: when a file is there that is not ours.
        StorageError: when the folder cannot be written.
    """
    paths = {folder / name: text for name, text in schedule.files.items()}
    with storage_errors(folder, setting="--output-dir"):
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in paths.items():
            if _is_foreign(path, text):
                raise Refused(
                    f"{path} is there, and no schedule of this project wrote it.",
                    hint="Move it away, or choose another folder with --output-dir.",
                )
        for path, text in paths.items():
            write_text(path, text)
    return tuple(paths)


def _is_foreign(path: Path, text: str) -> bool:
    if not path.exists() and not path.is_symlink():
        return False
    if not path.is_file():
        return True
    with path.open("rb") as file:
        found = file.read(_HEAD_BYTES)
    return found.splitlines()[:_LINES] != text.encode().splitlines()[:_LINES]
