"""The manifest next to each snapshot: what was taken, from where, and what it must contain.

It is written once and never edited. Unknown keys are ignored, so that older code can read newer
files of the same schema; a newer schema is refused. Schema 1 has the recorded searches in the
manifest; since schema 2 they are in a file of their own (`probes_file.py`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any

from snapshot_tasks.domain.collection import CollectionState
from snapshot_tasks.domain.names import check_collection, check_file_name
from snapshot_tasks.domain.probes_file import ProbesFile
from snapshot_tasks.domain.seal import Seal
from snapshot_tasks.domain.shards import KIND, ShardSet
from snapshot_tasks.domain.versions import UNKNOWN
from snapshot_tasks.system.errors import Damaged, Refused, SettingsError
from snapshot_tasks.system.untrusted import (
    MAX_NUMBER,
    finite,
    optional,
    parse_json,
    parse_moment,
    printable,
    typed,
)

SCHEMA = 2
# The last one with the searches in the manifest itself.
WITH_PROBES = 1
DESCRIBED = (
    "collection",
    "qdrant_version",
    "points_count",
    "config",
    "payload_schema",
    "aliases",
    "sanity",
    "probes",
)
# Facts whose JSON key differs from the name of the field.
_KEYS = {"seal": "fingerprint", "index_counts": "indexes"}
MAX_MESSAGE = 300
# A version becomes the tag of an image and part of a path.
_VERSION = re.compile("[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The facts of one snapshot. `points_count` is the exact count of the file.

    `hidden_points` is how many of them the source did not show after the snapshot.

    `probes_file` identifies the recorded searches, if any; `probes` are those of schema 1.
    `config` and `payload_schema` are the file's, too. `unsettled_indexes` were being created or
    dropped while it was taken, so a restore may or may not bring them back. `shard_set` has the
    shards of a cluster's snapshot.

    A `safety` snapshot contains a replaced collection. It is kept and listed, but never a default.

    An `imported` file was made by another tool: its source is unknown, and its seal says what was
    in it when it was imported, not when it was taken.
    """

    collection: str
    snapshot: str
    created_at: datetime
    size_bytes: int
    sha256: str
    qdrant_version: str
    source_url: str
    points_count: int
    source_points_before: int
    source_points_after: int
    source_moved: bool
    config: Mapping[str, Any]
    payload_schema: Mapping[str, Any]
    aliases: tuple[str, ...]
    label: str | None = None
    seal: Seal | None = None
    sanity: Mapping[str, Any] | None = None
    probes_file: ProbesFile | None = None
    probes: tuple[Any, ...] = ()
    index_counts: tuple[Any, ...] = ()
    hidden_points: int = 0
    safety: bool = False
    imported: bool = False
    unsettled_indexes: tuple[str, ...] = ()
    shard_set: ShardSet | None = None
    schema: int = field(default=SCHEMA)

    @property
    def state(self) -> CollectionState:
        """The expected state of a collection that is restored from this snapshot."""
        return CollectionState(
            points_count=self.points_count,
            config=self.config,
            payload_schema=self.payload_schema,
            aliases=self.aliases,
        )

    @property
    def taken_with(self) -> str | None:
        """The version of Qdrant that made the file; None if that is unknown."""
        return None if self.qdrant_version == UNKNOWN else self.qdrant_version

    @property
    def description(self) -> str:
        """The hex SHA-256 of everything that is expected of a restore except its points."""
        document = self.as_json()
        described = {key: document[key] for key in DESCRIBED}
        if self.index_counts:
            described["indexes"] = document["indexes"]
        if self.unsettled_indexes:
            described["unsettled_indexes"] = document["unsettled_indexes"]
        if self.imported:
            described["imported"] = True
        if self.shard_set:
            described |= self.shard_set.as_json()
        text = json.dumps(described, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def sealed_with(self, seal: Seal) -> Manifest:
        """Return this manifest with a seal, which also covers its description."""
        return replace(self, seal=seal.describing(self.description))

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object as it is stored on disk."""
        plain = {_KEYS.get(f.name, f.name): getattr(self, f.name) for f in fields(self)}
        file, shard_set = plain.pop("probes_file"), plain.pop("shard_set")
        return {
            "schema": plain.pop("schema"),
            **plain,
            "created_at": self.created_at.isoformat(),
            "aliases": list(self.aliases),
            "fingerprint": self.seal.as_json() if self.seal else None,
            "probes": _probes_json(self.schema, file, self.probes),
            "indexes": list(self.index_counts),
            "unsettled_indexes": list(self.unsettled_indexes),
            **(shard_set.as_json() if shard_set else {}),
        }


def dump_manifest(manifest: Manifest) -> str:
    """Return the text of the manifest file: strict JSON, with null for NaN and infinity."""
    document = finite(manifest.as_json())
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def parse_manifest(text: str, name: str) -> Manifest:
    """Parse a manifest; `name` is the name of its file.

    Raises:
        Refused: if it has a newer schema.
        Damaged: if it is not a manifest.
    """
    try:
        document = parse_json(text)
        if not isinstance(document, dict):
            raise ValueError("not a JSON object")
        return _parse(document, name)
    except (ValueError, KeyError, TypeError, ArithmeticError, SettingsError) as error:
        raise unreadable(name, error) from error


def unreadable(name: str, error: Exception) -> Damaged:
    """Return the error for a manifest that cannot be read; `name` is the name of its file."""
    reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
    return Damaged(
        f"The manifest {printable(name)} cannot be read: "
        f"{printable(reason.rstrip('.'), limit=MAX_MESSAGE)}.",
        hint="Restore it from a copy, or move it away to use the snapshot without a manifest.",
    )


def _parse(document: Mapping[str, Any], name: str) -> Manifest:
    schema = typed(document, "schema", int)
    if schema > SCHEMA:
        raise Refused(
            f"The manifest {printable(name)} has schema {schema}, "
            f"but this version only reads schemas up to {SCHEMA}.",
            hint="Update this project on this machine, then try again.",
        )
    return Manifest(
        collection=_collection(document),
        snapshot=_file_name(document),
        created_at=parse_moment(typed(document, "created_at", str)),
        size_bytes=typed(document, "size_bytes", int),
        sha256=typed(document, "sha256", str),
        qdrant_version=_version(document),
        source_url=typed(document, "source_url", str),
        points_count=typed(document, "points_count", int),
        source_points_before=typed(document, "source_points_before", int),
        source_points_after=typed(document, "source_points_after", int),
        source_moved=typed(document, "source_moved", bool),
        config=typed(document, "config", dict),
        payload_schema=typed(document, "payload_schema", dict),
        aliases=tuple(str(alias) for alias in typed(document, "aliases", list)),
        label=None if document.get("label") is None else str(document["label"]),
        seal=_seal(document),
        sanity=_sanity(document),
        probes_file=_probes_file(document) if schema > WITH_PROBES else None,
        probes=() if schema > WITH_PROBES else tuple(document.get("probes") or ()),
        index_counts=tuple(document.get("indexes") or ()),
        hidden_points=typed({"hidden_points": 0} | dict(document), "hidden_points", int),
        safety=bool(document.get("safety")),
        imported=bool(document.get("imported")),
        unsettled_indexes=tuple(map(str, optional(document, "unsettled_indexes", list) or ())),
        shard_set=_shard_set(document),
        schema=schema,
    )


def _collection(document: Mapping[str, Any]) -> str:
    """Return the collection; its name becomes part of file names and of URLs."""
    name = typed(document, "collection", str)
    check_collection(name)
    return name


def _file_name(document: Mapping[str, Any]) -> str:
    """Return the snapshot's file name, which must not be a path to another folder."""
    name = typed(document, "snapshot", str)
    check_file_name(name)
    return name


def _version(document: Mapping[str, Any]) -> str:
    version = typed(document, "qdrant_version", str)
    if not _VERSION.fullmatch(version):
        raise ValueError(f"qdrant_version {version!r} is not a version")
    return version


def _seal(document: Mapping[str, Any]) -> Seal | None:
    sealed = optional(document, "fingerprint", dict)
    return None if sealed is None else Seal.from_json(sealed)


def _probes_file(document: Mapping[str, Any]) -> ProbesFile | None:
    recorded = optional(document, "probes", dict)
    return None if recorded is None else ProbesFile.from_json(recorded)


def _probes_json(schema: int, file: ProbesFile | None, probes: tuple[Any, ...]) -> Any:
    if schema > WITH_PROBES:
        return file.as_json() if file else None
    return list(probes)


def _shard_set(document: Mapping[str, Any]) -> ShardSet | None:
    kind = document.get("kind")
    if kind not in (None, KIND):
        raise ValueError(f"kind {kind!r} is unknown")
    return ShardSet.from_json(document) if kind else None


def _sanity(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the counts that the next snapshot is compared with; all must be numbers."""
    sanity = optional(document, "sanity", dict)
    if sanity is None:
        return None
    typed({"without_vector": 0} | sanity, "without_vector", int)
    for key in ("zero_vectors", "nan_vectors", "payload_keys"):
        counts = typed({key: {}} | sanity, key, dict)
        if not all(type(count) is int and 0 <= count < MAX_NUMBER for count in counts.values()):
            raise TypeError(f"{key} has a count that is no number")
    return sanity
