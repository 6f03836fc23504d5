"""`inv snapshot.keep`: take and prove snapshots on a schedule, in the foreground."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from snapshot_tasks.cli.command import Outcome, Run, Span, command
from snapshot_tasks.cli.console import PRINTED, say
from snapshot_tasks.cli.launching import scheduled_command
from snapshot_tasks.cli.watching import begin_watch
from snapshot_tasks.cli.wiring import now
from snapshot_tasks.system.errors import SettingsError, TaskError

if TYPE_CHECKING:
    from snapshot_tasks.catalog.runs import LastRun
    from snapshot_tasks.operations.keep import Round
    from snapshot_tasks.schedule.due import Instant
    from snapshot_tasks.schedule.jobs import Job
    from snapshot_tasks.schedule.request import Command

NOT_RUN = 1


@command(
    "snapshot.keep",
    help={
        "every": "How often to take a snapshot, such as 30min, 6h, 24h or 7d.",
        "at": "Start time in UTC; with a shorter --every, one of the times.",
        "drill-every": "How often to test the restore of the newest snapshot.",
        "all": "All collections, instead of QDRANT_COLLECTION_NAME.",
        "push": "Copy each snapshot off-site; the default if QDRANT_OFFSITE_URL is set.",
        "health": "Only tell whether each of these tasks last succeeded, for a health check.",
    },
)
def keep(
    run: Run,
    every: Span = Span("24h"),  # noqa: B008
    at: str = "02:15",
    drill_every: Span = Span("7d"),  # noqa: B008
    all: bool = False,
    push: bool = False,
    health: bool = False,
) -> Outcome:
    """Take, prune, push and prove snapshots on a schedule, until it is told to stop."""
    command = scheduled_command(run.root)
    jobs = _jobs(run, command, every, at, drill_every, all, push)
    if health:
        return _health(run, jobs)
    if run.dry:
        return run.would(*(f"run {' '.join(job.words)} {_when(run, job)}" for job in jobs))
    return _keep(run, command, jobs)


def _jobs(
    run: Run, command: Command, every: Span, at: str, drill_every: Span, all: bool, push: bool
) -> tuple[Job, ...]:
    from snapshot_tasks.schedule.jobs import make_jobs
    from snapshot_tasks.schedule.request import Work

    if every.value is None or drill_every.value is None:
        raise SettingsError("--every and --drill-every need a duration.", hint="Use one like 24h.")
    places = run.settings.offsite.urls
    if push and not places:
        raise SettingsError(
            "--push, but there is no off-site place.", hint="Set QDRANT_OFFSITE_URL."
        )
    work = Work(
        command=command,
        all=all,
        retention=run.settings.keep,
        retention_offsite=run.settings.keep_offsite,
        push=bool(places),
    )
    return make_jobs(work, every=every.value, drill_every=drill_every.value, at=at)


def _keep(run: Run, command: Command, jobs: tuple[Job, ...]) -> Outcome:
    """Run the jobs until a signal; to be stopped is how this task ends well."""
    from snapshot_tasks.operations.keep import keep as keep_on

    ended: dict[str, int] = {}

    def perform(job: Job) -> bool:
        ended[job.task] = _performed(run, command, job)
        return ended[job.task] == 0

    try:
        keep_on(
            jobs,
            {task: last.succeeded_at for task, last in _last_runs(run).items()},
            clock=_clock,
            wait=time.sleep,
            perform=perform,
            planned=_tell_plan,
        )
    except KeyboardInterrupt:
        _log("stopped")
    return Outcome(result={"last_exit_codes": ended})


def _performed(run: Run, command: Command, job: Job) -> int:
    """Run a job as a process of its own, pass on its lines, and return its exit code."""
    from snapshot_tasks.system.process import run_politely

    _log(f"{job.task}: started")
    PRINTED.clear()
    try:
        code = run_politely(
            (*command.argv, *job.words),
            lambda line: _log(f"{job.task}: {line}"),
            cwd=command.folder or run.root,
        )
    except OSError as error:
        _log(f"{job.task}: could not be started: {error.strerror}")
        code = NOT_RUN
        _report_for(run, job, code)
    if code < 0:
        _log(f"{job.task}: was killed by signal {-code}")
        code = 128 - code
        _report_for(run, job, code)
    _log(f"{job.task}: {'succeeded' if code == 0 else f'failed with exit code {code}'}")
    return code


def _report_for(run: Run, job: Job, code: int) -> None:
    """Record and report a failure that the task itself could not report any more."""
    message = f"{job.task} ended before it could report."
    error = {"kind": TaskError.kind, "message": message, "hint": "Its last lines may say why."}
    document = {"ok": False, "task": job.task, "exit_code": code, "result": {}, "error": error}
    watch = begin_watch(job.task, run.root, run.defaults)
    for note in watch.end(document, PRINTED.text) if watch else ():
        _log(note)


def _tell_plan(one: Round) -> None:
    _log(f"{one.job.task}: due at {_stamp(one.due.wall)}")


def _health(run: Run, jobs: tuple[Job, ...]) -> Outcome:
    """Fail unless each task has run and last succeeded."""
    runs = _last_runs(run)
    codes = {job.task: runs[job.task].exit_code if job.task in runs else None for job in jobs}
    wrong = [f"{task} {_how(code)}" for task, code in codes.items() if code != 0]
    error = TaskError(f"{', '.join(wrong)}.", hint="The log of this service says why.")
    return Outcome(result={"last_exit_codes": codes}, error=error if wrong else None)


def _how(code: int | None) -> str:
    return "has not run yet" if code is None else f"failed with exit code {code}"


def _last_runs(run: Run) -> dict[str, LastRun]:
    from snapshot_tasks.catalog.runs import read_runs

    return {last.task: last for last in read_runs(run.settings.snapshot_dir)}


def _when(run: Run, job: Job) -> str:
    last = _last_runs(run).get(job.task)
    due = job.turns.first_due(last.succeeded_at if last else None, _clock()).wall
    return "at once" if due <= now() else f"at {_stamp(due)}"


def _clock() -> Instant:
    from snapshot_tasks.schedule.due import Instant

    return Instant(wall=now(), elapsed=time.monotonic())


def _log(line: str) -> None:
    # Nobody may be reading any more; the backups go on.
    with suppress(OSError, ValueError):
        say(f"{_stamp(now())} {line}")


def _stamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
