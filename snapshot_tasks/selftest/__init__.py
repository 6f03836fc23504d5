"""The known faults of a snapshot, and how to make them in a copy of it."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from snapshot_tasks.catalog.folder import Catalog, Snapshot
from snapshot_tasks.catalog.manifest import dump_manifest
from snapshot_tasks.catalog.names import FINGERPRINT_SUFFIX, MANIFEST_SUFFIX
from snapshot_tasks.files import sha256_of
from snapshot_tasks.sealing.unpack import unpack
from snapshot_tasks.selftest.rewrite import Member, find_once, read_json, read_members, rewrite

SAMPLE_POINTS = 64


class NotApplicable(Exception):
    """This snapshot holds nothing that the fault could hit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A point that every reader sees, and the shard it is in."""

    shard: str
    id: int | str
    payload: Mapping[str, Any]
    vectors: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A copy of a catalogued snapshot in a folder of its own, to be damaged."""

    file: Path
    points: tuple[Point, ...] = ()

    @classmethod
    def of(cls, snapshot: Path, folder: Path, points: tuple[Point, ...] = ()) -> Copy:
        """Copy a snapshot with its manifest and its sealed fingerprint, but without its proofs."""
        folder.mkdir()
        for suffix in ("", MANIFEST_SUFFIX, FINGERPRINT_SUFFIX):
            shutil.copyfile(
                snapshot.with_name(snapshot.name + suffix), folder / (snapshot.name + suffix)
            )
        return cls(file=folder / snapshot.name, points=points)

    @property
    def fingerprint_path(self) -> Path:
        """Where the sealed fingerprint stands."""
        return self.file.with_name(self.file.name + FINGERPRINT_SUFFIX)

    def snapshot(self) -> Snapshot:
        """Read the copy as the catalogue reads it."""
        return Catalog(self.file.parent).find(str(self.file))

    def change_manifest(self, **changes: Any) -> None:
        """Write other facts into the manifest."""
        manifest = self.snapshot().manifest
        assert manifest is not None
        path = self.file.with_name(self.file.name + MANIFEST_SUFFIX)
        path.write_text(dump_manifest(replace(manifest, **changes)), encoding="utf-8")

    def resign(self) -> None:
        """Make size and SHA-256 in the manifest fit whatever the file is now."""
        self.change_manifest(sha256=sha256_of(self.file), size_bytes=self.file.stat().st_size)

    def members(self, *words: str, shard: str = "") -> list[Member]:
        """Return the members, of one shard if given, whose names hold all these words."""
        prefix = f"{shard}/" if shard else ""
        return [
            m
            for m in read_members(self.file)
            if m.name.startswith(prefix) and all(word in m.name for word in words)
        ]

    def rewrite(self, changes: Mapping[str, bytes | None]) -> None:
        """Replace members by other content, or leave out those that map to None."""
        target = self.file.with_name("rewritten")
        rewrite(self.file, target, changes)
        os.replace(target, self.file)

    def change_json(self, member: Member, change: Callable[[Any], None]) -> None:
        """Change what a JSON member says."""
        document = read_json(self.file, member)
        change(document)
        self.rewrite({member.name: json.dumps(document, separators=(",", ":")).encode()})

    def live_vectors(self) -> Iterator[LiveVector]:
        """Yield sampled dense vectors whose bits stand exactly once in their shard's storage."""
        for point in self.points:
            for name, value in point.vectors.items():
                if not isinstance(value, list) or isinstance(value[0], list):
                    continue
                folder = f"/vector_storage{'-' * bool(name)}{name}/"
                for code in "fe":
                    try:
                        bits = struct.pack(f"<{len(value)}{code}", *value)
                    except OverflowError:
                        continue
                    within = self.members(folder, shard=point.shard)
                    if any(value) and (found := find_once(self.file, bits, within)):
                        yield LiveVector(
                            point=point, name=name, bits=bits, member=found[0], position=found[1]
                        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveVector:
    """Where the bits of a vector are stored that every reader sees."""

    point: Point
    name: str
    bits: bytes
    member: Member
    position: int

    @property
    def number(self) -> int:
        """The point's number in its segment."""
        return self.member.offset(self.position) // len(self.bits)


def read_sample(file: Path, scratch: Path) -> tuple[Point, ...]:
    """Return some points of each shard of a sound file, read with the in-process engine."""
    import qdrant_edge as edge

    points: list[Point] = []
    for shard in unpack(file, scratch):
        opened = edge.EdgeShard.load(str(shard.folder))
        try:
            records, _ = opened.scroll(
                edge.ScrollRequest(limit=SAMPLE_POINTS, with_payload=True, with_vector=True)
            )
        finally:
            opened.close()
        for record in records:
            vectors = record.vector if isinstance(record.vector, dict) else {"": record.vector}
            identity = record.id if isinstance(record.id, int) else str(record.id)
            points.append(
                Point(shard=shard.name, id=identity, payload=record.payload or {}, vectors=vectors)
            )
    return tuple(points)
