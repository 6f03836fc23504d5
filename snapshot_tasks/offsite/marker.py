"""The marker of a pushed snapshot. Without a marker, the snapshot does not exist.

It names the index of the snapshot's blocks and the packs in which they lie, so that retention needs
no identity. The marker of an earlier version lists the parts of the file instead.

A marker is untrusted, because anyone who can write to the store can write one. Its names can only
point below the snapshot's own folder, and its sizes limit the memory needed for reading.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any

from snapshot_tasks.domain.names import check_collection, check_file_name, latest_name
from snapshot_tasks.offsite.codec import OVERHEAD_BYTES
from snapshot_tasks.offsite.layout import BESIDE, PROBES, Key, is_blob_name
from snapshot_tasks.offsite.packs import is_pack_name
from snapshot_tasks.system.errors import Damaged, Refused, SettingsError
from snapshot_tasks.system.untrusted import optional, parse_json, parse_moment, printable, typed

SCHEMA = 3
# With parts instead of blocks; without probes, which the earliest version would clean up.
OF_PARTS, WITHOUT_PROBES = 2, 1
PART_BYTES = 32 << 20
MAX_MARKER_BYTES = 32 << 20
MAX_BESIDE_BYTES = 64 << 20
MAX_MESSAGE = 300
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """One object of a snapshot: its name below the snapshot's folder, its plain and stored size."""

    name: str
    size_bytes: int
    stored_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack that a snapshot needs, and its size as it is stored."""

    name: str
    stored_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """A snapshot off-site. `sha256` is that of the plain file, which identifies the snapshot.

    Values that only a manifest contains are None without one. `beside` has the manifest and other
    small files. Either there is an `index`, or there are the `parts` of an earlier version.
    """

    snapshot: str
    collection: str
    created_at: datetime
    size_bytes: int
    sha256: str
    index: Blob | None = None
    packs: tuple[Pack, ...] = ()
    parts: tuple[Blob, ...] = ()
    beside: Mapping[str, Blob] = field(default_factory=dict)
    points_count: int | None = None
    qdrant_version: str | None = None
    proven_at: datetime | None = None
    restored_at: datetime | None = None
    failed_at: datetime | None = None
    label: str | None = None
    pinned: bool = False
    safety: bool = False
    encrypted_to: tuple[str, ...] = ()

    @property
    def schema(self) -> int:
        """The lowest schema that has everything in it, so that earlier versions can read more."""
        if self.index:
            return SCHEMA
        return OF_PARTS if PROBES in self.beside else WITHOUT_PROBES

    @property
    def key(self) -> Key:
        """The snapshot that it describes."""
        return Key(collection=self.collection, snapshot=self.snapshot)

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """The objects that are the snapshot's own; packs belong to all that need them."""
        return (*([self.index] if self.index else ()), *self.parts, *self.beside.values())

    @property
    def stored_bytes(self) -> int:
        """The size off-site of everything that the snapshot needs, also what others need too."""
        own = sum(blob.stored_bytes for blob in self.blobs)
        return own + sum(pack.stored_bytes for pack in self.packs)

    def dump(self) -> bytes:
        """Return the marker as it is stored off-site."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        document = {
            "schema": self.schema,
            **plain,
            "created_at": self.created_at.isoformat(),
            "proven_at": self.proven_at.isoformat() if self.proven_at else None,
            "restored_at": self.restored_at.isoformat() if self.restored_at else None,
            "failed_at": self.failed_at.isoformat() if self.failed_at else None,
            "index": asdict(self.index) if self.index else None,
            "packs": [[pack.name, pack.stored_bytes] for pack in self.packs],
            "parts": [asdict(part) for part in self.parts],
            "beside": {kind: asdict(blob) for kind, blob in self.beside.items()},
            "encrypted_to": list(self.encrypted_to),
        }
        return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()


def parse_marker(data: bytes, key: Key) -> Marker:
    """Return the contents of a marker, which must describe the snapshot that it is named after.

    Raises:
        Refused: for a newer schema, or if it is intact and belongs to another snapshot.
        Damaged: if it is not a marker.
    """
    try:
        document = parse_json(data, strict=True)
        if not isinstance(document, dict):
            raise ValueError("not a JSON object")
        schema = typed(document, "schema", int)
        if schema > SCHEMA:
            raise Refused(
                f"{printable(key.snapshot)} was pushed by a newer version of this project.",
                hint="Update this project on this machine, then try again.",
            )
        marker = _parse(document)
        _check_sizes(marker)
    except (ValueError, KeyError, TypeError, ArithmeticError, SettingsError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise Damaged(
            f"The off-site marker of {printable(key.snapshot)} cannot be read: "
            f"{printable(reason.rstrip('.'), limit=MAX_MESSAGE)}.",
            hint="Push that snapshot again, or pull another.",
        ) from error
    if marker.key != key:
        raise Refused(
            f"The off-site marker of {printable(key.snapshot)} belongs to another snapshot:"
            f" {printable(marker.snapshot)} of {printable(marker.collection)}.",
            hint="This place cannot tell these names apart, or a marker has been moved. Push one of"
            " them to another place or prefix.",
        )
    return marker


def _parse(document: Mapping[str, Any]) -> Marker:
    beside = typed(document, "beside", dict)
    proven_at, restored_at, failed_at = (
        parse_moment(text) if (text := optional(document, f"{what}_at", str)) else None
        for what in ("proven", "restored", "failed")
    )
    return Marker(
        snapshot=_snapshot(document),
        collection=_collection(document),
        created_at=parse_moment(typed(document, "created_at", str)),
        size_bytes=typed(document, "size_bytes", int),
        sha256=_hash(document),
        index=_blob(document["index"]) if document.get("index") is not None else None,
        packs=tuple(map(_pack, optional(document, "packs", list) or ())),
        parts=tuple(map(_blob, typed(document, "parts", list))),
        beside={kind: _blob(beside[kind]) for kind in BESIDE if kind in beside},
        points_count=optional(document, "points_count", int),
        qdrant_version=optional(document, "qdrant_version", str),
        proven_at=proven_at,
        restored_at=restored_at,
        failed_at=failed_at,
        label=optional(document, "label", str),
        pinned=typed(document, "pinned", bool),
        safety=typed(document, "safety", bool),
        encrypted_to=tuple(map(str, typed(document, "encrypted_to", list))),
    )


def _check_sizes(marker: Marker) -> None:
    if bool(marker.index) == bool(marker.parts):
        raise ValueError("it must have either an index or parts")
    if marker.parts and sum(part.size_bytes for part in marker.parts) != marker.size_bytes:
        raise ValueError("the sizes of its parts do not add up to the file")
    for blobs, limit in (
        (marker.parts, PART_BYTES),
        (marker.beside.values(), MAX_BESIDE_BYTES),
        ([marker.index] if marker.index else [], most_index_bytes(marker.size_bytes)),
    ):
        for blob in blobs:
            if blob.size_bytes > limit or blob.stored_bytes > limit + OVERHEAD_BYTES:
                raise ValueError(f"{blob.name} is larger than any part can be")
    if any(part.size_bytes == 0 for part in marker.parts):
        raise ValueError("one of its parts is empty")


def most_index_bytes(snapshot_bytes: int) -> int:
    """Return how large the index of a snapshot can be: a line of 100 bytes for 256 KiB, or less."""
    return MAX_BESIDE_BYTES + snapshot_bytes // 100


def _pack(document: Any) -> Pack:
    match document:
        case [str(name), int(stored_bytes)] if is_pack_name(name) and stored_bytes > 0:
            return Pack(name, stored_bytes)
    raise ValueError(f"{document!r} is not a pack")


def _blob(document: Any) -> Blob:
    if not isinstance(document, dict):
        raise TypeError("a part is not an object")
    name = typed(document, "name", str)
    if not is_blob_name(name):
        raise ValueError(f"{name!r} is not a part name")
    return Blob(
        name=name,
        size_bytes=typed(document, "size_bytes", int),
        stored_bytes=typed(document, "stored_bytes", int),
        sha256=_hash(document),
    )


def _snapshot(document: Mapping[str, Any]) -> str:
    name = typed(document, "snapshot", str)
    check_file_name(name)
    if name.endswith(latest_name("")):
        # A pull would replace it with the link of that name.
        raise ValueError(f"snapshot {name!r} is the name of a latest link, not a snapshot")
    return name


def _collection(document: Mapping[str, Any]) -> str:
    name = typed(document, "collection", str)
    check_collection(name)
    return name


def _hash(document: Mapping[str, Any]) -> str:
    value = typed(document, "sha256", str)
    if not _SHA256.fullmatch(value):
        raise ValueError("sha256 is not a SHA-256")
    return value
