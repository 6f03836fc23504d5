"""`inv snapshot.schedule`: what runs the tasks on their own."""

from __future__ import annotations

import os
import pwd
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from snapshot_tasks import __version__
from snapshot_tasks.cli.calling import CALLING, SCRIPT, Way, way
from snapshot_tasks.cli.command import Outcome, Run, Span, command
from snapshot_tasks.system.errors import SettingsError

if TYPE_CHECKING:
    from snapshot_tasks.schedule.request import Command, Request
    from snapshot_tasks.settings import Settings

DISTRIBUTION = "qdrant-snapshot-tasks"
_DISTRIBUTION = re.compile(r"\bqdrant[-_.]snapshot[-_.]tasks\b", re.IGNORECASE)
_INSTALLS = {
    "requirements.txt": "pip install -r requirements.txt",
    "pyproject.toml": "pip install .",
}


@command(
    "snapshot.schedule",
    help={
        "format": "cron: lines for a crontab; systemd: services and timers; github: a workflow.",
        "every": "How often a snapshot is taken, such as 30min, 6h, 24h or 7d.",
        "at": "When, in UTC; with a shorter --every, one of the times.",
        "drill-every": "How often the newest one is proven; a workflow proves each one it takes.",
        "all": "Every collection, instead of QDRANT_COLLECTION_NAME.",
        "push": "Copy each one off-site; as it is where QDRANT_OFFSITE_URL is set.",
        "output-dir": "Write the files into this folder, instead of printing them.",
    },
)
def schedule(
    run: Run,
    format: str = "cron",
    every: Span = Span("24h"),  # noqa: B008
    at: str = "02:15",
    drill_every: Span = Span("7d"),  # noqa: B008
    all: bool = False,
    push: bool = False,
    output_dir: str = "",
) -> Outcome:
    """Print what takes, prunes, pushes and proves snapshots on a schedule."""
    from snapshot_tasks.cli.show.schedule import render_schedule, schedule_json
    from snapshot_tasks.operations.schedule import write_schedule
    from snapshot_tasks.schedule import FORMATS

    if format not in FORMATS:
        raise SettingsError(
            f"There is no format {format!r}.", hint=f"Use one of {', '.join(FORMATS)}."
        )
    made = FORMATS[format](_request(run, every, at, drill_every, all, push))
    if format != "github":
        _tell_of_environment(run)
    folder = Path(output_dir).absolute()
    if output_dir and run.dry:
        return run.would(*(f"write {folder / name}" for name in made.files))
    written = write_schedule(made, folder) if output_dir else ()

    return Outcome(
        result=schedule_json(made, written),
        render=lambda: render_schedule(made, written, folder, run.progress),
    )


def _request(run: Run, every: Span, at: str, drill_every: Span, all: bool, push: bool) -> Request:
    from snapshot_tasks.engines.select import drill_engine
    from snapshot_tasks.schedule.request import make_request

    if every.value is None or drill_every.value is None:
        raise SettingsError(
            "--every and --drill-every need a span of time.", hint="Give one such as 24h."
        )
    settings = run.settings
    engine = drill_engine(settings).engine
    if push and not settings.offsite.urls:
        run.progress.note("Nothing is pushed before QDRANT_OFFSITE_URL says where to.")
    return make_request(
        project=run.root,
        command=_command(run.root),
        snapshot_dir=Path(os.path.normpath(settings.snapshot_dir)),
        user=_user(),
        drill_engine=engine.name,
        needs_host_tmp=engine.needs_host_tmp,
        every=every.value,
        drill_every=drill_every.value,
        at=at,
        all=all,
        retention=settings.keep,
        push=push or bool(settings.offsite.urls),
        operation_timeout_seconds=settings.qdrant.operation_timeout_seconds,
        writes=_written(settings),
        store_names=tuple(sorted(settings.offsite.store_variables)),
        recipients=settings.offsite.age_recipients,
    )


def _command(root: Path) -> Command:
    """Return what runs a task on a schedule: the program that was called, by its full path."""
    from snapshot_tasks.schedule.request import Command, launcher

    called, names = way(), CALLING.call.names
    if called is Way.LAUNCHER:
        return launcher(root)
    if called is Way.INV:
        argv = (*_program("inv", module="invoke"), "--search-root", str(root))
        return Command(argv=argv, name="inv", names=names, install=_install(root))
    argv = _program(SCRIPT, module="snapshot_tasks")
    return Command(argv=argv, name=SCRIPT, names=names, folder=root, install=_install(root))


def _program(name: str, *, module: str) -> tuple[str, ...]:
    """Return a program of this environment by its full path, or else its module."""
    for path in (Path(sys.argv[0]), Path(sys.executable).with_name(name)):
        if path.name == name and os.access(path, os.X_OK):
            return (os.path.abspath(path),)  # noqa: PTH100 - a link, as pipx makes, stays one
    return (sys.executable, "-m", module)


def _install(root: Path) -> str:
    """Return what installs these tasks on a runner: whatever the project itself names them in."""
    for name, install in _INSTALLS.items():
        with suppress(OSError, ValueError):
            if _DISTRIBUTION.search((root / name).read_text(encoding="utf-8")):
                return install
    return f"pip install {DISTRIBUTION}=={__version__}"


def _written(settings: Settings) -> tuple[Path, ...]:
    """Return the folders that tasks write to beside that of the snapshots."""
    folders = [Path(url) for url in settings.offsite.urls if "://" not in url]
    metrics = settings.watching.metrics_file
    return (*folders, *((metrics.parent,) if metrics else ()))


def _user() -> str:
    """Return the name of who asks, as whom systemd is to run the tasks; some have only a number."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _tell_of_environment(run: Run) -> None:
    """Say which settings a schedule would not have: it starts without this shell's environment."""
    from snapshot_tasks.settings import only_in_environment

    names = only_in_environment(run.root)
    if names:
        run.progress.note(
            f"{', '.join(names)}: set in this shell only, so not on schedule. Put it in .env."
        )
