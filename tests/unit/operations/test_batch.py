"""A failed item does not stop the others; every failure is reported, in order."""

from __future__ import annotations

import pytest

from snapshot_tasks.operations.batch import Batch, for_each
from snapshot_tasks.system.errors import Damaged, Interrupted, NotFound, TaskError


def take(name: str) -> str:
    """Fail for some names, as a task does."""
    if name == "damaged":
        raise Damaged("Cut.", hint="Take a new one.")
    if name == "missing":
        raise NotFound("Gone.", hint="Look.")
    if name == "interrupted":
        raise Interrupted("Interrupted.", hint="Run it again.")
    return name.upper()


def test_it_goes_on_past_failures() -> None:
    """Both the results and the failures keep the order of the items."""
    batch = for_each(["a", "damaged", "b", "missing"], take, name=str)
    assert batch.results == ("A", "B")
    assert [failure.name for failure in batch.failures] == ["damaged", "missing"]
    assert str(batch.error) == "damaged: Cut. missing: Gone."


def test_an_interruption_ends_it() -> None:
    """A user who stops a task does not mean to stop only one of its snapshots."""
    with pytest.raises(Interrupted):
        for_each(["a", "interrupted", "b"], take, name=str)


def test_a_bug_is_a_failure_among_others() -> None:
    """What nobody foresaw is exit code 1 and keeps its traceback, and the others are done."""
    batch = for_each([0, 1], lambda number: 1 / number, name=str)
    assert batch.results == (1.0,)
    assert batch.error is not None
    assert (batch.error.exit_code, batch.error.kind) == (1, "bug")
    assert [type(bug) for bug in batch.error.bugs] == [ZeroDivisionError]


def test_a_bug_after_another_failure_is_told_with_it() -> None:
    """The first failure decides how it ends, and the traceback of the bug is not lost."""
    batch = for_each(["damaged", "a", ""], lambda name: take(name)[0], name=repr)
    assert batch.results == ("A",)
    assert batch.error is not None
    assert batch.error.exit_code == 20
    assert [type(bug) for bug in batch.error.bugs] == [IndexError]


def test_a_result_may_hold_an_error() -> None:
    """Such a result is kept with its findings, and also counts as a failure."""

    def error_of(result: str) -> TaskError | None:
        return Damaged("It differs.", hint="Look.") if result == "B" else None

    batch = for_each(["a", "b"], take, name=str, error_of=error_of)
    assert batch.results == ("A", "B")
    assert [(failure.name, str(failure.error)) for failure in batch.failures] == [
        ("b", "It differs.")
    ]


def test_nothing_to_do_is_no_error() -> None:
    """An empty batch succeeded."""
    empty: Batch[str] = Batch()
    assert (empty.results, empty.error) == ((), None)
