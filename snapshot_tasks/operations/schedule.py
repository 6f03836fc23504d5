"""Write the files of a schedule into a folder, and never replace other files."""

from __future__ import annotations

import re
from pathlib import Path

from snapshot_tasks.schedule.request import Schedule
from snapshot_tasks.system.errors import Refused
from snapshot_tasks.system.files import storage_errors, write_text

# The command that wrote a file, which names its project in a unit.
_ORIGIN = re.compile(r"`[^`\n]*`( of \".*\")?\.")


def write_schedule(schedule: Schedule, folder: Path) -> tuple[Path, ...]:
    """Write every file, or none if one of them would replace a file that is not ours.

    A file is ours if it starts like the new one, up to the command that wrote it. A unit also names
    its project there, so that two projects on one machine do not overwrite each other's files.

    Raises:
        Refused: if a file that is not ours already exists.
        StorageError: if the folder cannot be written.
    """
    paths = {folder / name: text for name, text in schedule.files.items()}
    with storage_errors(folder, setting="--output-dir"):
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in paths.items():
            if _is_foreign(path, text):
                raise Refused(
                    f"{path} already exists and was not written by this project's schedule.",
                    hint="Move it away, or choose another folder with `--output-dir`.",
                )
        for path, text in paths.items():
            write_text(path, text)
    return tuple(paths)


def _is_foreign(path: Path, text: str) -> bool:
    if not path.exists() and not path.is_symlink():
        return False
    if not path.is_file():
        return True
    origin = _ORIGIN.search(text)
    start = text[: origin.end() if origin else None].encode()
    with path.open("rb") as file:
        return file.read(len(start)) != start
