"""`inv stack.logs`: the log of Qdrant."""

from __future__ import annotations

import sys
from contextlib import suppress

from snapshot_tasks.cli.command import Count, Outcome, Run, command
from snapshot_tasks.cli.console import tell
from snapshot_tasks.system.untrusted import without_escapes


@command(
    "stack.logs",
    help={
        "follow": "Keep printing new lines until Ctrl-C.",
        "tail": "Number of lines to start with.",
        "service": "Only this Compose service, such as qdrant-restore.",
    },
)
def logs(run: Run, follow: bool = False, tail: int = Count(100), service: str = "") -> Outcome:
    """Print Qdrant's log and, with Compose, the log of the restore service."""
    from snapshot_tasks.engines.select import managed_engine

    engine = managed_engine(run.settings).engine
    if follow and not run.json:
        # A reader that has seen enough ends it, as Ctrl-C does.
        with suppress(BrokenPipeError):
            engine.follow_logs(_tell, service=service, tail=tail)
        return Outcome(result={})
    lines = [without_escapes(line) for line in engine.logs(service=service, tail=tail)]

    def render() -> None:
        for line in lines:
            tell(line, is_file=True)

    return Outcome(result={"lines": lines}, render=render)


def _tell(line: str) -> None:
    tell(without_escapes(line.rstrip("\n")), is_file=True)
    # Whoever follows a log through a pipe wants each line now.
    sys.stdout.flush()
