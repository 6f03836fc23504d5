"""Snapshot files that only an attacker or a fuzzer would create, each with part of its error."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.support.archives import (
    BLOCK,
    END,
    Entry,
    archive,
    replaced,
    segment,
    snapshot_bytes,
    snapshot_entries,
)

SEGMENT = "0/segments/seg-0.tar"
_CHECKSUM = slice(148, 156)


def with_member(raw: bytes) -> bytes:
    """Return a snapshot that begins with this raw member."""
    return raw + snapshot_bytes()


def with_entry(name: str, kind: bytes = tarfile.REGTYPE, *, link: str = "") -> bytes:
    """Return a snapshot with one more member."""
    return archive([*snapshot_entries(), Entry(name=name, kind=kind, link=link)])


def in_segment(*entries: Entry) -> bytes:
    """Return a snapshot with more members in one of its segments."""
    nested = segment(also=entries)
    return archive(replaced(snapshot_entries(), SEGMENT, nested))


def with_config(text: bytes) -> bytes:
    """Return a snapshot with this as its config.json."""
    return archive(replaced(snapshot_entries(), "config.json", text))


def signed(header: bytes | bytearray) -> bytes:
    """Return a header block with the correct checksum."""
    block = bytearray(header)
    block[_CHECKSUM] = b" " * 8
    block[_CHECKSUM] = f"{sum(block):06o}\0 ".encode()
    return bytes(block)


def header(name: str = "0/odd", kind: bytes = tarfile.REGTYPE, *, size: int = 0) -> bytearray:
    """Return one header block to change."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return bytearray(info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape"))


def raw(name: str, kind: bytes, data: bytes) -> bytes:
    """Return one member."""
    return signed(header(name, kind, size=len(data))) + data + bytes(-len(data) % BLOCK)


def sparse(
    pieces: Iterable[tuple[int, int]], real: int, stored: int, *, name: str = "0/holes"
) -> bytes:
    """Return an old-style GNU sparse member of up to four pieces, whatever they are."""
    block = header(name, tarfile.GNUTYPE_SPARSE, size=stored)
    table = b"".join(_number(offset) + _number(size) for offset, size in pieces)
    block[386 : 386 + len(table)] = table
    block[483:495] = _number(real)
    return signed(block) + bytes(stored + -stored % BLOCK)


def _number(value: int) -> bytes:
    return f"{value:011o}\0".encode() if value < 8**11 else b"\x80" + value.to_bytes(11, "big")


def long_name(name: bytes) -> bytes:
    """Return a member whose name is in separate blocks."""
    return raw("././@LongLink", tarfile.GNUTYPE_LONGNAME, name + b"\0") + raw("x", b"0", b"")


def pax(**records: str) -> bytes:
    """Return a member that a pax header overrules."""
    body = b"".join(_record(key.replace("__", "."), value) for key, value in records.items())
    return raw("././@PaxHeader", tarfile.XHDTYPE, body) + raw("0/odd", b"0", b"x" * 512)


def _record(key: str, value: str) -> bytes:
    rest = f" {key}={value}\n".encode()
    length = len(rest) + len(str(len(rest)))
    return str(length + (len(str(length)) > len(str(len(rest))))).encode() + rest


def field(start: int, value: bytes) -> bytes:
    """Return a snapshot whose first header has these bytes in one of its fields."""
    block = header()
    block[start : start + len(value)] = value
    return with_member(signed(block))


def _nested(depth: int) -> bytes:
    inner = archive([Entry(name="x", data=b"x")])
    for _ in range(depth):
        inner = archive([Entry(name="inner.tar", data=inner)])
    return inner


DEEP = b'{"a":' * 1_000_000 + b"1" + b"}" * 1_000_000
_PAX_1_0 = {"GNU__sparse__major": "1", "GNU__sparse__minor": "0", "GNU__sparse__realsize": "9" * 18}
_PAX_0_1 = {"GNU__sparse__map": "0,1,5,1", "GNU__sparse__size": "9" * 18}
_PAX_0_0 = {"GNU__sparse__offset": "0", "GNU__sparse__numbytes": "9" * 18}

Case = tuple[Callable[[], bytes], str]
CASES: dict[str, Case] = {
    "a name that leads up": (lambda: with_entry("0/../../evil"), "unsafe name"),
    "a name that leads up in a segment": (
        lambda: in_segment(Entry(name="snapshot/files/../../evil")),
        "unsafe name",
    ),
    "an absolute name": (lambda: with_entry("/tmp/evil"), "unsafe name"),
    "a name of nothing": (lambda: with_member(signed(header(""))), "unsafe name"),
    "a name with an empty part": (lambda: with_entry("0//wal/x"), "unsafe name"),
    "a name with a dot in it": (lambda: with_entry("0/./wal/x"), "unsafe name"),
    "a name that commands": (lambda: with_entry("0/wal/\x1b[2J\x07"), "unsafe name"),
    "a name of two lines": (lambda: with_entry("0/wal/a\nerror: all is well"), "unsafe name"),
    "a name with a C1 control": (lambda: with_entry("0/wal/\x9b2J"), "unsafe name"),
    "a name that is no UTF-8": (lambda: with_entry("0/wal/\udcff\udcfe"), "not UTF-8"),
    "a name without end": (lambda: with_member(long_name(b"n" * 100_000)), "unsafe name"),
    "a long part of a name": (lambda: with_member(long_name(b"0/" + b"n" * 300)), "unsafe name"),
    "a deep name": (lambda: with_member(long_name(b"/".join([b"0"] * 900))), "unsafe name"),
    "a name in a name": (
        lambda: with_member(raw("././@LongLink", b"L", b"x\0") + long_name(b"y")),
        "not a regular file",
    ),
    "a chain of names": (
        lambda: with_member(raw("././@LongLink", b"L", b"x\0") * 5000),
        "not a regular file",
    ),
    "a long name of nothing": (
        lambda: archive(snapshot_entries(), end=raw("././@LongLink", b"L", b"x\0") + END),
        "not a regular file",
    ),
    "a pax name without end": (lambda: with_member(pax(path="n" * 100_000)), "not a regular file"),
    "a pax name": (lambda: with_member(pax(path="../evil")), "not a regular file"),
    "a pax size": (lambda: with_member(pax(size="0")), "not a regular file"),
    "a negative pax size": (lambda: with_member(pax(size="-512")), "not a regular file"),
    "a pax link": (lambda: with_member(pax(linkpath="/etc/passwd")), "not a regular file"),
    "a global pax header": (
        lambda: with_member(raw("././@PaxHeader", tarfile.XGLTYPE, _record("path", "x"))),
        "not a regular file",
    ),
    "endless digits in a pax header": (
        lambda: with_member(raw("x", tarfile.XHDTYPE, b"1" * 200_000)),
        "not a regular file",
    ),
    "holes as pax 1.0 has them": (lambda: with_member(pax(**_PAX_1_0)), "not a regular file"),
    "holes as pax 0.1 has them": (lambda: with_member(pax(**_PAX_0_1)), "not a regular file"),
    "holes as pax 0.0 has them": (lambda: with_member(pax(**_PAX_0_0)), "not a regular file"),
    "holes of exabytes": (
        lambda: with_member(sparse([(0, 512)], 1 << 61, 512)),
        "exceed the size limit",
    ),
    "a real size that overflows": (
        lambda: with_member(sparse([(0, 512)], 1 << 80, 512)),
        "impossible size",
    ),
    "pieces that overlap": (
        lambda: with_member(sparse([(0, 512), (256, 512)], 4096, 1024)),
        "overlap",
    ),
    "pieces out of order": (
        lambda: with_member(sparse([(1024, 512), (0, 512)], 4096, 1024)),
        "out of order",
    ),
    "a piece behind the end": (
        lambda: with_member(sparse([(4096, 512)], 4096, 512)),
        "add up to its size",
    ),
    "pieces of more than is stored": (
        lambda: with_member(sparse([(0, 1 << 40)], 1 << 40, 512)),
        "add up to its size",
    ),
    "a segment that is a hole": (
        lambda: with_member(sparse([(0, 512)], 1 << 39, 512, name="0/segments/hole.tar")),
        "exceed the size limit",
    ),
    "a hard link": (
        lambda: with_entry("0/wal/x", tarfile.LNKTYPE, link="config.json"),
        "not a regular",
    ),
    "a symbolic link": (lambda: with_entry("0/wal/x", tarfile.SYMTYPE, link="/"), "not a regular"),
    "a symbolic link in a segment": (
        lambda: in_segment(Entry(name="snapshot/files/x", kind=tarfile.SYMTYPE, link="/")),
        "not a regular",
    ),
    "a character device": (lambda: with_entry("0/wal/x", tarfile.CHRTYPE), "not a regular"),
    "a block device": (lambda: with_entry("0/wal/x", tarfile.BLKTYPE), "not a regular"),
    "a pipe": (lambda: with_entry("0/wal/x", tarfile.FIFOTYPE), "not a regular"),
    "a kind that nobody knows": (lambda: with_entry("0/wal/x", b"\xff"), "not a regular"),
    "a folder with a content": (
        lambda: with_member(raw("0/", tarfile.DIRTYPE, b"x" * 512)),
        "has content",
    ),
    "a name twice": (lambda: with_entry("config.json"), "appears twice"),
    "a name twice, once with a dot": (lambda: with_entry("./config.json"), "appears twice"),
    "a name twice in a segment": (
        lambda: in_segment(Entry(name="./snapshot/files/version.info")),
        "appears twice",
    ),
    "a file below a file": (lambda: with_entry("0/shard_config.json/x"), "inside a file"),
    "a file over a folder": (lambda: with_entry("0/segments"), "appears twice"),
    "a folder over a file": (lambda: with_entry("version.info/", tarfile.DIRTYPE), "inside a file"),
    "a negative size": (lambda: field(124, b"\xff" * 12), "instead of a number"),
    "a size with a sign": (lambda: field(124, b"-0000000777\0"), "instead of a number"),
    "a size that overflows": (lambda: field(124, b"\x80" + b"\xff" * 11), "impossible size"),
    "a size of 2^63": (lambda: field(124, b"\x80" + (1 << 63).to_bytes(11, "big")), "impossible"),
    "a size larger than the file": (lambda: field(124, b"77777777777\0"), "truncated, overwritten"),
    "a size that is no number": (lambda: field(124, b"0x10 0_0\0\0\0\0"), "instead of a number"),
    "a header of no tar": (lambda: field(257, b"\0" * 8), "not a tar"),
    "archives in archives": (
        lambda: archive(replaced(snapshot_entries(), SEGMENT, _nested(6))),
        "contains another archive",
    ),
    "an archive in a segment": (
        lambda: in_segment(Entry(name="snapshot/files/x.tar", data=_nested(3))),
        "contains another archive",
    ),
    "an archive where none belongs": (
        lambda: archive([*snapshot_entries(), Entry(name="0/x.tar", data=_nested(3))]),
        "unexpected archive",
    ),
    "a folder that is no shard": (lambda: with_entry("queries.json/x"), "is not in a shard"),
    "a shard of other digits": (lambda: with_entry("²/x"), "is not in a shard"),
    "JSON a million deep": (lambda: with_config(DEEP), "is larger"),
    "JSON of many depths": (lambda: with_config(DEEP[:1_000_000]), "nested too deeply"),
    "JSON too deep for Python": (lambda: with_config(b"[" * 100_000), "nested too deeply"),
    "JSON too deep for Qdrant": (
        lambda: with_config(b"[" * 200 + b"]" * 200),
        "nested too deeply",
    ),
    "JSON of a million values": (lambda: with_config(b"[" + b"[]," * 1_000_000), "values"),
    "JSON of a million digits": (
        lambda: with_config(b'{"params": {"shard_number": ' + b"9" * 1_000_000 + b"}}"),
        "is not JSON",
    ),
    "JSON of thousands of digits": (
        lambda: with_config(b'{"params": {"shard_number": ' + b"9" * 4300 + b"}}"),
        "says 9999",
    ),
    "JSON that commands": (
        lambda: with_config(b'{"params": {"shard_number": "\\u001b[2J\\u202e\\ud800"}}'),
        "is not JSON",
    ),
    "JSON with NaN": (
        lambda: with_config(b'{"params": {"shard_number": NaN}}'),
        "is not valid JSON",
    ),
    "JSON in UTF-16": (lambda: with_config(json.dumps({}).encode("utf-16")), "is not JSON"),
    "a shard number that is none": (
        lambda: with_config(b'{"params": {"shard_number": [{}]}}'),
        "shards, but the file contains 1",
    ),
    "gzip": (lambda: b"\x1f\x8b\x08" + bytes(2000), "compressed (gzip)"),
    "xz": (lambda: b"\xfd7zXZ\0" + bytes(2000), "compressed (xz)"),
    "zstd": (lambda: b"\x28\xb5\x2f\xfd" + bytes(2000), "compressed (zstd)"),
    "bzip2": (lambda: b"BZh91AY" + bytes(2000), "compressed (bzip2)"),
    "zip": (lambda: b"PK\x03\x04" + bytes(2000), "compressed (zip)"),
    "an empty file": (lambda: b"", "empty"),
    "nothing but an end": (lambda: END, "config.json is missing"),
}


def many(count: int, *, prefix: str) -> Iterator[bytes]:
    """Yield that many empty members of distinct names, quickly."""
    template = signed(header(f"{prefix}0000000"))
    start, base = len(prefix), int(template[_CHECKSUM][:6], 8)
    ahead, between, behind = template[:start], template[start + 7 : 148], template[156:]
    for number in range(count):
        digits = b"%07d" % number
        total = b"%06o\0 " % (base + sum(digits) - 7 * ord("0"))
        yield ahead + digits + between + total + behind


def write_million(path: Path, scale: int) -> None:
    """A million members in the file itself."""
    with path.open("wb") as file:
        file.writelines(many(1_000_000 // scale, prefix="0/wal/"))
        file.write(snapshot_bytes())


def write_million_in_segments(path: Path, scale: int) -> None:
    """A million members, no more than 100,000 in any segment."""
    count = 100_000 // scale
    with path.open("wb") as file:
        for number in range(10):
            name = f"0/segments/bomb-{number}.tar"
            file.write(signed(header(name, size=count * BLOCK + len(segment()))))
            file.writelines(many(count, prefix="snapshot/files/"))
            file.write(segment())
        file.write(snapshot_bytes())


def write_long_names(path: Path, scale: int) -> None:
    """Names of 4,000 bytes, with as many members as are allowed."""
    with path.open("wb") as file:
        for number in range(100_000 // scale):
            file.write(long_name(b"/".join([b"0", *[b"%0250d" % number] * 15])))
        file.write(snapshot_bytes())


def write_huge_json(path: Path, scale: int) -> None:
    """A config.json of a gigabyte, all of it holes but its ends."""
    size = (1 << 30) // scale
    with path.open("wb") as file:
        file.write(signed(header("config.json", size=size)))
        file.write(b'{"a": "')
        file.seek(size + BLOCK)
        file.write(snapshot_bytes())


def write_huge_json_in_a_segment(path: Path, scale: int) -> None:
    """A gigabyte of brackets in a segment's JSON that nobody needs, then its cut end."""
    inner = raw("snapshot/files/x.json", b"0", b"")
    size = (1 << 28) // scale
    with path.open("wb") as file:
        file.write(signed(header(SEGMENT, size=len(inner) + size + len(segment()))))
        file.write(signed(header("snapshot/files/x.json", size=size)))
        for _ in range(size >> 20):
            file.write(b"[" * (1 << 20))
        file.write(segment() + snapshot_bytes())


def write_many_pieces(path: Path, scale: int) -> None:
    """A sparse map of ten million pieces."""
    block = header("0/holes", tarfile.GNUTYPE_SPARSE, size=0)
    block[386:482] = (_number(0) + _number(1)) * 4
    block[482] = 1
    more = bytes((_number(0) + _number(1)) * 21 + b"\1" + bytes(7))
    with path.open("wb") as file:
        file.write(signed(block))
        for _ in range(500 // scale):
            file.write(more * 1000)
        file.write(snapshot_bytes())


# Each writes its file at full size, or at a fraction of it.
Writer = Callable[[Path, int], Any]
BOMBS: dict[str, tuple[Writer, str]] = {
    "a million members": (write_million, "members"),
    "a million members in segments": (write_million_in_segments, "members"),
    "long names": (write_long_names, "exceed the length limit"),
    "a huge JSON": (write_huge_json, "is larger than 4 MiB"),
    "a huge JSON in a segment": (write_huge_json_in_a_segment, "is not JSON"),
    "many pieces": (write_many_pieces, "too long"),
}
