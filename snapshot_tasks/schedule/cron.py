"""Two lines for a crontab."""

from __future__ import annotations

import shlex

from snapshot_tasks.schedule.calendar import Calendar
from snapshot_tasks.schedule.request import Request, Schedule
from snapshot_tasks.system.errors import SettingsError

# Debian's cron cuts what is longer, and runs the rest.
MAX_COMMAND_BYTES = 998
_TAG = "qdrant-snapshot"
_HEAD = """\
# Qdrant snapshots, by `{origin}`. For the crontab of a user: crontab -e
# cron takes these for times of this machine's own zone. For UTC, where that is another: cronie's
# cron takes CRON_TZ=UTC on a line above (for all lines below it), Debian's has no such thing.
# A run that goes well says nothing. One that fails mails all it said, where MAILTO reaches you, and
# puts it into the system's log: journalctl -t qdrant-snapshot
"""


def crontab(request: Request) -> Schedule:
    """Return the lines. Raises `SettingsError` for a path that crons do not agree on."""
    if "\\" in "".join((*request.command.argv, str(request.project))):
        raise SettingsError(
            f"The path {request.project} holds a backslash, which crons read differently.",
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
    """Return a line that is silent unless it fails; cron says nothing of an exit code itself.

    Invoke runs several tasks in one call, and none after one that failed.
    """
    run = shlex.join((*request.command.argv, *tasks))
    if folder := request.command.folder:
        run = f"cd {shlex.quote(str(folder))} 2>&1 && {run}"
    say = "printf '%s\\n' \"$out\""
    command = (
        # cron's own PATH lacks /usr/local/bin, where Docker may be.
        "export PATH=/usr/local/bin:/usr/bin:/bin; "
        # Not `logger -s`: it says nothing at all on a machine without a log, such as a container.
        f"out=$({run} 2>&1) || {{ {say}; {say} | logger -p cron.err -t {_TAG}; }}"
    ).replace("%", "\\%")  # a bare one ends the command, wherever it stands
    if len(command.encode()) > MAX_COMMAND_BYTES:
        raise SettingsError(
            f"The path {request.project} is too long for a line of a crontab.",
            hint="Use --format systemd, or a shorter path.",
        )
    return f"{when.cron} {command}"
