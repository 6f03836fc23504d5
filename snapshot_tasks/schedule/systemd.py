"""Two services for systemd, each with its timer."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from snapshot_tasks.schedule.calendar import MINUTE, Calendar
from snapshot_tasks.schedule.request import Command, Request, Schedule

FOLDER = "/etc/systemd/system"
CREATE, DRILL = "qdrant-snapshot", "qdrant-snapshot-drill"

# Left out on purpose: MemoryDenyWriteExecute may break what Python loads; ProcSubset=pid hides the
# boot time, which identifies leftovers of killed runs; and PrivateUsers takes away the group that
# is allowed to use Docker.
_HARDENING = """\
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=read-only
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
"""
# A launcher may have to create its .venv again, and a unit cannot write there.
_AFTER = """ After
# you update the project, run `./inv` once by hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    name: str
    does: str
    tasks: tuple[str, ...]
    when: Calendar
    after: str


def units(request: Request) -> Schedule:
    """Return both pairs."""
    jobs = (
        _Job(
            name=CREATE,
            does="Take a snapshot of Qdrant",
            tasks=request.create_tasks,
            when=request.creates,
            after="network-online.target docker.service",
        ),
        _Job(
            name=DRILL,
            does="Prove that the newest snapshot of Qdrant restores",
            tasks=request.drill_tasks,
            when=request.drills,
            # Both may be due at once when the machine was off.
            after=f"network-online.target docker.service {CREATE}.service",
        ),
    )
    files = {}
    for job in jobs:
        files[f"{job.name}.service"] = _head(f"{job.name}.service", request) + _service(
            job, request
        )
        files[f"{job.name}.timer"] = _head(f"{job.name}.timer", request) + _timer(job, request)
    install = (
        f"mkdir -p {shlex.quote(str(request.snapshot_dir))}",
        f"sudo install -m 644 {' '.join(files)} {FOLDER}",
        "sudo systemctl daemon-reload",
        f"sudo systemctl enable --now {CREATE}.timer {DRILL}.timer",
        f"sudo systemctl start {CREATE}.service {DRILL}.service   # now, to see that it works",
    )
    return Schedule(folder=FOLDER, files=files, install=install)


def _head(name: str, request: Request) -> str:
    return f'# {FOLDER}/{name}\n# By `{request.command.origin}` of "{request.project}".\n'


def _service(job: _Job, request: Request) -> str:
    command = request.command
    words = (*_program(command), *job.tasks)
    name = "inv" if command.is_launcher else command.name
    more = _AFTER if command.is_launcher else ""
    return f"""\
[Unit]
Description={job.does}
Wants=network-online.target
After={job.after}
# To be notified, name a unit of your own here; it gets the name of this unit.
#OnFailure=tell-me@%n.service

[Service]
Type=oneshot
User={request.user.replace("%", "%%")}
# Settings come from the project's .env. The permissions below are for this engine.
Environment=QDRANT_DRILL_ENGINE={request.drill_engine}
{_folder(command)}ExecStart={" ".join(words)}
TimeoutStartSec={request.limit_seconds}
# Only {name} is told to stop; it stops everything that it has started.
KillMode=mixed

# It can write only here. If a hook writes elsewhere, add a line for that folder.{more}
{_writes(request)}{_temporary(request)}{_HARDENING}"""


def _program(command: Command) -> tuple[str, ...]:
    """Return the words that start it; variables are not expanded in the path of a program."""
    first, *others = command.argv
    if command.is_launcher:
        return ("/bin/sh", _argument(first))
    return (_word(first), *map(_argument, others))


def _folder(command: Command) -> str:
    """Return the folder to run in, for a program that finds its project that way."""
    return f"WorkingDirectory={str(command.folder).replace('%', '%%')}\n" if command.folder else ""


def _writes(request: Request) -> str:
    folders = dict.fromkeys((request.snapshot_dir, *request.writes))
    return "".join(f"ReadWritePaths={_word(str(folder))}\n" for folder in folders)


def _temporary(request: Request) -> str:
    below = any(
        path.is_relative_to(folder)
        for path in (request.project, request.snapshot_dir)
        for folder in ("/tmp", "/var/tmp")  # noqa: S108
    )
    # The real /tmp is needed to identify leftovers of a killed drill in Docker, and a private one
    # would hide a project inside it.
    if request.needs_host_tmp or below:
        return "ReadWritePaths=/tmp\n"
    return "PrivateTmp=yes\n"


def _timer(job: _Job, request: Request) -> str:
    delay = min(5 * MINUTE, request.every / 20)
    return f"""\
[Unit]
Description={job.does}, on time

[Timer]
OnCalendar={job.when.systemd}
# Runs that were missed while the machine was off start at the next boot.
Persistent=true
RandomizedDelaySec={round(delay.total_seconds())}

[Install]
WantedBy=timers.target
"""


def _word(text: str) -> str:
    """Return one word of a list, quoted and without specifiers."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _argument(text: str) -> str:
    """Return one argument of a command, in which variables would be expanded otherwise."""
    return _word(text).replace("$", "$$")
