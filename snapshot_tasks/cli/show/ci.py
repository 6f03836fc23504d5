"""Report what was checked to a CI system: as JUnit XML if a flag asks for it, and to GitHub."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from snapshot_tasks.cli.calling import named
from snapshot_tasks.cli.command import Run, redact

if TYPE_CHECKING:
    from snapshot_tasks.cli.show.checked import Checked
    from snapshot_tasks.domain.failure import Failure

JUNIT_HELP = "Write the findings to this file as JUnit XML."


def tell_ci(
    run: Run,
    things: Sequence[Checked],
    failures: Sequence[Failure] = (),
    *,
    junit: str = "",
) -> None:
    """Report what was checked, and `failures` that prevented a check; a dry run reports nothing.

    Raises:
        StorageError: if the JUnit file cannot be written.
    """
    from snapshot_tasks.cli.show.checked import not_checked
    from snapshot_tasks.cli.show.github import tell_github
    from snapshot_tasks.cli.show.junit import write_junit

    if run.dry:
        return
    for failure in failures:
        redact(run, failure.error)
    now = datetime.now(UTC)
    told = {thing.name for thing in things}
    left_out = [not_checked(f.name, f.error, now) for f in failures if f.name not in told]
    everything = [thing.named(named) for thing in (*things, *left_out)]
    tell_github(run.progress, run.name, everything)
    if junit:
        write_junit(Path(junit), run.name, everything)
