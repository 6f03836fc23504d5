"""What a run has begun on a server and means to end, so that the next run can if it is killed.

Each entry is a small file in the snapshot folder, written and read only under the folder's lock.
So whoever finds one knows that the run which wrote it has ended.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snapshot_tasks.system.errors import StorageError
from snapshot_tasks.system.files import storage_errors, write_text
from snapshot_tasks.system.reading import read_text
from snapshot_tasks.system.untrusted import parse_json

PREFIX = ".pending-"
MAX_ENTRY_BYTES = 16 << 20
# What has such a name may be deleted, so only names that our own runs make up are accepted.
UPLOAD = re.compile(r"restore-[0-9a-f]{32}\.snapshot")
SERVER_SNAPSHOT = re.compile(r"[^/]+\.snapshot")
REHEARSED = re.compile(r"rehearsal-[0-9a-f]{32}")
# The server makes a snapshot, which is deleted once it has been downloaded.
SNAPSHOT = "snapshot"
# A collection is restored under a name that we make up, to be compared and deleted.
REHEARSAL = "rehearsal"
# A collection is restored; where it replaces one, a safety snapshot holds what was there.
RESTORE = "restore"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """One thing that was begun: what, on which server, and what it takes to end it."""

    kind: str
    url: str
    collection: str
    facts: Mapping[str, Any]
    path: Path | None = field(default=None, repr=False)

    def add(self, **facts: Any) -> None:
        """Remember more, now that it is known."""
        if self.path:
            with suppress(OSError):
                _write(self.path, self.kind, self.url, self.collection, {**self.facts, **facts})

    def done(self) -> None:
        """Forget it: it has ended, or was undone."""
        if self.path:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)


class Journal:
    """The entries of one snapshot folder. Without a folder, nothing is remembered."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def begin(
        self, kind: str, url: str, collection: str, *, must: bool = False, **facts: Any
    ) -> Pending:
        """Remember what is about to begin.

        Raises:
            StorageError: where the folder cannot be written, and this `must` be remembered.
        """
        path = None
        if self._folder:
            target = self._folder / f"{PREFIX}{secrets.token_hex(8)}.json"
            try:
                with storage_errors(self._folder):
                    _write(target, kind, url, collection, facts)
                path = target
            except StorageError:
                if must:
                    raise
        return Pending(kind=kind, url=url, collection=collection, facts=facts, path=path)

    def pending(self, url: str) -> list[Pending]:
        """Return what ended runs have left open on a server."""
        return [entry for entry in self._entries() if entry.url == url]

    def needed(self) -> set[str]:
        """Return the names of snapshots that it takes to end what ended runs have left open."""
        paths = [
            entry.facts.get(key) for entry in self._entries() for key in ("snapshot", "safety")
        ]
        return {Path(str(path)).name for path in paths if path}

    def _entries(self) -> list[Pending]:
        paths = sorted(self._folder.glob(f"{PREFIX}*.json")) if self._folder else []
        return [entry for path in paths if (entry := _load(path))]


# For throw-away servers: what is left on them goes with them.
NO_JOURNAL = Journal(None)


def _load(path: Path) -> Pending | None:
    """Read an entry; anything else, or one with names that our runs never use, is left alone."""
    try:
        document = parse_json(read_text(path, max_bytes=MAX_ENTRY_BYTES))
        entry = Pending(
            kind=str(document["kind"]),
            url=str(document["url"]),
            collection=str(document["collection"]),
            facts=dict(document["facts"]),
            path=path,
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    names = [(UPLOAD, entry.facts.get("upload")), (SERVER_SNAPSHOT, entry.facts.get("name"))]
    if entry.kind == REHEARSAL:
        names.append((REHEARSED, entry.collection))
    is_ours = all(name is None or pattern.fullmatch(str(name)) for pattern, name in names)
    return entry if is_ours else None


def _write(path: Path, kind: str, url: str, collection: str, facts: Mapping[str, Any]) -> None:
    document = {"kind": kind, "url": url, "collection": collection, "facts": dict(facts)}
    write_text(path, json.dumps(document) + "\n")
