"""What fits of contents that could not be compared in full."""

from __future__ import annotations

import pytest

from snapshot_tasks.checks.contents import check_with_pending
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
