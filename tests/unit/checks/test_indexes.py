"""Three answers for each filter: the file's payloads, the source, the restored collection."""

from __future__ import annotations

import pytest

from snapshot_tasks.checks.indexes import CHECK, judge_restored, wrong_on_source
from snapshot_tasks.domain.index_counts import IndexCount


@pytest.mark.parametrize(
    ("file", "source", "restored", "status"),
    [
        (10, 10, 10, "OK"),
        (10, 0, 10, "OK"),
        (10, None, 10, "OK"),
        (10, 0, 0, "WARN"),
        (10, 10, 0, "FAIL"),
        (10, 5, 0, "FAIL"),
        (10, None, 0, "FAIL"),
        (10, 10, 11, "FAIL"),
        (None, 7, 7, "OK"),
        (None, 7, 6, "FAIL"),
        (None, None, 6, "OK"),
        (10, 10, None, "OK"),
    ],
)
def test_the_payloads_decide_and_the_source_excuses(
    file: int | None, source: int | None, restored: int | None, status: str
) -> None:
    """What differs from both is damage; what equals only the source was wrong there."""
    count = IndexCount(
        field="lang", condition={"is_empty": {"key": "lang"}}, file=file, source=source
    )
    [finding] = judge_restored([count], [restored])
    assert finding.status.value == status
    assert finding.check == (CHECK if status == "OK" else "payload index lang")


@pytest.mark.parametrize(("found", "status"), [(3, "WARN"), (4, "WARN"), (2, "FAIL")])
def test_an_index_that_was_wrong_on_the_source_excuses_no_further_loss(
    found: int, status: str
) -> None:
    """A source that was written to meanwhile may have found one more or less."""
    condition = {"is_empty": {"key": "lang"}}
    count = IndexCount(field="lang", condition=condition, file=10, source=3, is_wrong=True)
    [finding] = judge_restored([count], [found])
    assert finding.status.value == status


def test_each_lying_index_is_named_once_with_the_worst_of_its_answers() -> None:
    """A filter is more telling than the size."""
    counts = [
        IndexCount(field="lang", condition={}, file=90, source=0, is_wrong=True),
        IndexCount(
            field="lang", condition={"match": {"value": "id"}}, file=30, source=1, is_wrong=True
        ),
        IndexCount(field="other", condition={}, file=90, source=90),
    ]
    [finding] = wrong_on_source(counts, "docs")
    assert "1 of 30 points" in finding.message
    assert "index lang of docs" in finding.remedy
