"""What is to happen when: the request that every format is written from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from snapshot_tasks.domain.retention import Policy
from snapshot_tasks.schedule.calendar import HOUR, MINUTE, Calendar, calendar, time_of_day
from snapshot_tasks.system.errors import SettingsError
from snapshot_tasks.system.untrusted import is_harmless, printable

LAUNCHER = "./inv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What runs a task: from any folder and without a PATH, or in a workflow.

    `name` is what a workflow calls it, after `install`; `names` are the tasks that a project calls
    otherwise. A `folder` is where it must run to find the project.
    """

    argv: tuple[str, ...]
    name: str
    names: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    install: str = ""

    @property
    def is_launcher(self) -> bool:
        """Whether it is the launcher of a checkout, which sets itself up."""
        return self.name == LAUNCHER

    def task(self, full_name: str) -> str:
        """Return what a task is called there."""
        return self.names.get(full_name, full_name)

    @property
    def origin(self) -> str:
        """The command that writes a schedule; files of earlier versions are known by it."""
        return f"{'inv' if self.is_launcher else self.name} {self.task('snapshot.schedule')}"


def launcher(project: Path) -> Command:
    """Return the launcher that a checkout has."""
    return Command(argv=(str(project / "inv"),), name=LAUNCHER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Where the project lies, what runs in it, and when; for systemd also as whom and how long."""

    project: Path
    command: Command
    snapshot_dir: Path
    user: str
    drill_engine: str
    needs_host_tmp: bool
    every: timedelta
    creates: Calendar
    drills: Calendar
    all: bool
    retention: Policy
    push: bool
    limit_seconds: int
    # Folders beside that of the snapshots that tasks write to.
    writes: tuple[Path, ...] = ()
    # What the off-site stores need: their own variables by name, and whom copies are encrypted to.
    store_names: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()

    @property
    def create_tasks(self) -> tuple[str, ...]:
        """The arguments that take a snapshot, and keep the folder and the off-site copy right."""
        create = self.command.task("snapshot.create")
        return (create, *self.which, *self._prune, *self.push_tasks)

    @property
    def push_tasks(self) -> tuple[str, ...]:
        """The arguments that copy off-site what is not there, where that is asked for.

        All of it: what a run that failed has left out, and proofs that came after a push.
        """
        push = self.command.task("snapshot.push")
        return (push, "--all", *self._prune) if self.push else ()

    @property
    def drill_tasks(self) -> tuple[str, ...]:
        """The arguments that prove the newest snapshot."""
        return (self.command.task("snapshot.test-restore"), *self.which)

    @property
    def which(self) -> tuple[str, ...]:
        """The flags that say which collections."""
        return ("--all",) if self.all else ()

    @property
    def _prune(self) -> tuple[str, ...]:
        return () if self.retention.is_empty else ("--prune",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The files of a schedule by their names, where they belong, and the commands for that."""

    folder: str
    files: dict[str, str]
    install: tuple[str, ...]


def make_request(
    *,
    project: Path,
    command: Command,
    snapshot_dir: Path,
    user: str,
    drill_engine: str,
    needs_host_tmp: bool,
    every: timedelta,
    drill_every: timedelta,
    at: str,
    all: bool,
    retention: Policy,
    push: bool,
    operation_timeout_seconds: float,
    writes: tuple[Path, ...] = (),
    store_names: tuple[str, ...] = (),
    recipients: tuple[str, ...] = (),
) -> Request:
    """Check what was asked for, and return the request.

    The drill comes an hour after a snapshot, or halfway to the next one: two runs at once would
    meet at the lock, and one of them end with 11.

    Raises:
        SettingsError: for a span that no calendar has, a wrong time, or a path that no text holds.
    """
    for path in (project, snapshot_dir, *writes, *map(Path, command.argv)):
        _check_path(path)
    start = time_of_day(at)
    later = min(HOUR, every / 2 // MINUTE * MINUTE)
    return Request(
        project=project,
        command=command,
        snapshot_dir=snapshot_dir,
        user=user,
        drill_engine=drill_engine,
        needs_host_tmp=needs_host_tmp,
        every=every,
        creates=calendar(every, start, flag="--every"),
        drills=calendar(drill_every, start + later, flag="--drill-every"),
        all=all,
        retention=retention,
        push=push,
        # Making, downloading, sealing and pushing may each take as long.
        limit_seconds=round(4 * operation_timeout_seconds),
        writes=writes,
        store_names=store_names,
        recipients=recipients,
    )


def _check_path(path: Path) -> None:
    """Refuse what would end a line, or is no text at all: no format has an escape for it."""
    if not all(map(is_harmless, str(path))):
        raise SettingsError(
            f"The path {printable(str(path))} holds characters that no schedule can name.",
            hint="Give that folder a name without line breaks and control characters.",
        )
