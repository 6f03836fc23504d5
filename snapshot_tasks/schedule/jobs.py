"""The work of a schedule as single tasks with their turns, for a process that runs them itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from snapshot_tasks.schedule.calendar import MINUTE, time_of_day
from snapshot_tasks.schedule.due import Turns
from snapshot_tasks.schedule.request import Work, drill_delay
from snapshot_tasks.system.errors import SettingsError
from snapshot_tasks.system.spans import format_span


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One task: its full name, the arguments that run it, and its turns."""

    task: str
    words: tuple[str, ...]
    turns: Turns


def make_jobs(work: Work, *, every: timedelta, drill_every: timedelta, at: str) -> tuple[Job, ...]:
    """Return the tasks in the order in which they run if several are due.

    Unlike in a crontab, a copy off-site does not depend on the new snapshot: it copies what is
    missing, and one that fails is tried again without another snapshot.

    Raises:
        SettingsError: for a wrong time or span.
    """
    _check(every, flag="--every")
    _check(drill_every, flag="--drill-every")
    start = time_of_day(at)
    takes = Turns(every=every, start=start)
    drills = Turns(every=drill_every, start=start + drill_delay(every))
    jobs = (
        Job(task="snapshot.create", words=work.create_task, turns=takes),
        Job(task="snapshot.push", words=work.push_tasks, turns=takes),
        Job(task="snapshot.test-restore", words=work.drill_tasks, turns=drills),
        # Last, so that it judges what the others have just done.
        Job(
            task="snapshot.check",
            words=work.check_tasks(every=every, drill_every=drill_every),
            turns=takes,
        ),
    )
    return tuple(job for job in jobs if job.words)


def _check(span: timedelta, *, flag: str) -> None:
    if span < MINUTE or span % MINUTE:
        raise SettingsError(
            f"{flag} is {format_span(span)}, which is not a number of whole minutes.",
            hint="Use a duration such as 30min, 6h, 24h or 7d.",
        )
