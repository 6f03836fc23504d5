"""Run the tasks of a schedule when they are due, one after the other, for as long as it lives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NoReturn

from snapshot_tasks.schedule.due import Due, Instant
from snapshot_tasks.schedule.jobs import Job

# A clock that is set forward, or a machine that slept, is noticed after this long.
LOOK_SECONDS = 10.0


@dataclass(kw_only=True)
class Round:
    """Where one job stands: when it is due, and how often it has failed in a row."""

    job: Job
    due: Due
    failures: int = field(default=0)


def keep(
    jobs: Sequence[Job],
    succeeded: Mapping[str, datetime | None],
    *,
    clock: Callable[[], Instant],
    wait: Callable[[float], None],
    perform: Callable[[Job], bool],
    planned: Callable[[Round], None],
) -> NoReturn:
    """Run each job when it is due, until an interruption is raised.

    `succeeded` says when each task last succeeded, so that what was missed is made up for.
    `perform` returns whether a job succeeded; `planned` hears of each new due time.
    """
    now = clock()
    rounds = [Round(job=j, due=j.turns.first_due(succeeded.get(j.task), now)) for j in jobs]
    for one in rounds:
        planned(one)
    while True:
        for one in rounds:
            if one.due.has_come(clock()):
                one.failures = 0 if perform(one.job) else one.failures + 1
                one.due = one.job.turns.next_due(one.failures, clock())
                planned(one)
        now = clock()
        wait(min(LOOK_SECONDS, *(one.due.seconds_left(now) for one in rounds)))
