"""What fits of contents that could not be compared in full."""

from __future__ import annotations

from typing import Any

import pytest

from snapshot_tasks.checks.contents import check_sanity, check_with_pending
from snapshot_tasks.domain.findings import Status
from snapshot_tasks.domain.fingerprint import PAYLOAD_NAME, Accumulator, Fingerprint, Sealed


def points(count: int) -> Fingerprint:
    """Return the fingerprint of that many points."""
    total = Accumulator()
    for number in range(count):
        total.add(number, [(PAYLOAD_NAME, b"{}")])
    return total.result()


@pytest.mark.parametrize(
    ("restored", "status"),
    [(100, Status.OK), (99, Status.WARN), (120, Status.WARN), (49, Status.FAIL), (0, Status.FAIL)],
)
def test_queued_updates_excuse_no_great_loss(restored: int, status: Status) -> None:
    """Updates in the log may add and delete points, but rarely half of them."""
    file = points(100)
    sealed = Sealed(digest=file.digest, points_count=100, buckets=file)
    found = check_with_pending(sealed, points(restored), 3)
    assert found.status is status
    assert ("in full" in found.message) == (status is not Status.OK)


def sanity(**counts: int) -> dict[str, Any]:
    """Return counts of one unnamed vector."""
    zero, nan = counts.get("zero", 0), counts.get("nan", 0)
    return {
        "zero_vectors": {"": zero} if zero else {},
        "nan_vectors": {"": nan} if nan else {},
        "without_vector": counts.get("without", 0),
        "payload_keys": {},
    }


@pytest.mark.parametrize("kind", ["zero", "nan"])
@pytest.mark.parametrize(("count", "told"), [(50, True), (25, True), (24, False), (0, False)])
def test_most_vectors_are_told_even_if_they_were_as_bad_before(
    kind: str, count: int, told: bool
) -> None:
    """The previous snapshot of a broken collection is no measure; a few old zeros are no news."""
    counts = sanity(**{kind: count})
    found = list(check_sanity(counts, 50, counts, 50))
    assert bool(found) == told
    assert bool(list(check_sanity(counts, 50, None, None))) == bool(count)


@pytest.mark.parametrize("has_vectors", [True, False])
def test_points_lack_a_vector_only_where_the_collection_has_some(has_vectors: bool) -> None:
    """Payloads without any vectors are a good collection, and `--strict` accepts it."""
    counts = sanity(without=50)
    assert bool(list(check_sanity(counts, 50, None, None, has_vectors=has_vectors))) == has_vectors
