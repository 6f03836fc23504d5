"""How a snapshot file describes its collection: what a restore of it brings back.

An application may create or drop payload indexes, and since Qdrant 1.18 vectors, while a snapshot
is taken. The server then describes another moment than the file does. Measured: a restored
collection has the indexes of `payload_index.json`, changed by those operations in the log that are
replayed. So an index is only certain if they agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from snapshot_tasks.domain.collection import CollectionState
from snapshot_tasks.domain.comparison import differences
from snapshot_tasks.sealing.archive import read_json
from snapshot_tasks.sealing.container import (
    DESCRIPTION,
    Description,
    read_description,
    segment_file,
    storage_members,
)
from snapshot_tasks.sealing.log import index_changes
from snapshot_tasks.sealing.tar import NESTED_END_MARKERS, Budget, Member, content, members
from snapshot_tasks.system.untrusted import JsonObject

CONFIG, INDEXES = "config.json", "payload_index.json"
# What a file's config has and no server shows.
_NEVER_SHOWN = ("uuid",)
SEGMENT_INDEXES_PATH = "payload_index/config.json"
SEGMENT_INDEXES = f"snapshot/files/{SEGMENT_INDEXES_PATH}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A collection's description in a file, in the form in which a server describes it.

    `unsettled` are payload indexes that a restore may or may not bring back, because they were
    being created or dropped. `changes` says what the server described differently before or after
    the snapshot; it is empty if nothing changed.
    """

    config: JsonObject
    payload_schema: JsonObject
    unsettled: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()


def describe(snapshot: Path, before: CollectionState, after: CollectionState) -> Described:
    """Return a file's own description of a collection that a server described before and after it.

    The archive must have passed `check_archive`. What the file does not contain, or contains in an
    unknown form, is taken from the server's description.
    """
    walk = _Walk()
    with snapshot.open("rb") as file:
        try:
            walk.take_all(file)
        except (ValueError, KeyError):
            # The format of a later version: there is only the server's word.
            walk = _Walk()
    config = _config(walk.config, before.config, after.config)
    schema = _schema(walk.indexes, before.payload_schema)
    unsettled = walk.unsettled_by_log()
    changes = tuple(_changes(config, schema, before, after, unsettled))
    if changes:
        unsettled |= walk.unsettled_by_segments()
    return Described(
        config=config,
        payload_schema=schema,
        unsettled=tuple(sorted(unsettled)),
        changes=changes,
    )


def describe_live(before: CollectionState, after: CollectionState) -> Described:
    """Return what the servers of a cluster said: a shard's own file describes no collection.

    A restore makes the payload indexes itself, so only those that came or went are uncertain.
    """
    unsettled = {
        field
        for field in before.payload_schema.keys() | after.payload_schema.keys()
        if before.payload_schema.get(field) != after.payload_schema.get(field)
    }
    return Described(
        config=after.config,
        payload_schema=after.payload_schema,
        unsettled=tuple(sorted(unsettled)),
        changes=tuple(_changes(after.config, after.payload_schema, before, after, unsettled)),
    )


def describe_alone(snapshot: Path) -> Described | None:
    """Return a file's own description, with which no server's can be compared.

    None if it has none in a form that is known. The archive must have passed `check_archive`.
    """
    walk = _Walk()
    with snapshot.open("rb") as file:
        try:
            walk.take_all(file)
        except (ValueError, KeyError):
            return None
    if walk.description:
        described = walk.description
        return Described(config=described.config, payload_schema=described.payload_schema)
    if not isinstance(walk.config, dict) or walk.indexes is None:
        return None
    return Described(
        config={key: value for key, value in walk.config.items() if key not in _NEVER_SHOWN},
        payload_schema=_schema(walk.indexes, {}),
        unsettled=tuple(sorted(walk.unsettled_by_log() | walk.unsettled_by_segments())),
    )


def _config(found: Any, before: JsonObject, after: JsonObject) -> JsonObject:
    """Return the file's config, with the keys that the server shows."""
    if not isinstance(found, dict):
        return before
    config = {k: value for k, value in found.items() if k in before or k in after}
    # A later version may store a key elsewhere; what did not change is then the server's word.
    elsewhere = {k: v for k, v in before.items() if k not in found and after.get(k) == v}
    return config | elsewhere


def _schema(indexes: dict[str, Any] | None, before: JsonObject) -> JsonObject:
    if indexes is None:
        return before
    shown = {field: _shown(index) or before.get(field) for field, index in indexes.items()}
    return {field: index for field, index in shown.items() if index is not None}


def _changes(
    config: JsonObject,
    schema: JsonObject,
    before: CollectionState,
    after: CollectionState,
    unsettled: set[str],
) -> Iterator[str]:
    """Yield what differs between the file and the server's descriptions before and after it."""
    states = (before, after)
    if any(any(differences(dict(config), dict(state.config))) for state in states):
        yield "config"
    fields = schema.keys() | before.payload_schema.keys() | after.payload_schema.keys() | unsettled
    for field in sorted(fields):
        shown = [schema.get(field), *(state.payload_schema.get(field) for state in states)]
        if field in unsettled or shown[0] != shown[1] or shown[0] != shown[2]:
            yield f"payload index {field}"


def _shown(index: Any) -> dict[str, Any] | None:
    """Return a payload index as a server shows it; None if its form is unknown."""
    if isinstance(index, str):
        return {"data_type": index}
    if isinstance(index, dict) and isinstance(index.get("type"), str):
        return {"data_type": index["type"], "params": index}
    return None


class _Walk:
    """One pass over the archive."""

    def __init__(self) -> None:
        self.config: Any = None
        self.indexes: dict[str, Any] | None = None
        self.description: Description | None = None
        self._segments: list[dict[str, Any]] = []
        # The changes in each file of a shard's log, in their order.
        self._logs: dict[str, dict[tuple[bool, int], dict[str, Any]]] = {}

    def take_all(self, file: IO[bytes]) -> None:
        budget = Budget()
        for source, member in storage_members(file, budget):
            parts = member.name.split("/")
            if member.name == CONFIG:
                self.config = read_json(source, member, CONFIG)
            elif member.name == INDEXES:
                self.indexes = _object(read_json(source, member, INDEXES), "schema")
            elif member.name == DESCRIPTION:
                self.description = read_description(source, member)
            elif len(parts) > 2 and parts[1] == "wal":
                self._log(source, member, parts)
            elif member.name.endswith(".tar"):
                self._segment(content(source, member), member, budget)
            elif (streamed := segment_file(parts)) and streamed[1] == SEGMENT_INDEXES_PATH:
                self._segment_indexes(source, member)

    def unsettled_by_log(self) -> set[str]:
        """Return the indexes that are different after the log than in the collection's list.

        Such a log ends after that list was written, or before.
        """
        listed = self.indexes or {}
        return _differing(listed, self._changed(listed))

    def unsettled_by_segments(self) -> set[str]:
        """Return the indexes that a segment does not have as the collection's list has them."""
        return _differing(self.indexes or {}, self._segments)

    def _changed(self, listed: dict[str, Any]) -> list[dict[str, Any]]:
        """Return what the indexes are after the changes in each shard's log."""
        changed = []
        for files in self._logs.values():
            after = dict(listed)
            for _, changes in sorted(files.items()):
                after.update(changes)
            changed.append(after)
        return changed

    def _log(self, file: IO[bytes], member: Member, parts: list[str]) -> None:
        kind, _, number = parts[-1].partition("-")
        if kind in ("open", "closed") and number.isdigit():
            changes = index_changes(content(file, member))
            self._logs.setdefault(parts[0], {})[kind == "open", int(number)] = changes

    def _segment(self, file: IO[bytes], member: Member, budget: Budget) -> None:
        budget.archive(member)
        for entry in members(file, member.name, end_markers=NESTED_END_MARKERS, budget=budget):
            if entry.name == SEGMENT_INDEXES:
                self._segment_indexes(file, entry)

    def _segment_indexes(self, file: IO[bytes], entry: Member) -> None:
        document = read_json(file, entry, entry.name)
        self._segments.append(_object(document, "indexed_fields"))


def _differing(listed: dict[str, Any], others: list[dict[str, Any]]) -> set[str]:
    fields = [listed.keys() | other.keys() for other in others]
    return {
        field
        for other, its in zip(others, fields, strict=True)
        for field in its
        if listed.get(field) != other.get(field)
    }


def _object(document: Any, key: str) -> dict[str, Any]:
    found = document.get(key) if isinstance(document, dict) else None
    if not isinstance(found, dict):
        raise ValueError(f"it has no {key}")
    return found
