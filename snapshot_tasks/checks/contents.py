"""Do the contents match the seal, and do they look plausible?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from snapshot_tasks.domain.findings import Concern, Finding, Status
from snapshot_tasks.domain.fingerprint import PAYLOAD_NAME, Fingerprint, Name, Sealed
from snapshot_tasks.domain.shards import ShardFacts

MAX_DROP_SHARE = 0.1
# A share of the points that no collection in use would have without a good vector.
MOST_SHARE = 0.5
# Updates may delete points, but rarely half of a collection.
LEAST_SHARE = 0.5


def check_contents(sealed: Sealed, found: Fingerprint, *, of_file: bool = False) -> Finding:
    """Every point has the id, payload and vectors that were sealed, bit for bit.

    With `of_file`, nothing was sealed, and they are those of the file as it is.
    """
    if sealed.digest == found.digest:
        with_file = " with the file's" if of_file else ""
        message = (
            f"{found.points_count:,} points identical{with_file}, fingerprint {found.digest[:16]}"
        )
        return Finding(check="contents", status=Status.OK, message=message)
    parts = [
        f"{describe(difference.name)} differs in {len(difference.buckets):,} of 4,096 buckets"
        for difference in (sealed.buckets.differences(found) if sealed.buckets else ())
    ]
    where = "; ".join(parts) or "the location is unknown, because the sealed buckets are missing"
    was = "the file has" if of_file else "sealed"
    message = f"{was} {sealed.points_count:,} points, found {found.points_count:,}: {where}"
    return Finding(check="contents", status=Status.FAIL, message=message, concern=Concern.POINTS)


def check_shards(
    sealed: Iterable[ShardFacts], found: Mapping[str, Fingerprint]
) -> Iterator[Finding]:
    """Each shard has the points that were sealed in it; the total is the same if two are swapped.

    Nothing is compared with shards that were not sealed one by one, or not read so.
    """
    for shard in sealed if found else ():
        one = found.get(str(shard.id))
        if shard.digest and (one is None or one.digest != shard.digest):
            message = f"shard {shard.id} has other points than were sealed in it"
            yield Finding(
                check="contents", status=Status.FAIL, message=message, concern=Concern.POINTS
            )


def check_with_pending(file: Sealed, found: Fingerprint, pending_count: int) -> Finding:
    """What fits of a file whose log has operations that only a server applies.

    They may add, change and delete points, so a difference is no damage unless most are missing.
    """
    if file.digest == found.digest:
        return check_contents(file, found, of_file=True)
    lost = found.points_count < file.points_count * LEAST_SHARE
    message = (
        f"could not be compared with the file in full, because {pending_count:,} operations are"
        f" still in its log: its segments have {file.points_count:,} points, {found.points_count:,}"
        " were restored"
    )
    return Finding(check="contents", status=Status.FAIL if lost else Status.WARN, message=message)


def describe(name: Name) -> str:
    """Return a component in words."""
    kind, text = name
    if name == PAYLOAD_NAME:
        return kind
    return f"{kind} {text}" if text else f"the unnamed {kind}"


def check_sanity(
    sanity: Mapping[str, Any],
    points_count: int,
    previous: Mapping[str, Any] | None,
    previous_count: int | None,
    *,
    max_drop: float = MAX_DROP_SHARE,
    has_vectors: bool = True,
) -> Iterator[Finding]:
    """Warn about anything suspicious, mostly compared with the collection's previous snapshot.

    A collection may be without any vectors (`has_vectors`): then no point lacks one.

    That one may be just as bad, so it is told every time if most vectors are zeros or NaN.
    """
    before: Mapping[str, Any] = previous or {}
    for key, words in (("zero_vectors", "are all zeros"), ("nan_vectors", "contain NaN")):
        for name, count in sanity[key].items():
            # What was as bad before is no news, unless most vectors are: that is never right.
            most = count >= points_count * MOST_SHARE
            if count and (most or count > before.get(key, {}).get(name, 0)):
                yield _warn(f"{count:,} vectors ({name or 'unnamed'}) {words}")
    if has_vectors and sanity["without_vector"] > before.get("without_vector", 0):
        yield _warn(f"{sanity['without_vector']:,} points have no vector")
    gone = sorted(set(before.get("payload_keys", {})) - set(sanity["payload_keys"]))
    if gone:
        yield _warn(f"payload keys missing since the previous snapshot: {', '.join(gone)}")
    if previous_count and points_count < previous_count * (1 - max_drop):
        yield _warn(f"{points_count:,} points; the previous snapshot had {previous_count:,}")


def _warn(message: str) -> Finding:
    return Finding(check="sanity", status=Status.WARN, message=message)
