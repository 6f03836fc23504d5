"""Finds the compose file of the stack: the project's own, or the one in this package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from snapshot_tasks.settings import Settings
from snapshot_tasks.system.errors import SettingsError

# A key of the compose file of this project, also where it was copied.
MARKER = "x-qdrant-snapshot-tasks"
FILE = "docker-compose.yml"
DEFAULT_FILES = ("compose.yaml", "compose.yml", FILE, "docker-compose.yaml")
_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposeFiles:
    """Docker Compose's options for its files; empty if it finds the project's files itself.

    `is_own` is whether the stack is this project's own and so takes its values from the settings.
    """

    options: tuple[str, ...] = ()
    is_own: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


def compose_files(settings: Settings) -> ComposeFiles:
    """Return the files of the project's stack; a project without a file gets this package's.

    Raises:
        SettingsError: if COMPOSE_FILE names a file that does not exist.
    """
    missing = [path for path in settings.engine.compose_files if not path.is_file()]
    if missing:
        raise SettingsError(
            f"COMPOSE_FILE names {missing[0]}, which does not exist.",
            hint="Correct COMPOSE_FILE, or unset it.",
        )
    found = own_file(settings.project_root)
    first = next(iter(settings.engine.compose_files), found)
    return ComposeFiles(is_own=is_marked(first)) if first else packaged_files(settings.project_root)


def has_foreign_file(settings: Settings) -> bool:
    """Return whether the project has a compose file that is not a copy of this project's."""
    first = next(iter(settings.engine.compose_files), own_file(settings.project_root))
    return first is not None and first.is_file() and not is_marked(first)


def is_marked(file: Path) -> bool:
    """Return whether a compose file is this project's own, or a copy of it."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        # Compose reports it.
        return False
    return any(line.startswith(f"{MARKER}:") for line in lines)


def own_file(root: Path) -> Path | None:
    """Return the compose file that Docker Compose finds in a folder by itself."""
    return next((root / name for name in DEFAULT_FILES if (root / name).is_file()), None)


def key_environment(settings: Settings, files: ComposeFiles) -> dict[str, str]:
    """Return how a stack gets a key from a file: as the file, if its compose file reads that.

    A stack then has the same environment as after a plain `docker compose up`, so that neither
    recreates the containers of the other. Any other compose file gets the key itself.
    """
    file = settings.qdrant.api_key_file
    if not file or not any("QDRANT_API_KEY_FILE" in text for text in _texts(settings, files)):
        return {}
    return {"QDRANT_API_KEY": "", "QDRANT_API_KEY_FILE": str(file)}


def _texts(settings: Settings, files: ComposeFiles) -> Iterator[str]:
    """Yield the texts of the stack's compose files."""
    packaged = [Path(files.options[-1])] if files.options else []
    own = own_file(settings.project_root)
    for path in settings.engine.compose_files or packaged or ([own] if own else []):
        yield path.read_text(encoding="utf-8", errors="replace")


def packaged_files(root: Path, package: Path = _PACKAGE) -> ComposeFiles:
    """Return this package's compose file, with the name, .env and folders of another project.

    The file is in an installed package, or next to the package in a checkout. That folder also has
    everything that the image of the restore service is built from.
    """
    folder = package if (package / FILE).is_file() else package.parent
    return ComposeFiles(
        is_own=True,
        options=("--project-directory", str(root), "--file", str(folder / FILE)),
        environment={
            "SNAPSHOT_TASKS_CONTEXT": str(folder),
            "SNAPSHOT_TASKS_PACKAGE": str(package.relative_to(folder)),
        },
    )
