"""Asks a server what filters on its payload indexes find, and compares it with the payloads."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

from snapshot_tasks.checks.indexes import CHECK, PREFIX, REINDEX, judge_restored, judge_sample
from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.domain.findings import Concern, Finding, fail, failed, ok
from snapshot_tasks.domain.index_counts import FieldCounter, IndexCount, IndexCounter
from snapshot_tasks.qdrant.indexes import PayloadIndexes
from snapshot_tasks.system.errors import ServerFailure
from snapshot_tasks.system.progress import Progress

# Each must agree: a source that is being written to changes between two looks.
LOOKS = 2


def check_restored_indexes(
    counts: Sequence[IndexCount], endpoint: Endpoint, collection: str, *, same_version: bool
) -> Iterator[Finding]:
    """Ask a restored collection for each count, and judge what it finds.

    What only the source's index knows is not asked of another version, which may index differently.
    """
    counts = [count for count in counts if same_version or count.file is not None]
    try:
        with closing(PayloadIndexes(endpoint, collection)) as indexes:
            found = indexes.found(counts)
    except ServerFailure as error:
        yield fail(CHECK, f"the server fails to count: {error.message}", REINDEX, Concern.INDEXES)
        return
    yield from judge_restored(counts, found)


def ask_source(
    indexes: PayloadIndexes, counts: Sequence[IndexCount], progress: Progress, *, moved: bool
) -> tuple[IndexCount, ...]:
    """Return the counts with what the live collection finds.

    If an index contradicts the payloads in the file, the live payloads are read as well, twice: so
    an index that misses points is told from a source that is being written to.
    """
    try:
        found = indexes.found(counts)
    except ServerFailure as error:
        progress.note(f"Qdrant failed to count on its payload indexes: {error.message}")
        return tuple(counts)
    asked = tuple(replace(c, source=n) for c, n in zip(counts, found, strict=True))
    suspects = {c.field for c in asked if _contradicts(c)}
    if suspects:
        schema = indexes.schema()
        for field in sorted(suspects & schema.keys()):
            with progress.phase(f"comparing the payload index {field} with every live payload"):
                asked = _confirmed(indexes, field, schema[field], asked)
    return tuple(_settled(count, moved=moved) for count in asked)


def check_live_sample(indexes: PayloadIndexes, collection: str) -> Iterator[Finding]:
    """Filters find those of 1,000 random points that they must, by the points' own payloads.

    A point may be changed between two requests, so an index must be wrong at every look.
    """
    suspects = set(indexes.schema())
    if not suspects:
        yield ok(CHECK, f"{collection} has none")
        return
    for _ in range(LOOKS):
        findings = tuple(_look_at_sample(indexes, collection, suspects))
        suspects &= {finding.check.removeprefix(PREFIX) for finding in failed(findings)}
        if not suspects:
            yield ok(CHECK, f"those of {collection} find what the payloads of random points say")
            return
    yield from findings


def _look_at_sample(
    indexes: PayloadIndexes, collection: str, fields: Collection[str]
) -> Iterator[Finding]:
    schema = {field: index for field, index in indexes.schema().items() if field in fields}
    sample, counter = indexes.sample(), IndexCounter(schema)
    for payload in sample.values():
        counter.take(payload)
    counts = [c for c in counter.counts() if c.condition and c.file is not None]
    found = indexes.found(counts, among=list(sample))
    yield from judge_sample(counts, found, len(sample), collection)


def _confirmed(
    indexes: PayloadIndexes, field: str, index: Mapping[str, Any], asked: tuple[IndexCount, ...]
) -> tuple[IndexCount, ...]:
    """Mark the field's counts that live payloads contradict at every look."""
    own = [count for count in asked if count.field == field]
    wrong = {str(count.condition) for count in own if _contradicts(count)}
    for _ in range(LOOKS):
        counter = FieldCounter(field, index)
        for payload in indexes.payloads(field):
            counter.take(payload)
        live = {str(count.condition): count.file for count in counter.counts()}
        for count, n in zip(own, indexes.found(own), strict=True):
            if n is None or not _is_wrong(count, live.get(str(count.condition)), n):
                wrong.discard(str(count.condition))
    return tuple(
        replace(c, is_wrong=str(c.condition) in wrong) if c.field == field else c for c in asked
    )


def _is_wrong(count: IndexCount, live: int | None, found: int) -> bool:
    """Return whether an index is further from the payloads than the source's changes explain."""
    if live is None or count.file is None or not count.differs(live, found):
        return False
    return abs(live - found) > 2 * abs(live - count.file)


def _settled(count: IndexCount, *, moved: bool) -> IndexCount:
    """Forget the answer of a source that was changing: a restore cannot be compared with it."""
    if count.is_wrong:
        return count
    return replace(count, source=None) if moved or _contradicts(count) else count


def _contradicts(count: IndexCount) -> bool:
    return count.source is not None and count.differs(count.file, count.source)
