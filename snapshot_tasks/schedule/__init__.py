"""Pure: writes schedules that take and prove snapshots, for whatever is to run them.

Nothing here looks at the machine: a request goes in, the contents of files come out.
"""

from __future__ import annotations

from collections.abc import Callable

from snapshot_tasks.schedule.cron import crontab
from snapshot_tasks.schedule.github import workflow
from snapshot_tasks.schedule.kubernetes import cronjobs
from snapshot_tasks.schedule.request import Request, Schedule
from snapshot_tasks.schedule.systemd import units

FORMATS: dict[str, Callable[[Request], Schedule]] = {
    "cron": crontab,
    "systemd": units,
    "github": workflow,
    "kubernetes": cronjobs,
}
