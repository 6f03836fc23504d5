"""Every known fault that the checks must catch: one function each, listed at the end.

A fault must affect live data, or what finds it. A flipped bit in preallocated space or in an old
version of a point would not change what is restored, so there is nothing to catch.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from itertools import chain
from typing import Any

from snapshot_tasks.domain.fingerprint import Accumulator
from snapshot_tasks.domain.manifest import Manifest
from snapshot_tasks.domain.seal import Seal
from snapshot_tasks.sealing.container import DESCRIPTION
from snapshot_tasks.selftest.copies import (
    NUMBER_BYTES,
    Copy,
    Fault,
    LiveId,
    NotApplicable,
    is_dense,
)
from snapshot_tasks.selftest.of_replicas import make_empty, make_stale, need_replicas
from snapshot_tasks.selftest.of_shards import (
    cut_stream,
    end_stream_early,
    lose_shard,
    swap_keys,
    swap_shards,
)
from snapshot_tasks.selftest.rewrite import (
    Member,
    overwrite,
    read_at,
    read_json,
    read_logical,
)

MAX_HOLE_BYTES = 1 << 20
PAGE = 4096
DISTANCES = {"Cosine": "Dot", "Dot": "Euclid", "Euclid": "Manhattan", "Manhattan": "Cosine"}
VERSION_BYTES = 8
# Before the flags in `deleted.dat`.
FLAGS_HEADER_BYTES = 8


def _cut(keep: Callable[[int], int]) -> Callable[[Copy], None]:
    """Return a fault that truncates the file to the number of bytes that `keep` returns."""
    return lambda copy: os.truncate(copy.file, keep(copy.file.stat().st_size))


def _append(garbage: bytes) -> Callable[[Copy], None]:
    def apply(copy: Copy) -> None:
        with copy.file.open("ab") as file:
            file.write(garbage)

    return apply


def _compress(copy: Copy) -> None:
    """Saved by a client that asked for compression and did not decompress the response."""
    copy.file.write_bytes(gzip.compress(copy.file.read_bytes(), compresslevel=1))


def _zero_hole(copy: Copy) -> None:
    """The hole starts at a live id, because operations in the log may not be needed."""
    size = copy.file.stat().st_size
    start = copy.live_id().position
    overwrite(copy.file, start, bytes(min(MAX_HOLE_BYTES, size // 4, size - start)))


def _lose(names: Callable[[Copy], list[str]]) -> Callable[[Copy], None]:
    """Return a fault that omits these members."""

    def apply(copy: Copy) -> None:
        if not (lost := names(copy)):
            raise NotApplicable("the file has no such member")
        copy.rewrite(dict.fromkeys(lost))

    return apply


def _segment(copy: Copy) -> list[str]:
    """Return the archive of a segment; in a streamed shard, a segment's files have none."""
    archive, _, _ = copy.live_segment().rpartition("/snapshot/")
    return [archive] if archive else [m.name for m in copy.members(copy.live_segment())]


def _log(copy: Copy) -> list[str]:
    """Return the log of the first shard that has one."""
    logs = [member.name for member in copy.members("/wal/")]
    return [name for name in logs if name.partition("/")[0] == logs[0].partition("/")[0]]


def _rows(vector: Any) -> list[float]:
    is_multi = isinstance(vector, list) and isinstance(vector[0], list)
    return list(chain.from_iterable(vector)) if is_multi else []


def _sparse(vector: Any) -> list[float]:
    return list(getattr(vector, "values", ()))


def _zero_vector(copy: Copy) -> None:
    vector = copy.live_vector()
    overwrite(copy.file, vector.position, bytes(len(vector.bits)))


def _zero_vector_page(copy: Copy) -> None:
    """Lost as on bind mounts of macOS and Windows: qdrant issues 6676 and 7646."""
    vector = copy.live_vector()
    start = vector.position - (vector.position - vector.member.data) % PAGE
    end = min(start + PAGE, vector.member.data + vector.member.stored_bytes)
    overwrite(copy.file, start, bytes(end - start))


def _swap_vectors(copy: Copy) -> None:
    first = copy.live_vector()
    for second in copy.live_vectors():
        if second.member == first.member and second.bits != first.bits:
            overwrite(copy.file, first.position, second.bits)
            overwrite(copy.file, second.position, first.bits)
            return
    raise NotApplicable("no two vectors in one file")


def _delete_vectors(copy: Copy) -> None:
    """Their bits in the flags of the storages: one of two files of bits, or one with a header.

    All dense vectors of a point, because not every storage reads its flags.
    """
    for live in copy.live_ids():
        names = [name for name, vector in live.point.vectors.items() if is_dense(vector)]
        if sum(_flag(copy, live, name) for name in names):
            return
    raise NotApplicable("no dense vector has flags")


def _flag(copy: Copy, live: LiveId, name: str) -> bool:
    storage = f"{live.segment}vector_storage{'-' * bool(name)}{name}/"
    for flags, header_bytes in ((".dat", FLAGS_HEADER_BYTES), ("/flags_a.dat", 0)):
        if members := copy.members(f"{storage}deleted{flags}"):
            byte, bit = divmod(live.number, 8)
            copy.set_bit(members[0], header_bytes + byte, bit)
            return True
    return False


def _drop_point(copy: Copy) -> None:
    """Remove one entry from the log of ids, as if the point had never been written."""
    for live in copy.live_ids():
        if "mutable" not in live.member.name or live.member.is_sparse:
            continue
        content = read_at(copy.file, live.member.data, live.member.stored_bytes)
        start = live.position - live.member.data - 1
        end = start + 1 + live.size + NUMBER_BYTES
        copy.rewrite({live.member.name: content[:start] + content[end:]})
        return
    raise NotApplicable("no sampled id is stored in a log")


def _delete_point(copy: Copy) -> None:
    """Its bit in the deleted points of a finished segment."""
    for live in copy.live_ids():
        if members := copy.members(live.segment + "id_tracker.deleted"):
            byte, bit = divmod(live.number, 8)
            copy.set_bit(members[0], byte, bit)
            return
    raise NotApplicable("no finished segment has points")


def _lack_point(copy: Copy) -> None:
    """The copy lacks a point, as a replica does that has missed a write."""
    need_replicas(copy)
    try:
        _delete_point(copy)
    except NotApplicable:
        _drop_point(copy)


def _freeze_point(copy: Copy) -> None:
    """A version that no operation reaches, so Qdrant confirms every later write but drops it."""
    live = copy.live_id()
    (versions,) = copy.members(live.segment, "id_tracker.versions")
    content = bytearray(read_logical(copy.file, versions))
    start = live.number * VERSION_BYTES
    content[start : start + VERSION_BYTES] = (1 << 40).to_bytes(VERSION_BYTES, "little")
    copy.rewrite({versions.name: bytes(content)})


def _kill_payload_index(copy: Copy) -> None:
    """Every point is flagged as deleted in an index, which then lists points but finds none."""
    flags = [member for member in copy.members("/payload_index/", "-map/deleted") if member.size]
    if not flags:
        raise NotApplicable("no index of a finished segment has flags")
    copy.rewrite({member.name: b"\xff" * member.size for member in flags})


def _zero_links(copy: Copy) -> None:
    """The links of every point in half of each graph, and of the levels above."""
    for links in copy.graph_links():
        kept = links.stored_bytes // 2
        overwrite(copy.file, links.data + kept, bytes(links.stored_bytes - kept))


def _change_config(change: Callable[[Any], None]) -> Callable[[Copy], None]:
    """Return a fault in the collection's config that leaves it valid JSON."""

    def apply(copy: Copy) -> None:
        described = _config_file(copy)
        if described.name == DESCRIPTION:
            copy.change_json(described, lambda document: change(document["config"]))
        else:
            copy.change_json(described, change)

    return apply


def _config_file(copy: Copy) -> Member:
    """Return the member that has the collection's config: another one in a cluster's file."""
    found = [m for m in copy.members() if m.name in ("config.json", DESCRIPTION)]
    return found[0]


def _other_hnsw(document: Any) -> None:
    document["hnsw_config"]["ef_construct"] += 1


def _lose_payload_index(copy: Copy) -> None:
    """One index in the collection's list and in every segment, because Qdrant repairs less."""
    manifest = copy.snapshot().manifest
    names = sorted(manifest.payload_schema) if manifest else []
    if not names:
        raise NotApplicable("no payload index")
    changes: dict[str, bytes | None] = {}
    # A cluster's file has no such list: Qdrant is asked to make each index.
    lists = [m for m in copy.members() if m.name == "payload_index.json"]
    for member in [*lists, *copy.members("/segments/", "/payload_index/config.json")]:
        document = read_json(copy.file, member)
        for part in document.values():
            part.pop(names[0], None)
        changes[member.name] = json.dumps(document).encode()
    copy.rewrite(changes)


def _swap_manifest(copy: Copy) -> None:
    """The manifest and the seal of a snapshot that has one more point."""
    snapshot = copy.snapshot()
    manifest, sealed = snapshot.manifest, snapshot.sealed
    assert manifest is not None
    assert sealed is not None
    assert sealed.buckets is not None
    other, names = Accumulator(), sealed.buckets.tables
    other.merge(sealed.buckets)
    other.add("ffffffff-ffff-4fff-bfff-ffffffffffff", [(name, b"") for name in names])
    text = json.dumps(other.result().as_json())
    copy.fingerprint_path.write_text(text, encoding="utf-8")
    foreign = replace(
        manifest,
        sha256=sha256(manifest.sha256.encode()).hexdigest(),
        size_bytes=manifest.size_bytes + PAGE,
        points_count=manifest.points_count + 1,
    )
    copy.write_manifest(foreign.sealed_with(Seal.from_json(other.result().summary())))


def _forge(change: Callable[[Manifest], dict[str, Any]]) -> Callable[[Copy], None]:
    """Return a fault that only affects the manifest."""

    def apply(copy: Copy) -> None:
        manifest = copy.snapshot().manifest
        assert manifest is not None
        changes = change(manifest)
        if all(getattr(manifest, key) == value for key, value in changes.items()):
            raise NotApplicable("the manifest has no such entry")
        copy.change_manifest(**changes)

    return apply


def _of_searches(change: Callable[[bytes], bytes | None]) -> Callable[[Copy], None]:
    """Return a fault that only affects the recorded searches; None loses them."""

    def apply(copy: Copy) -> None:
        if not copy.probes_path.exists():
            raise NotApplicable("no searches are recorded beside the manifest")
        changed = change(copy.probes_path.read_bytes())
        if changed is None:
            copy.probes_path.unlink()
        else:
            copy.probes_path.write_bytes(changed)

    return apply


def _other_distance(config: Any) -> None:
    """Change the distance of the only vector, or of the first named one."""
    vectors = config["params"]["vectors"]
    vector = vectors if "distance" in vectors else vectors[min(vectors)]
    vector["distance"] = DISTANCES[vector["distance"]]


def _other_segment_distance(copy: Copy) -> None:
    def change(document: Any) -> None:
        _other_distance({"params": {"vectors": document["config"]["vector_data"]}})

    copy.change_json(copy.live_segment_json(), change)


FAULTS = (
    Fault("cut by one byte", _cut(lambda size: size - 1)),
    Fault("cut by the last 1,000 bytes", _cut(lambda size: size - 1000)),
    Fault("cut at half", _cut(lambda size: size // 2)),
    Fault("empty file", _cut(lambda size: 0)),
    Fault("700 bytes of garbage appended", _append(b"\xa5" * 700)),
    Fault("1,024 zero bytes appended", _append(bytes(1024))),
    Fault("saved gzip-compressed", _compress),
    Fault("hole of zeros, up to 1 MiB", _zero_hole),
    Fault("segment lost", _lose(_segment)),
    Fault("WAL of a shard lost", _lose(_log)),
    Fault("version.info of a segment lost", _lose(lambda c: [c.live_segment() + "version.info"])),
    Fault("file of vectors lost", _lose(lambda c: [c.live_vector().member.name])),
    Fault("one bit of a vector flipped", lambda c: c.flip(c.live_vector().position, 1)),
    Fault("vector zeroed", _zero_vector),
    Fault("4 KiB of vectors zeroed", _zero_vector_page),
    Fault("one bit of a multi-vector flipped", lambda c: c.flip(c.live_values(_rows), 1)),
    Fault("one bit of a sparse vector flipped", lambda c: c.flip(c.live_values(_sparse), 1)),
    Fault("two vectors swapped", _swap_vectors),
    Fault("vector flagged as deleted", _delete_vectors),
    Fault("payload no text any more", lambda c: c.flip(c.live_text(), 0x80)),
    Fault("one letter of a payload changed", lambda c: c.flip(c.live_text(), 1)),
    Fault("one bit of a point's id flipped", lambda c: c.flip(c.live_id().position, 1)),
    Fault("point dropped from the ids", _drop_point),
    Fault("point flagged as deleted", _delete_point),
    Fault("segment.json broken", lambda c: c.flip(c.live_segment_json().data, 1)),
    Fault("other distance in a segment.json", _other_segment_distance),
    Fault("config.json broken", lambda c: c.flip(_config_file(c).data, 1)),
    Fault("other distance in config.json", _change_config(_other_distance)),
    Fault("other HNSW setting in config.json", _change_config(_other_hnsw)),
    Fault("second half of the HNSW links zeroed", _zero_links),
    Fault("all points flagged as deleted in a payload index", _kill_payload_index),
    Fault("payload index lost from the file", _lose_payload_index, in_log=True),
    Fault("manifest and seal of another snapshot", _swap_manifest),
    Fault("sha256 of the manifest forged", _forge(lambda m: {"sha256": "0" * 64}), resign=False),
    Fault("count forged in the manifest", _forge(lambda m: {"points_count": m.points_count + 1})),
    Fault("payload indexes lost from the manifest", _forge(lambda m: {"payload_schema": {}})),
    Fault("sealed fingerprint cut short", lambda c: os.truncate(c.fingerprint_path, PAGE)),
    Fault("recorded searches lost", _of_searches(lambda text: None), resign=False),
    Fault("recorded searches cut short", _of_searches(lambda text: text[: len(text) // 2])),
    Fault("recorded searches emptied", _of_searches(lambda text: b"[]\n")),
    Fault("alias lost from the manifest", _forge(lambda m: {"aliases": m.aliases[1:]})),
    Fault("point's version far in the future", _freeze_point),
    Fault("two shard files swapped", swap_shards),
    Fault("two shard keys swapped", swap_keys),
    Fault("shard missing", lose_shard),
    Fault("stream of a shard cut at half", cut_stream),
    Fault("stream of a shard ended early", end_stream_early),
    Fault("stale replica", _lack_point, resign=False, spoil=make_stale),
    Fault("empty replica that is Active", need_replicas, resign=False, spoil=make_empty),
)
