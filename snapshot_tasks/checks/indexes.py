"""Do filters on payload indexes find the points that the payloads say? Pure judgements.

An index can lose its contents while the points stay whole: unfiltered reads show them, but filters,
facets and deletions by filter miss them, and nothing logs it. Users of Qdrant 1.16 to 1.19 meet it
on running servers (qdrant issues 10302, 9373, 8723; pull requests 9737 and 9424). So there are
three answers for each filter: the file's payloads, the source when the snapshot was taken, and the
restored collection.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from snapshot_tasks.domain.findings import Concern, Finding, fail, ok, warn
from snapshot_tasks.domain.index_counts import IndexCount

CHECK = "payload indexes"
# The check of one index is this and the name of its field.
PREFIX = "payload index "
REINDEX = "Restore it with `--reindex`, which makes the index anew from the payloads."


def judge_restored(counts: Sequence[IndexCount], found: Sequence[int | None]) -> Iterator[Finding]:
    """Compare what a restored collection finds with the file's payloads and with the source.

    What the payloads say is right, whatever the source said. What differs from both is damage. What
    equals only the source was already wrong there.
    """
    asked = [(count, n) for count, n in zip(counts, found, strict=True) if n is not None]
    compared = [(c, n) for c, n in asked if c.expected is not None]
    wrong = [(c, n) for c, n in compared if c.differs(c.expected, n)]
    for field, group in by_field(wrong):
        yield _judged(field, group)
    if not compared:
        yield ok(CHECK, "not compared, because exact counts are refused or nothing is certain")
    elif not wrong:
        yield ok(CHECK, f"{len(compared):,} filters and sizes are as the payloads say")


def wrong_on_source(counts: Iterable[IndexCount], collection: str) -> Iterator[Finding]:
    """Yield a warning for each index that misses points on the source, and how to mend it."""
    wrong = [(c, c.source) for c in counts if c.is_wrong and c.source is not None]
    for field, group in by_field(wrong):
        worst, n = worst_of(group)
        message = (
            f"the live index finds {n:,} of {worst.file:,} points for {worst.words}; "
            "the points themselves are whole"
        )
        yield warn(f"{PREFIX}{field}", message, mend(collection, field))


def judge_sample(
    counts: Sequence[IndexCount], found: Sequence[int | None], size: int, collection: str
) -> Iterator[Finding]:
    """Compare what a live collection finds among a sample of points with their payloads."""
    pairs = zip(counts, found, strict=True)
    wrong = [(c, n) for c, n in pairs if n is not None and c.differs(c.file, n)]
    for field, group in by_field(wrong):
        worst, n = worst_of(group)
        message = (
            f"of {size:,} random points, the index finds {n:,} of {worst.file:,} for {worst.words}"
        )
        yield fail(f"{PREFIX}{field}", message, mend(collection, field))


def wrong_fields(findings: Iterable[Finding]) -> tuple[str, ...]:
    """Return the fields whose indexes find too little in a restored collection."""
    return tuple(f.check.removeprefix(PREFIX) for f in findings if f.check.startswith(PREFIX))


def made_anew(field: str) -> Finding:
    """Return the warning that an index is not the one of the snapshot."""
    message = "made anew from the payloads, because the index in the snapshot finds too little"
    return warn(f"{PREFIX}{field}", message, "Take a new snapshot of the restored collection.")


def mend(collection: str, field: str) -> str:
    """Return the remedy for an index that misses points."""
    return (
        f"Delete the index {field} of {collection} and create it again "
        "(DELETE and PUT /collections/…/index); the points are whole."
    )


def _judged(field: str, group: Sequence[tuple[IndexCount, int]]) -> Finding:
    damaged = [(c, n) for c, n in group if n != c.source and not _is_excused(c, n)]
    worst, n = worst_of(damaged or group)
    message = f"finds {n:,} of {worst.expected:,} points for {worst.words}"
    check = f"{PREFIX}{field}"
    if damaged:
        return fail(check, message, REINDEX, Concern.INDEXES)
    return warn(check, f"{message}, as on the source: its index was wrong already", REINDEX)


def _is_excused(count: IndexCount, found: int) -> bool:
    """Return whether the source's index was at least as far from the payloads.

    A source that was being written to cannot say what its index found at the very moment.
    """
    if not count.is_wrong or count.file is None or count.source is None:
        return False
    return abs(count.file - found) <= abs(count.file - count.source)


def by_field(
    pairs: Iterable[tuple[IndexCount, int]],
) -> Iterator[tuple[str, list[tuple[IndexCount, int]]]]:
    """Yield each field with its counts and what was found."""
    for field, group in groupby(pairs, key=lambda pair: pair[0].field):
        yield field, list(group)


def worst_of(group: Sequence[tuple[IndexCount, int]]) -> tuple[IndexCount, int]:
    """Return the count that misses most, a filter rather than a size."""

    def missing(pair: tuple[IndexCount, int]) -> tuple[bool, int]:
        count, n = pair
        return bool(count.condition), abs((count.expected or 0) - n)

    return max(group, key=missing)
