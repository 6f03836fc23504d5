"""The minutes of the week when something runs, in forms that cron, systemd and GitHub share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from snapshot_tasks.system.errors import SettingsError
from snapshot_tasks.system.spans import format_span

MINUTE, HOUR, DAY, WEEK = (
    timedelta(minutes=1),
    timedelta(hours=1),
    timedelta(days=1),
    timedelta(weeks=1),
)
SHORTEST = 5 * MINUTE  # the shortest on GitHub; a drill must fit between two snapshots
WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
POSSIBLE = "5, 6, 10, 12, 15, 20 or 30min, 1, 2, 3, 4, 6, 8, 12 or 24h, or 7d"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """Minutes and hours that repeat every day, or on one day of the week."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    weekday: str | None = None

    @property
    def cron(self) -> str:
        """The five fields of a crontab."""
        day = "*" if self.weekday is None else str(WEEKDAYS.index(self.weekday))
        return f"{_listed(self.minutes)} {_hours(self, '')} * * {day}"

    @property
    def systemd(self) -> str:
        """The value for `OnCalendar=`, in UTC whatever the time zone of the machine."""
        day = f"{self.weekday} " if self.weekday else ""
        return f"{day}*-*-* {_hours(self, '02')}:{_listed(self.minutes, '02')}:00 UTC"


def calendar(every: timedelta, start: timedelta, *, flag: str) -> Calendar:
    """Return a calendar that repeats after `every` and includes `start` after Sunday 00:00.

    This works only for spans that divide an hour, a day or a week evenly: `*/5` hours in a crontab
    means 0, 5, 10, 15, 20, and then 0 again after only 4 hours.

    Raises:
        SettingsError: for any other span.
    """
    minute, hour = start // MINUTE % 60, start // HOUR % 24
    if every == WEEK:
        weekday = WEEKDAYS[start // DAY % 7]
        return Calendar(minutes=(minute,), hours=(hour,), weekday=weekday)
    if SHORTEST <= every < HOUR and HOUR % every == timedelta(0) == every % MINUTE:
        step = every // MINUTE
        return Calendar(minutes=tuple(range(minute % step, 60, step)), hours=())
    if HOUR <= every <= DAY and DAY % every == timedelta(0) == every % HOUR:
        step = every // HOUR
        return Calendar(minutes=(minute,), hours=tuple(range(hour % step, 24, step)))
    raise SettingsError(
        f"{flag} is {format_span(every)}, which does not repeat evenly on a calendar.",
        hint=f"Use {POSSIBLE}.",
    )


def time_of_day(text: str) -> timedelta:
    """Return a time such as 02:15. Raises `SettingsError` if it is not one."""
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", text):
        raise SettingsError(
            f"--at {text!r} is not valid.", hint="Use a time of day such as 02:15, in UTC."
        )
    hours, minutes = text.split(":")
    return timedelta(hours=int(hours), minutes=int(minutes))


def _hours(of: Calendar, width: str) -> str:
    every = not of.hours or len(of.hours) == 24
    return "*" if every else _listed(of.hours, width)


def _listed(numbers: tuple[int, ...], width: str = "") -> str:
    return ",".join(f"{number:{width}}" for number in numbers)
