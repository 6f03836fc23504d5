"""`inv snapshot.schedule`: a schedule that runs the tasks automatically."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import TYPE_CHECKING

from snapshot_tasks.cli.command import Outcome, Run, Span, command
from snapshot_tasks.cli.flags import wrong_value
from snapshot_tasks.cli.launching import scheduled_command
from snapshot_tasks.system.errors import SettingsError

if TYPE_CHECKING:
    from snapshot_tasks.schedule.request import Elsewhere, Request
    from snapshot_tasks.settings import Settings


@command(
    "snapshot.schedule",
    help={
        "format": "cron: lines for a crontab; systemd: services and timers; github: a workflow; "
        "kubernetes: CronJobs.",
        "every": "How often to take a snapshot, such as 30min, 6h, 24h or 7d.",
        "at": "Start time in UTC; with a shorter --every, one of the times.",
        "drill-every": "How often to test the restore of the newest snapshot; a workflow tests "
        "every snapshot it takes.",
        "all": "All collections, instead of QDRANT_COLLECTION_NAME.",
        "push": "Copy each snapshot off-site; the default if QDRANT_OFFSITE_URL is set.",
        "image": "The image of docs/image.md in your registry, for kubernetes.",
        "output-dir": "Write the files to this folder instead of printing them.",
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
    image: str = "qdrant-snapshots",
    output_dir: str = "",
) -> Outcome:
    """Print a ready schedule that takes, prunes, pushes and proves snapshots."""
    from snapshot_tasks.cli.show.schedule import render_schedule, schedule_json
    from snapshot_tasks.operations.schedule import write_schedule
    from snapshot_tasks.schedule import FORMATS

    if format not in FORMATS:
        raise wrong_value("format", format, choices=tuple(FORMATS))
    if not image:
        raise SettingsError("--image is empty.", hint="Name the image of docs/image.md.")
    made = FORMATS[format](_request(run, every, at, drill_every, all, push, image))
    if format in ("cron", "systemd"):
        _tell_of_environment(run)
    folder = Path(output_dir).absolute()
    if output_dir and run.dry:
        return run.would(*(f"write {folder / name}" for name in made.files))
    written = write_schedule(made, folder) if output_dir else ()

    return Outcome(
        result=schedule_json(made, written),
        render=lambda: render_schedule(made, written, folder, run.progress),
    )


def _request(
    run: Run, every: Span, at: str, drill_every: Span, all: bool, push: bool, image: str
) -> Request:
    from snapshot_tasks.engines.select import drill_engine
    from snapshot_tasks.schedule.request import make_request

    if every.value is None or drill_every.value is None:
        raise SettingsError("--every and --drill-every need a duration.", hint="Use one like 24h.")
    settings = run.settings
    engine = drill_engine(settings).engine
    if push and not settings.offsite.urls:
        run.progress.note("Nothing will be pushed until QDRANT_OFFSITE_URL is set.")
    return make_request(
        project=run.root,
        command=scheduled_command(run.root),
        snapshot_dir=Path(os.path.normpath(settings.snapshot_dir)),
        user=_user(),
        drill_engine=engine.name,
        needs_host_tmp=engine.needs_host_tmp,
        every=every.value,
        drill_every=drill_every.value,
        at=at,
        all=all,
        retention=settings.keep,
        retention_offsite=settings.keep_offsite,
        push=push or bool(settings.offsite.urls),
        operation_timeout_seconds=settings.qdrant.operation_timeout_seconds,
        writes=_written(settings),
        store_names=tuple(sorted(settings.offsite.store_variables)),
        recipients=settings.offsite.age_recipients,
        elsewhere=_elsewhere(settings, image),
    )


def _elsewhere(settings: Settings, image: str) -> Elsewhere:
    from snapshot_tasks.schedule.request import Elsewhere, is_secret

    watching, stores = settings.watching, settings.offsite.store_variables
    urls = {"QDRANT_PING_URL": watching.ping_url, "QDRANT_WEBHOOK_URL": watching.webhook_url}
    return Elsewhere(
        url=settings.qdrant.url,
        cluster_urls=settings.qdrant.cluster_urls,
        collection=None if settings.is_default_collection else settings.collection,
        plaintext_hosts=settings.qdrant.plaintext_key_hosts,
        offsite_urls=settings.offsite.urls,
        store_settings={
            name: value
            for name, value in sorted(stores.items())
            if not is_secret(name) and "@" not in value  # an endpoint may contain a password
        },
        secrets=tuple(name for name, url in urls.items() if url),
        image=image,
    )


def _written(settings: Settings) -> tuple[Path, ...]:
    """Return the folders that tasks write to, besides the snapshot folder."""
    folders = [Path(url) for url in settings.offsite.urls if "://" not in url]
    metrics = settings.watching.metrics_file
    return (*folders, *((metrics.parent,) if metrics else ()))


def _user() -> str:
    """Return the current user, who will run the tasks in systemd; a user may lack a name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _tell_of_environment(run: Run) -> None:
    """Note the settings that a schedule will not see, because they are only in this shell."""
    from snapshot_tasks.settings import only_in_environment

    names = only_in_environment(run.root)
    if names:
        run.progress.note(
            f"{', '.join(names)}: set only in this shell, so scheduled runs will not see"
            f" {'it. Put it' if len(names) == 1 else 'them. Put them'} in .env."
        )
