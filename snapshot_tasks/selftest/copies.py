"""Copies of a snapshot that faults can damage, and the type of a fault."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from heapq import nsmallest
from pathlib import Path
from typing import Any
from uuid import UUID

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.domain.manifest import Manifest, dump_manifest
from snapshot_tasks.domain.names import (
    FINGERPRINT_SUFFIX,
    MANIFEST_SUFFIX,
    PROBES_SUFFIX,
)
from snapshot_tasks.domain.search_parity import sample_key
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.sealing.unpack import unpack
from snapshot_tasks.selftest.resign import resigned_shards
from snapshot_tasks.selftest.rewrite import (
    Member,
    find_once,
    overwrite,
    read_at,
    read_json,
    read_logical,
    read_members,
    rewrite,
)
from snapshot_tasks.system.files import sha256_of

SAMPLE_POINTS = 64
ID_BATCH = 10_000
TEXT_BYTES = 6
MIN_VALUES = 3
# Searches find little without graphs that have this share of all points.
MOST = 0.8
# The byte before an id that is a number or a UUID: in the log of a growing segment, in a finished
# one.
ID_KINDS = ((1, 0), (2, 1))
# It is followed by the number of its point in the segment.
NUMBER_BYTES = 4


class NotApplicable(Exception):
    """The snapshot has no data that this fault could damage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A point that every reader sees, and its shard."""

    shard: str
    id: int | str
    payload: Mapping[str, Any]
    vectors: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A copy of a catalogued snapshot in a separate folder, to be damaged."""

    file: Path
    points: tuple[Point, ...] = ()

    @classmethod
    def of(cls, snapshot: Path, folder: Path, points: tuple[Point, ...] = ()) -> Copy:
        """Copy a snapshot with what its seal covers, but without its proofs."""
        folder.mkdir()
        for suffix in ("", MANIFEST_SUFFIX, FINGERPRINT_SUFFIX, PROBES_SUFFIX):
            beside = snapshot.with_name(snapshot.name + suffix)
            if suffix != PROBES_SUFFIX or beside.exists():
                shutil.copyfile(beside, folder / beside.name)
        return cls(file=folder / snapshot.name, points=points)

    @property
    def fingerprint_path(self) -> Path:
        """The path of the sealed fingerprint."""
        return self.file.with_name(self.file.name + FINGERPRINT_SUFFIX)

    @property
    def probes_path(self) -> Path:
        """The path of the recorded searches."""
        return self.file.with_name(self.file.name + PROBES_SUFFIX)

    def snapshot(self) -> Snapshot:
        """Read the copy as the catalogue reads it."""
        return Catalog(self.file.parent).find(str(self.file))

    def change_manifest(self, **changes: Any) -> None:
        """Change facts in the manifest."""
        manifest = self.snapshot().manifest
        assert manifest is not None
        self.write_manifest(replace(manifest, **changes))

    def write_manifest(self, manifest: Manifest) -> None:
        """Give the copy another manifest."""
        path = self.file.with_name(self.file.name + MANIFEST_SUFFIX)
        path.write_text(dump_manifest(manifest), encoding="utf-8")

    def resign(self) -> None:
        """Make every size and SHA-256 match the damaged file, but nothing that was sealed."""
        manifest = self.snapshot().manifest
        assert manifest is not None
        self.write_manifest(resigned_shards(self.file, manifest))
        self.change_manifest(sha256=sha256_of(self.file), size_bytes=self.file.stat().st_size)

    def members(self, *words: str, shard: str = "") -> list[Member]:
        """Return the members whose names contain all these words, of one shard if given."""
        prefix = f"{shard}/" if shard else ""
        return [
            m
            for m in read_members(self.file)
            if m.name.startswith(prefix) and all(word in m.name for word in words)
        ]

    def member(self, name: str) -> Member:
        """Return the member with that name. Raises `NotApplicable` if there is none."""
        for member in self.members(name):
            if member.name == name:
                return member
        raise NotApplicable(f"the file has no {name}")

    def rewrite(self, changes: Mapping[str, bytes | None]) -> None:
        """Replace the contents of members, or omit members that map to None."""
        target = self.file.with_name("rewritten")
        rewrite(self.file, target, changes)
        os.replace(target, self.file)

    def change_json(self, member: Member, change: Callable[[Any], None]) -> None:
        """Change the document of a JSON member."""
        document = read_json(self.file, member)
        change(document)
        self.rewrite({member.name: json.dumps(document, separators=(",", ":")).encode()})

    def flip(self, position: int, bits: int) -> None:
        """Flip bits of one byte of the file."""
        (byte,) = read_at(self.file, position, 1)
        overwrite(self.file, position, bytes([byte ^ bits]))

    def set_bit(self, member: Member, offset: int, bit: int) -> None:
        """Flip a bit of the logical file, also in a hole of it."""
        if (position := member.position(offset)) is not None:
            self.flip(position, 1 << bit)
            return
        content = bytearray(read_logical(self.file, member))
        if offset >= len(content):
            raise NotApplicable(f"{member.name} is too short")
        content[offset] ^= 1 << bit
        self.rewrite({member.name: bytes(content)})

    def live_segment(self) -> str:
        """Return the folder of a segment that has live points."""
        return self.live_id().segment

    def live_segment_json(self) -> Member:
        """Return the description of that segment."""
        return self.member(self.live_segment() + "segment.json")

    def live_vector(self) -> LiveVector:
        """Return the first of them. Raises `NotApplicable` if there is none."""
        for vector in self.live_vectors():
            return vector
        raise NotApplicable("no vector is stored uncompressed")

    def live_vectors(self) -> Iterator[LiveVector]:
        """Yield sampled dense vectors whose bits appear exactly once in their shard's storage.

        With `inline_storage`, newer versions store them only among the links of the graph.
        """
        for point in self.points:
            for name, value in point.vectors.items():
                if not is_dense(value) or not any(value):
                    continue
                of_name = f"{'-' * bool(name)}{name}/"
                stored = self.members(f"/vector_storage{of_name}", shard=point.shard)
                inline = self.members(f"/vector_index{of_name}links_comp_vec", shard=point.shard)
                if found := self._find(value, stored) or self._find(value, inline):
                    yield found

    def _find(self, value: Sequence[float], within: list[Member]) -> LiveVector | None:
        for bits in _encodings(value):
            if found := find_once(self.file, bits, within):
                return LiveVector(bits=bits, member=found[0], position=found[1])
        return None

    def graph_links(self) -> list[Member]:
        """Return the links of the HNSW graphs without which searches find little.

        A graph is searched only if it has as many vectors as its own `full_scan_threshold`.
        """
        manifest = self.snapshot().manifest
        graphs: dict[str, list[tuple[int, str]]] = {}
        for described in self.members("/vector_index", "/hnsw_config.json"):
            graph = read_json(self.file, described)
            folder = described.name.removesuffix("hnsw_config.json")
            indexed = graph.get("indexed_vector_count") or 0
            if indexed >= graph["full_scan_threshold"]:
                vector = folder.rpartition("/vector_index")[2]
                graphs.setdefault(vector, []).append((indexed, folder))
        needed = manifest.points_count * MOST if manifest else 0
        folders = [
            folder
            for found in graphs.values()
            if sum(indexed for indexed, _ in found) >= needed
            for _, folder in found
        ]
        if not folders:
            raise NotApplicable("no HNSW graph is large enough to be used by most searches")
        return [link for folder in folders for link in self.members(folder + "links")]

    def live_values(self, values_of: Callable[[Any], Sequence[float]]) -> int:
        """Return the position of the values that `values_of` takes from another kind of vector."""
        for point in self.points:
            for name, vector in point.vectors.items():
                values = values_of(vector)
                within = self.members(f"/vector_storage-{name}/", shard=point.shard)
                for bits in _encodings(values) if len(values) >= MIN_VALUES else ():
                    if found := find_once(self.file, bits, within):
                        return found[1]
        raise NotApplicable("no such vector is stored in the form in which it is read")

    def live_text(self) -> int:
        """Return the position of a text that appears exactly once in the stored payloads.

        Payloads are compressed, but the new parts of a payload are stored unchanged.
        """
        for point in self.points:
            within = self.members("/payload_storage/page_", shard=point.shard)
            for value in point.payload.values():
                for start in range(len(value) - TEXT_BYTES + 1) if isinstance(value, str) else ():
                    text = value[start : start + TEXT_BYTES]
                    if not text.isascii() or not text[0].isalpha():
                        continue
                    if found := find_once(self.file, text.encode(), within):
                        return found[1]
        raise NotApplicable("no payload text is stored in the form in which it is read")

    def live_id(self) -> LiveId:
        """Return the first of them. Raises `NotApplicable` if there is none."""
        for found in self.live_ids():
            return found
        raise NotApplicable("no id is stored in the form in which it is read")

    def live_ids(self) -> Iterator[LiveId]:
        """Yield sampled points whose id appears exactly once in the ids of their shard."""
        for point in self.points:
            bits = (
                UUID(point.id).bytes
                if isinstance(point.id, str)
                else point.id.to_bytes(8, "little")
            )
            within = self.members("id_tracker.mappings", shard=point.shard)
            for kind in ID_KINDS[isinstance(point.id, str)]:
                if found := find_once(self.file, bytes([kind]) + bits, within):
                    member, position = found[0], found[1] + 1
                    number = read_at(self.file, position + len(bits), NUMBER_BYTES)
                    yield LiveId(
                        point=point,
                        member=member,
                        position=position,
                        size=len(bits),
                        number=int.from_bytes(number, "little"),
                    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveId:
    """The position of the id of a point that every reader sees, and its number in the segment."""

    point: Point
    member: Member
    position: int
    size: int
    number: int

    @property
    def segment(self) -> str:
        """The folder of its segment."""
        return self.member.name.rpartition("/")[0] + "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveVector:
    """The position of the bits of a vector that every reader sees."""

    bits: bytes
    member: Member
    position: int


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault and its name. `resign`: it makes sense to adjust the manifest to the damaged file.

    A fault `by_member` may be harmless, and is only tried with an adjusted manifest: without it,
    the SHA-256 tells. One that is `in_log` is harmless if Qdrant makes anew from the log what was
    lost from the segments. One with `spoil` is done to a cluster of several nodes into which the
    intact file was restored; the copy is only what it takes for that.
    """

    name: str
    apply: Callable[[Copy], None]
    resign: bool = True
    by_member: bool = False
    in_log: bool = False
    spoil: Callable[[Endpoint, str, Copy], None] | None = None

    @property
    def may_be_harmless(self) -> bool:
        """Whether a restore that is identical to one without the fault shows that all is well."""
        return self.by_member or self.in_log


def is_dense(vector: Any) -> bool:
    """Return whether a vector is a single row of numbers."""
    return isinstance(vector, list) and not isinstance(vector[0], list)


def read_sample(file: Path, scratch: Path) -> tuple[Point, ...]:
    """Return points of each shard of an intact file, read by the reader: the first, then others.

    New points are in another segment than old ones, and often have larger ids.
    """
    import qdrant_edge as edge

    scratch.mkdir()
    points: list[Point] = []
    for shard in unpack(file, scratch):
        opened = edge.EdgeShard.load(str(shard.folder))
        try:
            for record in opened.retrieve(_sampled_ids(opened), True, True):
                vectors = record.vector if isinstance(record.vector, dict) else {"": record.vector}
                points.append(
                    Point(
                        shard=shard.name,
                        id=_identity(record.id),
                        payload=record.payload or {},
                        vectors=vectors,
                    )
                )
        finally:
            opened.close()
    return tuple(points)


def _sampled_ids(shard: Any) -> list[Any]:
    """Return the first ids of a shard, and others that are chosen by their hashes."""
    import qdrant_edge as edge

    first: list[Any] = []
    chosen: list[Any] = []
    offset = None
    while True:
        request = edge.ScrollRequest(
            offset=offset, limit=ID_BATCH, with_payload=False, with_vector=False
        )
        records, offset = shard.scroll(request)
        ids = [record.id for record in records]
        first = first or ids[:SAMPLE_POINTS]
        others = (identity for identity in (*chosen, *ids) if identity not in first)
        chosen = nsmallest(SAMPLE_POINTS, others, key=lambda each: sample_key(_identity(each)))
        if offset is None:
            return first + chosen


def _identity(identity: Any) -> int | str:
    return identity if isinstance(identity, int) else str(identity)


def _encodings(vector: Sequence[float]) -> Iterator[bytes]:
    """Yield the ways in which a dense vector may be stored: as float32, float16 or uint8."""
    for code in "feB":
        with suppress(struct.error, OverflowError):
            yield struct.pack(f"<{len(vector)}{code}", *vector)
