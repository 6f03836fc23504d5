"""The request that every format is written from: what should run, and when."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from snapshot_tasks.domain.retention import Policy
from snapshot_tasks.schedule.calendar import DAY, HOUR, MINUTE, Calendar, calendar, time_of_day
from snapshot_tasks.system.errors import SettingsError
from snapshot_tasks.system.spans import format_span
from snapshot_tasks.system.untrusted import is_harmless, printable

LAUNCHER = "./inv"
# Any other variable of a store may be, or contain, a password, such as a connection string.
_NO_SECRET = re.compile(
    "_(REGION|ENDPOINT|ENDPOINT_URL|ENDPOINT_URL_S3|ALLOW_HTTP|CONDITIONAL_PUT|CHECKSUM_ALGORITHM"
    "|VIRTUAL_HOSTED_STYLE_REQUEST|ROLE_ARN|CLIENT_ID|TENANT_ID)$"
)


def is_secret(name: str) -> bool:
    """Whether the value of this variable of a store must not be written into a schedule."""
    return not _NO_SECRET.search(name)


def rules(policy: Policy, prefix: str = "QDRANT_KEEP") -> dict[str, str]:
    """Return the retention as settings, for a machine that has no `.env`."""
    numbers = {"last": policy.keep_last, **policy.periods}
    found = {f"{prefix}_{name.upper()}": str(n) for name, n in numbers.items() if n}
    if policy.max_age:
        found[f"{prefix}_MAX_AGE"] = format_span(policy.max_age)
    return found and found | {f"{prefix}_MINIMUM": str(policy.keep_minimum)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """The command that runs a task: from any folder and without a PATH, or in a workflow.

    `name` is the command in a workflow, after `install`; `names` maps the tasks that the project
    calls differently. `folder` is where it must run to find the project.
    """

    argv: tuple[str, ...]
    name: str
    names: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    install: str = ""

    @property
    def is_launcher(self) -> bool:
        """Whether this is the launcher of a checkout, which sets itself up."""
        return self.name == LAUNCHER

    def task(self, full_name: str) -> str:
        """Return the project's name for a task."""
        return self.names.get(full_name, full_name)

    @property
    def origin(self) -> str:
        """The command that writes a schedule; it also identifies files of earlier versions."""
        return f"{'inv' if self.is_launcher else self.name} {self.task('snapshot.schedule')}"


def launcher(project: Path) -> Command:
    """Return the launcher of a checkout."""
    return Command(argv=(str(project / "inv"),), name=LAUNCHER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """What a pod must be told, because it has no `.env`; of secrets only the names."""

    url: str = "http://localhost:6333"
    cluster_urls: tuple[str, ...] = ()
    collection: str | None = None
    plaintext_hosts: tuple[str, ...] = ()
    offsite_urls: tuple[str, ...] = ()
    store_settings: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    image: str = "qdrant-snapshots"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a schedule runs: the command, and the arguments of each task.

    Off-site the same `retention` applies, unless it has an own one.
    """

    command: Command
    all: bool
    retention: Policy
    push: bool
    retention_offsite: Policy | None = None

    @property
    def create_tasks(self) -> tuple[str, ...]:
        """The arguments that take a snapshot, and update the folder and the off-site copies."""
        return (*self.create_task, *self.push_tasks)

    @property
    def create_task(self) -> tuple[str, ...]:
        """The arguments that take a snapshot, and update the folder."""
        return (self.command.task("snapshot.create"), *self.which, *_prune(self.retention))

    @property
    def push_tasks(self) -> tuple[str, ...]:
        """The arguments that copy what is missing off-site, if that is wanted.

        They push everything: snapshots that a failed run has missed, and proofs added after a push.
        """
        push = self.command.task("snapshot.push")
        prune = _prune(self.retention_offsite or self.retention)
        return (push, "--all", *prune) if self.push else ()

    @property
    def drill_tasks(self) -> tuple[str, ...]:
        """The arguments that prove the newest snapshot."""
        return (self.command.task("snapshot.test-restore"), *self.which)

    def check_tasks(self, *, every: timedelta, drill_every: timedelta) -> tuple[str, ...]:
        """The arguments that notice a missed run, with ages that a late one may have."""
        ages = {"--max-age": every + 2 * HOUR, "--max-proof-age": drill_every + DAY}
        given = [word for flag, age in ages.items() for word in (flag, format_span(age))]
        return (self.command.task("snapshot.check"), *self.which, *given)

    @property
    def which(self) -> tuple[str, ...]:
        """The flags that select the collections."""
        return ("--all",) if self.all else ()

    @property
    def rules(self) -> dict[str, str]:
        """The retention as settings; off-site only if it is another one."""
        found = rules(self.retention)
        if self.retention_offsite not in (None, self.retention):
            found |= rules(self.retention_offsite, "QDRANT_OFFSITE_KEEP")
        return found


def _prune(policy: Policy) -> tuple[str, ...]:
    return () if policy.is_empty else ("--prune",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Work):
    """The project, what runs in it, and when; for systemd also the user and the time limit."""

    project: Path
    snapshot_dir: Path
    user: str
    drill_engine: str
    needs_host_tmp: bool
    every: timedelta
    drill_every: timedelta
    creates: Calendar
    drills: Calendar
    checks: Calendar
    limit_seconds: int
    # Folders that tasks write to, in addition to the snapshot folder.
    writes: tuple[Path, ...] = ()
    # What the off-site stores need: the names of their variables, and the recipients of copies.
    store_names: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    elsewhere: Elsewhere = Elsewhere()


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The files of a schedule by name, where they belong, and the commands that install them."""

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
    retention_offsite: Policy | None = None,
    push: bool,
    operation_timeout_seconds: float,
    writes: tuple[Path, ...] = (),
    store_names: tuple[str, ...] = (),
    recipients: tuple[str, ...] = (),
    elsewhere: Elsewhere = Elsewhere(),
) -> Request:
    """Check the options, and return the request.

    Raises:
        SettingsError: for an impossible span, a wrong time, or a path that no format can contain.
    """
    for path in (project, snapshot_dir, *writes, *map(Path, command.argv)):
        _check_path(path)
    start, later = time_of_day(at), drill_delay(every)
    return Request(
        project=project,
        command=command,
        snapshot_dir=snapshot_dir,
        user=user,
        drill_engine=drill_engine,
        needs_host_tmp=needs_host_tmp,
        every=every,
        drill_every=drill_every,
        creates=calendar(every, start, flag="--every"),
        drills=calendar(drill_every, start + later, flag="--drill-every"),
        checks=calendar(every, start + later + later // 2, flag="--every"),
        all=all,
        retention=retention,
        retention_offsite=retention_offsite,
        push=push,
        # Creating, downloading, sealing and pushing may each take this long.
        limit_seconds=round(4 * operation_timeout_seconds),
        writes=writes,
        store_names=store_names,
        recipients=recipients,
        elsewhere=elsewhere,
    )


def drill_delay(every: timedelta) -> timedelta:
    """Return how long after a snapshot the drill starts: an hour, or halfway to the next one.

    If both ran at once, the lock would stop one of them with exit code 11.
    """
    return min(HOUR, every / 2 // MINUTE * MINUTE)


def _check_path(path: Path) -> None:
    """Refuse characters that would end a line or are not text, since no format can escape them."""
    if not all(map(is_harmless, str(path))):
        raise SettingsError(
            f"The path {printable(str(path))} contains characters that a schedule cannot contain.",
            hint="Rename that folder so that it has no line breaks or control characters.",
        )
