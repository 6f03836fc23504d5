"""Faults in every kind of file of a snapshot: each range of it zeroed, randomised or dropped.

The listed faults damage what is known to matter. These damage whatever a version of Qdrant writes,
so that nothing is overlooked. Much of it does not matter: what is preallocated, or what Qdrant
repairs when it loads the file. So a check must catch each, or the collection must be restored
exactly as without the damage.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from snapshot_tasks.selftest.copies import Copy, Fault
from snapshot_tasks.selftest.rewrite import (
    Member,
    overwrite,
    read_at,
    read_logical,
    read_members,
)

ARCHIVE = ".tar"
SHARD = "SHARD"
PAGE = 4096
# A file with fewer bytes is only damaged as a whole.
HALVES_BYTES = 64
# A hole is only filled if that does not make the file much larger.
MAX_HOLE_BYTES = 1 << 20
ZEROED, RANDOMISED, DROPPED = "zeroed", "randomised", "dropped"
# What differs between two snapshots with the same kinds of files.
_NAMES = (
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "SEGMENT"),
    (re.compile(r"^\d+(?=/|$)"), SHARD),
    (re.compile(r"(\.tar/snapshot)?/files/"), "/"),
    (re.compile(r"payload_index/[0-9a-z]{20,}-"), "payload_index/"),
    (re.compile(r"wal/(open|closed)-\d+"), r"wal/\1-N"),
    (re.compile(r"(chunk|page)_\d+"), r"\1_N"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Range:
    """A part of a member, in bytes of what it stores."""

    words: str
    start: int
    end: int


def member_faults(file: Path) -> Iterator[Fault]:
    """Yield the faults of one member of each kind: that of the segment or shard with most data."""
    members = read_members(file)
    of_kind: dict[str, Member] = {}
    for member in sorted(members, key=lambda member: _weight(member, members), reverse=True):
        of_kind.setdefault(kind_of(member.name), member)
    for kind in sorted(of_kind):
        member = of_kind[kind]
        if member.size == 0 and kind.endswith("/"):
            continue
        yield from _faults_of(kind, member, file)


def kind_of(name: str) -> str:
    """Return a member's name without numbers and ids, so that it means the same everywhere."""
    for pattern, word in _NAMES:
        name = pattern.sub(word, name)
    return name


def _weight(member: Member, members: tuple[Member, ...]) -> tuple[int, int]:
    """Return what makes a member the one to damage: the size of its segment, then its own."""
    archive, found, _ = member.name.partition(f"{ARCHIVE}/")
    around = [m.stored_bytes for m in members if found and m.name == archive + ARCHIVE]
    return (around[0] if around else 0, member.stored_bytes)


def _faults_of(kind: str, member: Member, file: Path) -> Iterator[Fault]:
    yield Fault(f"{kind}: dropped", lambda copy: copy.rewrite({member.name: None}), by_member=True)
    if kind == SHARD or kind.endswith(ARCHIVE) or not (member.stored_bytes or member.size) > 0:
        return
    if not member.stored_bytes:
        if member.size <= MAX_HOLE_BYTES:
            hole = _Range(words="whole", start=0, end=member.size)
            yield _fault(kind, member, hole, RANDOMISED)
        return
    for part in _ranges(member.stored_bytes):
        if any(read_at(file, member.data + part.start, part.end - part.start)):
            yield _fault(kind, member, part, ZEROED)
        yield _fault(kind, member, part, RANDOMISED)
        if part.words != "whole" and not member.is_sparse:
            yield _fault(kind, member, part, DROPPED)


def _ranges(size: int) -> Iterator[_Range]:
    yield _Range(words="whole", start=0, end=size)
    if size >= HALVES_BYTES:
        yield _Range(words="first half", start=0, end=size // 2)
        yield _Range(words="second half", start=size // 2, end=size)
    if size >= 3 * PAGE:
        middle = size // 2 // PAGE * PAGE
        yield _Range(words="middle page", start=middle, end=middle + PAGE)


def _fault(kind: str, member: Member, part: _Range, manner: str) -> Fault:
    name = f"{kind}: {part.words} {manner}"
    size = part.end - part.start

    def apply(copy: Copy) -> None:
        if manner == DROPPED:
            content = read_at(copy.file, member.data, member.stored_bytes)
            copy.rewrite({member.name: content[: part.start] + content[part.end :]})
            return
        # The same damage in each run.
        noise = random.Random(name).randbytes(size)  # noqa: S311
        damage = bytes(size) if manner == ZEROED else noise
        if member.stored_bytes:
            overwrite(copy.file, member.data + part.start, damage)
        else:
            content = read_logical(copy.file, member)
            copy.rewrite({member.name: damage + content[size:]})

    return Fault(name, apply, by_member=True)
