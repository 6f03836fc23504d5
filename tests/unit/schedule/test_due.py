"""When repeating work is due: missed turns, failures, and clocks that jump."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from snapshot_tasks.domain.retention import Policy
from snapshot_tasks.schedule.due import LONGEST_RETRY, SLACK, Instant, Turns
from snapshot_tasks.schedule.jobs import make_jobs
from snapshot_tasks.schedule.request import Work, launcher
from snapshot_tasks.system.errors import SettingsError
from tests.conftest import ROOT

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NIGHTLY = Turns(every=DAY, start=timedelta(hours=2, minutes=15))
NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
TODAY, TOMORROW = (datetime(2026, 11, day, 2, 15, tzinfo=UTC) for day in (25, 26))


def at(wall: datetime, elapsed: float = 1000.0) -> Instant:
    """Return a moment."""
    return Instant(wall=wall, elapsed=elapsed)


@pytest.mark.parametrize(
    ("succeeded_at", "due"),
    [
        (None, NOON),
        (TODAY - MINUTE, TODAY),
        (TODAY, TOMORROW),
        (TODAY + MINUTE, TOMORROW),
        (NOON + 400 * DAY, TOMORROW),
        (datetime.max.replace(tzinfo=UTC), TOMORROW),
    ],
)
def test_after_a_start(succeeded_at: datetime | None, due: datetime) -> None:
    """At once what never succeeded or missed a turn; else the next turn, never later than that."""
    assert NIGHTLY.first_due(succeeded_at, at(NOON)).wall == due


def test_many_missed_turns_are_one() -> None:
    """After a month it runs at once, and then at its next turn."""
    first = NIGHTLY.first_due(NOON - 30 * DAY, at(NOON))
    assert first.has_come(at(NOON))
    assert NIGHTLY.next_due(0, at(NOON + HOUR)).wall == TOMORROW


def test_turns_are_those_of_the_calendar() -> None:
    """A week starts on Sunday, as in the printed schedules."""
    weekly = Turns(every=7 * DAY, start=timedelta(hours=3, minutes=15))
    assert weekly.after(NOON) == datetime(2026, 11, 29, 3, 15, tzinfo=UTC)
    assert weekly.after(NOON).strftime("%a") == "Sun"
    assert Turns(every=MINUTE, start=timedelta(hours=2)).after(NOON) == NOON + MINUTE


def test_a_failure_is_tried_again_after_a_wait_that_is_bounded() -> None:
    """5 minutes, 10, 20 … up to six hours, and never later than the next turn."""
    weekly = Turns(every=7 * DAY, start=timedelta(0))
    waits = [weekly.next_due(failures, at(NOON)).wall - NOON for failures in range(1, 2000)]
    assert waits[:4] == [5 * MINUTE, 10 * MINUTE, 20 * MINUTE, 40 * MINUTE]
    assert set(waits[8:]) == {LONGEST_RETRY}
    often = Turns(every=MINUTE, start=timedelta(0))
    assert often.next_due(7, at(NOON)).wall == NOON + MINUTE


def test_a_clock_that_is_set_back_neither_stalls_nor_repeats() -> None:
    """It still runs after the time that it would have waited, once."""
    due = NIGHTLY.next_due(0, at(NOON))
    wait = (TOMORROW - NOON).total_seconds()
    back = NOON - 365 * DAY
    assert not due.has_come(at(back, 1000 + wait - 1))
    late = at(back, 1000 + wait + SLACK.total_seconds())
    assert due.has_come(late)
    assert not NIGHTLY.next_due(0, late).has_come(late)


def test_a_small_correction_does_not_run_it_twice() -> None:
    """Set back by a second, it still runs at its turn, not a second before and then again."""
    due = NIGHTLY.next_due(0, at(NOON))
    wait = (TOMORROW - NOON).total_seconds()
    assert not due.has_come(at(TOMORROW - timedelta(seconds=1), 1000 + wait))
    assert due.has_come(at(TOMORROW, 1001 + wait))


def test_a_clock_that_is_set_forward_runs_it_once() -> None:
    """A year ahead, one run is due, and the next one only at the next turn."""
    due = NIGHTLY.next_due(0, at(NOON))
    ahead = at(NOON + 365 * DAY, 1010)
    assert due.has_come(ahead)
    assert due.seconds_left(ahead) == 0
    assert NIGHTLY.next_due(0, ahead).seconds_left(ahead) > 0


def work(*, push: bool) -> Work:
    """Return the work of a project that keeps the last three."""
    return Work(command=launcher(ROOT), all=True, retention=Policy(keep_last=3), push=push)


def test_it_is_what_a_schedule_runs() -> None:
    """The same tasks with the same flags; the drill an hour after a snapshot."""
    jobs = make_jobs(work(push=True), every=DAY, drill_every=7 * DAY, at="02:15")
    assert [job.words for job in jobs] == [
        ("snapshot.create", "--all", "--prune"),
        ("snapshot.push", "--all", "--prune"),
        ("snapshot.test-restore", "--all"),
        ("snapshot.check", "--all", "--max-age", "26h", "--max-proof-age", "8d"),
    ]
    assert [f"{job.turns.after(NOON):%a %H:%M}" for job in jobs] == [
        "Thu 02:15",
        "Thu 02:15",
        "Sun 03:15",
        "Thu 02:15",
    ]
    assert sum((job.words for job in jobs[:2]), ()) == work(push=True).create_tasks
    few = make_jobs(work(push=False), every=MINUTE, drill_every=MINUTE, at="00:00")
    few_tasks = ["snapshot.create", "snapshot.test-restore", "snapshot.check"]
    assert [job.task for job in few] == few_tasks


@pytest.mark.parametrize("seconds", [1, 59, 90])
def test_a_span_has_whole_minutes(seconds: int) -> None:
    """The shortest is a minute."""
    with pytest.raises(SettingsError, match=r"--every is .*s, which is not"):
        make_jobs(work(push=False), every=timedelta(seconds=seconds), drill_every=DAY, at="02:15")
