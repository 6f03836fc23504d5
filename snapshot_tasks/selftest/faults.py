"""Every fault that the checks are known to have to catch: one function each, listed at the end.

A fault must hit what is live. A bit flipped in preallocated space, in an index or in a stale version
of a point changes nothing that comes back, so there is nothing to catch.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from snapshot_tasks.selftest import Copy, NotApplicable
from snapshot_tasks.selftest.rewrite import overwrite, read_at, read_json

MAX_HOLE_BYTES = 1 << 20
PAGE = 4096
LAST_BYTES = 1000
TEXT_BYTES = 6
DISTANCES = {"Cosine": "Dot", "Dot": "Euclid", "Euclid": "Manhattan", "Manhattan": "Cosine"}
# In the log of ids: an entry of a numbered and of a UUID point, ahead of the number in the segment.
NUMBER_ENTRY, UUID_ENTRY = 1, 2
ENTRY_NUMBER_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault by name. `resign` says that a manifest which fits the file again makes sense."""

    name: str
    apply: Callable[[Copy], None]
    resign: bool = True


def _cut(copy: Copy, keep: int) -> None:
    with copy.file.open("r+b") as file:
        file.truncate(keep)


def cut_one_byte(copy: Copy) -> None:
    _cut(copy, copy.file.stat().st_size - 1)


def cut_last_kilobyte(copy: Copy) -> None:
    _cut(copy, copy.file.stat().st_size - LAST_BYTES)


def cut_half(copy: Copy) -> None:
    _cut(copy, copy.file.stat().st_size // 2)


def cut_all(copy: Copy) -> None:
    _cut(copy, 0)


def append_garbage(copy: Copy) -> None:
    with copy.file.open("ab") as file:
        file.write(b"\xa5" * 700)


def append_zeros(copy: Copy) -> None:
    with copy.file.open("ab") as file:
        file.write(bytes(1024))


def compress(copy: Copy) -> None:
    """As a client saves it that asked for compression and did not undo it."""
    copy.file.write_bytes(gzip.compress(copy.file.read_bytes(), compresslevel=1))


def zero_hole(copy: Copy) -> None:
    size = copy.file.stat().st_size
    overwrite(copy.file, size * 3 // 8, bytes(min(MAX_HOLE_BYTES, size // 4)))


def lose_segment(copy: Copy) -> None:
    archive = _vector(copy).member.name.partition(".tar/")[0] + ".tar"
    copy.rewrite({archive: None})


def lose_wal(copy: Copy) -> None:
    shard = copy.points[0].shard
    copy.rewrite({m.name: None for m in copy.members("/wal/", shard=shard)})


def lose_segment_version(copy: Copy) -> None:
    """Without this small file Qdrant silently passes over the whole segment."""
    folder = _vector(copy).member.name.partition("vector_storage")[0]
    copy.rewrite({folder + "version.info": None})


def lose_vector_file(copy: Copy) -> None:
    copy.rewrite({_vector(copy).member.name: None})


def flip_vector_bit(copy: Copy) -> None:
    """The lowest bit of the mantissa: the smallest change that a vector can have."""
    _flip(copy, _vector(copy).position, 1)


def zero_vector(copy: Copy) -> None:
    vector = _vector(copy)
    overwrite(copy.file, vector.position, bytes(len(vector.bits)))


def zero_vector_page(copy: Copy) -> None:
    """As bind mounts on macOS and Windows lost them: qdrant issues 6676 and 7646."""
    vector = _vector(copy)
    start = vector.position - (vector.position - vector.member.data) % PAGE
    end = min(start + PAGE, vector.member.data + vector.member.stored_bytes)
    overwrite(copy.file, start, bytes(end - start))


def swap_vectors(copy: Copy) -> None:
    first = _vector(copy)
    for second in copy.live_vectors():
        if second.member == first.member and second.bits != first.bits:
            overwrite(copy.file, first.position, second.bits)
            overwrite(copy.file, second.position, first.bits)
            return
    raise NotApplicable("no two vectors in one file")


def delete_vector(copy: Copy) -> None:
    vector = _vector(copy)
    folder = vector.member.name.partition("/vectors/")[0]
    for flags in copy.members(folder + "/deleted/flags_"):
        position = flags.position(vector.number // 8)
        if position is not None:
            _flip(copy, position, 1 << vector.number % 8)
            return
    raise NotApplicable("no stored flags of deleted vectors")


def break_payload(copy: Copy) -> None:
    """The highest bit of a character, so that the payload is no text any more."""
    _flip(copy, _payload_text(copy), 0x80)


def change_payload(copy: Copy) -> None:
    """Another letter in its place: nothing but the contents tells."""
    _flip(copy, _payload_text(copy), 1)


def change_id(copy: Copy) -> None:
    _, position, _ = _id_entry(copy)
    _flip(copy, position, 1)


def drop_point(copy: Copy) -> None:
    """Take one entry out of the log of ids, as if the point had never come."""
    member, position, size = _id_entry(copy)
    content = read_at(copy.file, member.data, member.stored_bytes)
    start = position - member.data - 1
    if content[start] not in (NUMBER_ENTRY, UUID_ENTRY) or member.is_sparse:
        raise NotApplicable("the ids are not kept as a log")
    end = start + 1 + size + ENTRY_NUMBER_BYTES
    copy.rewrite({member.name: content[:start] + content[end:]})


def break_segment_json(copy: Copy) -> None:
    _flip(copy, _segment_json(copy).data, 1)


def change_segment_distance(copy: Copy) -> None:
    copy.change_json(_segment_json(copy), lambda d: _other_distance(d["config"]["vector_data"]))


def change_segment_version(copy: Copy) -> None:
    copy.change_json(_segment_json(copy), lambda d: d.update(version=None))


def break_config(copy: Copy) -> None:
    _flip(copy, _only(copy, "config.json").data, 1)


def change_distance(copy: Copy) -> None:
    copy.change_json(_only(copy, "config.json"), lambda d: _other_distance(d["params"]["vectors"]))


def change_hnsw(copy: Copy) -> None:
    def change(document: Any) -> None:
        document["hnsw_config"]["ef_construct"] += 1

    copy.change_json(_only(copy, "config.json"), change)


def lose_payload_index(copy: Copy) -> None:
    """One index, in the collection's list and in every segment's: Qdrant heals anything less."""
    collection = _only(copy, "payload_index.json")
    names = sorted(read_json(copy.file, collection)["schema"])
    if not names:
        raise NotApplicable("no payload index")
    changes: dict[str, bytes | None] = {}
    for member in [collection, *copy.members(".tar/", "/payload_index/config.json")]:
        document = read_json(copy.file, member)
        for part in document.values():
            part.pop(names[0], None)
        changes[member.name] = json.dumps(document).encode()
    copy.rewrite(changes)
