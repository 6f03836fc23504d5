"""Records the operations that a run starts on a server, so that the next run can finish them.

Each entry is a small file in the snapshot folder, written and read only under the folder's lock, to
write or for the journal. So if a run finds an entry, the run that wrote it has ended.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Collection, Mapping
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
# Collections are deleted by these names, so only names that our runs generate are accepted.
UPLOAD = re.compile(r"restore-[0-9a-f]{32}\.snapshot")
SERVER_SNAPSHOT = re.compile(r"[^/]+\.snapshot")
TRIED = re.compile(r"(trial|rehearsal)-[0-9a-f]{32}")
# The server creates a snapshot, which is deleted once it has been downloaded.
SNAPSHOT = "snapshot"
# A collection is restored under a generated name, to be compared and deleted. Earlier versions call
# it a rehearsal.
TRIAL, FORMER_TRIAL = "trial", "rehearsal"
# A collection is restored; if it replaces one, a safety snapshot contains the replaced one.
RESTORE = "restore"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """One started operation: its kind, its server, and what is needed to finish or undo it."""

    kind: str
    url: str
    collection: str
    facts: Mapping[str, Any]
    path: Path | None = field(default=None, repr=False)

    def add(self, **facts: Any) -> None:
        """Add facts that are known now."""
        if self.path:
            with suppress(OSError):
                _write(self.path, self.kind, self.url, self.collection, {**self.facts, **facts})

    def done(self) -> None:
        """Delete the entry, because the operation was finished or undone."""
        if self.path:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)


class Journal:
    """The entries of one snapshot folder. Without a folder, nothing is recorded."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def begin(
        self, kind: str, url: str, collection: str, *, must: bool = False, **facts: Any
    ) -> Pending:
        """Record an operation that is about to start.

        Raises:
            StorageError: if the folder cannot be written, and this `must` be recorded.
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
        """Return the operations that ended runs have not finished on a server."""
        return [entry for entry in self._entries() if entry.url == url]

    def elsewhere(self, urls: Collection[str]) -> list[Pending]:
        """Return the operations that ended runs have not finished on any other server."""
        return [entry for entry in self._entries() if entry.url not in urls]

    def left(self) -> list[Pending]:
        """Return what could not be finished or undone, with the reason; this needs no lock."""
        return [entry for entry in self._entries() if entry.facts.get("left")]

    def needed(self) -> set[str]:
        """Return the names of snapshots that are needed to finish or undo open operations."""
        paths = [
            entry.facts.get(key) for entry in self._entries() for key in ("snapshot", "safety")
        ]
        return {Path(str(path)).name for path in paths if path}

    def _entries(self) -> list[Pending]:
        paths = sorted(self._folder.glob(f"{PREFIX}*.json")) if self._folder else []
        return [entry for path in paths if (entry := _load(path))]


# For fresh servers, because their leftovers are deleted with them.
NO_JOURNAL = Journal(None)


def _load(path: Path) -> Pending | None:
    """Read an entry; ignore other files, and entries with names that our runs never generate."""
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
    # Of a shard's upload, a server keeps no copy.
    upload = entry.facts.get("upload") or None
    names = [(UPLOAD, upload), (SERVER_SNAPSHOT, entry.facts.get("name"))]
    if entry.kind in (TRIAL, FORMER_TRIAL):
        names.append((TRIED, entry.collection))
    is_ours = all(name is None or pattern.fullmatch(str(name)) for pattern, name in names)
    return entry if is_ours else None


def _write(path: Path, kind: str, url: str, collection: str, facts: Mapping[str, Any]) -> None:
    document = {"kind": kind, "url": url, "collection": collection, "facts": dict(facts)}
    write_text(path, json.dumps(document) + "\n")
