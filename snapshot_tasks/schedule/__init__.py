"""Pure: schedules that take snapshots and prove them, as cron, systemd and GitHub read them.

Nothing here looks at the machine: a request goes in, the text of files comes out.
"""

from __future__ import annotations

from collections.abc import Callable

from snapshot_tasks.schedule.cron import crontab
from snapshot_tasks.schedule.github import workflow
from snapshot_tasks.schedule.request import Request, Schedule
from snapshot_tasks.schedule.systemd import units

FORMATS: dict[str, Callable[[Request], Schedule]] = {
    "cron": crontab,
    "systemd": units,
    "github": workflow,
}
