"""A watched task reports how it ended to a dead man's switch, a webhook, and a metrics file."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snapshot_tasks.system.errors import TaskError

if TYPE_CHECKING:
    from snapshot_tasks.alarms.delivery import Delivery
    from snapshot_tasks.settings.watching import Watching


class Watch:
    """One run of a watched task, from its start ping to its end.

    Nothing here raises: a backup has succeeded even if the report of it fails.
    """

    def __init__(
        self, task: str, project_root: Path, defaults: Mapping[str, object] | None
    ) -> None:
        from snapshot_tasks.settings import load_watching

        self._task = task
        self._watching: Watching = load_watching(project_root, defaults=defaults)
        self._started_at = datetime.now(UTC)
        self._started = time.monotonic()
        self._begun = self._begin()

    def end(self, document: Mapping[str, Any], printed: str) -> list[str]:
        """Report how it ended, within a few seconds; return a note on everything that failed.

        `document` is the task's document for `--json`; `printed` is what the user saw.
        """
        seconds = time.monotonic() - self._started
        notes: list[str] = []
        for step in (self._keep(document, seconds), self._tell(document, printed, seconds)):
            try:
                notes.extend(step)
            except Exception as error:  # a bug in the reporting must not undo the work
                notes.append(f"The result could not be fully reported: {type(error).__name__}.")
        return notes

    def _begin(self) -> Delivery | None:
        if not self._watching.ping_url:
            return None
        from snapshot_tasks.alarms.delivery import Delivery, prepare
        from snapshot_tasks.alarms.ping import start_ping

        prepare()
        return Delivery(start_ping(self._watching.ping_url, self._task))

    def _keep(self, document: Mapping[str, Any], seconds: float) -> Iterator[str]:
        """Record the run, and write the metrics of all runs and snapshots."""
        from snapshot_tasks.catalog.folder import Catalog
        from snapshot_tasks.catalog.runs import read_runs, record_run

        folder, path, now = self._watching.snapshot_dir, self._watching.metrics_file, _now()
        if folder.is_dir():
            try:
                record_run(
                    folder,
                    self._task,
                    ended_at=now,
                    seconds=seconds,
                    exit_code=document["exit_code"],
                )
            except TaskError as error:
                # Verifying in a read-only folder is fine, so this is only noted if metrics are set.
                if path:
                    yield f"This run was not recorded in the metrics: {error.message}"
        if path:
            from snapshot_tasks.alarms.metrics import write_metrics

            try:
                write_metrics(path, Catalog(folder).entries(), read_runs(folder), now=now)
            except TaskError as error:
                yield f"Could not write the metrics: {error.message}"

    def _tell(self, document: Mapping[str, Any], printed: str, seconds: float) -> Iterator[str]:
        """Send the ping and the webhook at the same time."""
        watching, under_way = self._watching, [self._begun] if self._begun else []
        if not watching.ping_url and not watching.webhook_url:
            return
        from snapshot_tasks.alarms.delivery import Delivery, settle
        from snapshot_tasks.alarms.ping import end_ping
        from snapshot_tasks.alarms.webhook import webhook
        from snapshot_tasks.settings.watching import ALWAYS

        if watching.ping_url:
            ping = end_ping(watching.ping_url, self._task, document["exit_code"], printed)
            under_way.append(Delivery(ping, after=self._begun))
        if watching.webhook_url and (watching.webhook_on == ALWAYS or not document["ok"]):
            message = webhook(
                watching.webhook_url,
                document,
                started_at=self._started_at,
                seconds=seconds,
                host=socket.gethostname(),
            )
            under_way.append(Delivery(message))
        yield from settle(under_way)


def begin_watch(
    task: str, project_root: Path, defaults: Mapping[str, object] | None = None
) -> Watch | None:
    """Start to watch a run; None if even that fails, which must not prevent the run."""
    try:
        return Watch(task, project_root, defaults)
    except Exception:
        return None


def _now() -> datetime:
    return datetime.now(UTC)
