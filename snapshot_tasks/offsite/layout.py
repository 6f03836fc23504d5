"""The names of everything off-site (docs/offsite.md). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

MARKERS, DATA, PARTS = "pushed", "data", "parts"
MARKER_SUFFIX = ".json"
_BLOB = re.compile(
    r"(parts/\d{5,7}|[a-z]{1,20})-[0-9a-f]{16}(\.jsonl?)?(-[0-9a-f]{8})?\.zst(\.age)?"
)
MANIFEST, FINGERPRINT, PROOFS = "manifest.json", "fingerprint.json", "proofs.jsonl"
PROBES = "probes.json"
INDEX = "index"
# Written after the marker, deleted before it: while it is there, the snapshot is whole.
WHOLE = "whole"
BESIDE = (MANIFEST, FINGERPRINT, PROBES, PROOFS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Identifies a snapshot of a collection."""

    collection: str
    snapshot: str

    @property
    def marker(self) -> str:
        """The object that makes the snapshot visible once it exists."""
        return f"{markers_of(self.collection)}/{quoted(self.snapshot)}{MARKER_SUFFIX}"

    @property
    def folder(self) -> str:
        """The folder of all of its data."""
        return f"{DATA}/{quoted(self.collection)}/{quoted(self.snapshot)}"

    def part(self, number: int, sha256: str, ending: str) -> str:
        """Return the name of a part, which contains its position and its SHA-256."""
        return f"{PARTS}/{number:05d}-{sha256[:16]}{ending}"

    def beside(self, kind: str, sha256: str, ending: str) -> str:
        """Return the name of a file next to the snapshot, such as its manifest."""
        stem, dot, suffix = kind.partition(".")
        return f"{stem}-{sha256[:16]}{dot}{suffix}{ending}"


def is_blob_name(name: str) -> bool:
    """Return whether an object below a snapshot's folder can be one of ours."""
    return name == WHOLE or _BLOB.fullmatch(name) is not None


def data_of(collection: str | None) -> str:
    """Return the data folder of a collection, or of all collections."""
    return DATA if collection is None else f"{DATA}/{quoted(collection)}"


def markers_of(collection: str | None) -> str:
    """Return the marker folder of a collection, or of all collections."""
    return MARKERS if collection is None else f"{MARKERS}/{quoted(collection)}"


def parse_marker_name(name: str) -> Key | None:
    """Return the snapshot of a marker's name; None if it is not such a name."""
    match name.split("/"):
        case [folder, collection, file] if folder == MARKERS and file.endswith(MARKER_SUFFIX):
            key = Key(
                collection=unquote(collection), snapshot=unquote(file.removesuffix(MARKER_SUFFIX))
            )
            return key if key.marker == name else None
    return None


def parse_data_name(name: str) -> tuple[Key, str] | None:
    """Return the snapshot that an object belongs to, and its name below the snapshot's folder."""
    match name.split("/", 3):
        case [folder, collection, snapshot, rest] if folder == DATA:
            key = Key(collection=unquote(collection), snapshot=unquote(snapshot))
            return (key, rest) if f"{key.folder}/{rest}" == name else None
    return None


def quoted(name: str) -> str:
    """Return a name encoded for off-site use: stores keep it, and it cannot point elsewhere."""
    return quote(name, safe="")
