"""Two lines for a crontab."""

from __future__ import annotations

import shlex

from snapshot_tasks.schedule.calendar import Calendar
from snapshot_tasks.schedule.request import Request, Schedule
from snapshot_tasks.system.errors import SettingsError

# Debian's cron cuts off longer commands, and runs the rest.
MAX_COMMAND_BYTES = 998
_TAG = "qdrant-snapshot"
_HEAD = """\
# Qdrant snapshots, by `{origin}`. For the crontab of a user: crontab -e
# cron uses the time zone of this machine. If that is not UTC: cronie accepts CRON_TZ=UTC on a line
# above (it applies to all lines below it); Debian's cron has no such setting.
# A run that succeeds prints nothing. A run that fails mails its output to MAILTO, and writes it to
# the system log: journalctl -t qdrant-snapshot
"""


def crontab(request: Request) -> Schedule:
    """Return the lines. Raises `SettingsError` for a path that crons read differently."""
    if "\\" in "".join((*request.command.argv, str(request.project))):
        raise SettingsError(
            f"The path {request.project} contains a backslash, which cron implementations read"
            " differently.",
            hint="Rename the folder, or use --format systemd.",
        )
    lines = (
        _line(request, request.creates, request.create_tasks),
        _line(request, request.drills, request.drill_tasks),
    )
    name, head = "qdrant-snapshot.crontab", _HEAD.format(origin=request.command.origin)
    return Schedule(
        folder="",
        files={name: head + "".join(f"{line}\n" for line in lines)},
        install=(f"(crontab -l; cat {name}) | crontab -",),
    )


def _line(request: Request, when: Calendar, tasks: tuple[str, ...]) -> str:
    """Return a line that prints nothing unless it fails; cron itself does not report an exit code.

    Invoke runs several tasks in one call, and stops after one that failed.
    """
    run = shlex.join((*request.command.argv, *tasks))
    if folder := request.command.folder:
        run = f"cd {shlex.quote(str(folder))} 2>&1 && {run}"
    say = "printf '%s\\n' \"$out\""
    command = (
        # cron's own PATH lacks /usr/local/bin, where Docker may be.
        "export PATH=/usr/local/bin:/usr/bin:/bin; "
        # Not `logger -s`, which prints nothing on a machine without a log, such as a container.
        f"out=$({run} 2>&1) || {{ {say}; {say} | logger -p cron.err -t {_TAG}; }}"
    ).replace("%", "\\%")  # an unescaped % ends the command anywhere
    if len(command.encode()) > MAX_COMMAND_BYTES:
        raise SettingsError(
            f"The path {request.project} is too long for a crontab line.",
            hint="Use --format systemd, or a shorter path.",
        )
    return f"{when.cron} {command}"
