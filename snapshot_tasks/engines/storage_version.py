"""Which version of Qdrant last ran on a storage, so that no start goes back or skips one unseen.

Qdrant does not record it, neither in its storage nor in Docker, so the project does.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from snapshot_tasks.domain.versions import Fit, is_version, version_fit
from snapshot_tasks.system.errors import Refused
from snapshot_tasks.system.files import PRIVATE, PRIVATE_FOLDER, write_text


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageVersions:
    """The last version of each storage of a project, which is named as `folder …` or `volume …`."""

    home: Path

    def last(self, storage: str) -> str:
        """Return the version that last ran on a storage; empty if it is not known."""
        version = str(self._read().get(storage, ""))
        return version if is_version(version) else ""

    def remember(self, storage: str, version: str) -> None:
        """Record which version runs; an empty one forgets the storage. It is not vital."""
        known = self._read()
        if known.get(storage, "") == version or (version and not is_version(version)):
            return
        kept = {name: value for name, value in known.items() if name != storage}
        text = json.dumps(kept | ({storage: version} if version else {}), indent=2)
        with suppress(OSError):
            self.home.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
            # It may be in a repository that does not know of it.
            write_text(self.home / ".gitignore", "*\n", mode=PRIVATE)
            write_text(self._path, text + "\n", mode=PRIVATE)

    @property
    def _path(self) -> Path:
        return self.home / "versions.json"

    def _read(self) -> dict[str, object]:
        try:
            document = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return document if isinstance(document, dict) else {}


def upgrade_of(storage: str, last: str, version: str) -> str:
    """Return in words what a start of `version` does to a storage; empty if nothing changes.

    An empty version is one that is not known.

    Raises:
        Refused: if it is older than the last one, or skips a minor version.
    """
    if last == version and version:
        return ""
    fit = version_fit(last, version)
    used = f"The {storage} was last used by Qdrant {last}"
    if fit is Fit.TOO_OLD:
        raise Refused(
            f"{used}, and the older {version} may not read it or may lose settings. Nothing was"
            " changed.",
            hint=f"Set the version to {last}. To go back, delete the data with `inv stack.down"
            f" --volumes` and restore a snapshot that {version} can read.",
        )
    if fit is Fit.TOO_NEW:
        raise Refused(
            f"{used}, and {version} skips a minor version, which Qdrant does not support. Nothing"
            " was changed.",
            hint="Upgrade one minor version at a time, and start each of them once.",
        )
    if fit is Fit.FITS:
        return (
            f"upgrade the {storage} from Qdrant {last} to {version}; the only way back is a"
            " snapshot"
        )
    was = f"which was last used by {last}" if last else "whose last version is not known"
    return f"start Qdrant {version or 'of an unknown version'} on the {storage}, {was}"
