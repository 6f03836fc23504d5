"""`inv stack.logs`: the log of Qdrant."""

from __future__ import annotations

from snapshot_tasks.cli.command import Count, Outcome, Run, command
from snapshot_tasks.cli.console import tell


@command(
    "stack.logs",
    help={
        "follow": "Go on printing as the log grows, until Ctrl-C.",
        "tail": "Lines to begin with.",
        "service": "Only this Compose service, such as qdrant-restore.",
    },
)
def logs(run: Run, follow: bool = False, tail: int = Count(100), service: str = "") -> Outcome:
    """Print the log of Qdrant, and under Compose that of the restore service too."""
    from snapshot_tasks.engines.select import managed_engine

    engine = managed_engine(run.settings).engine
    if follow and not run.json:
        engine.follow_logs(service=service, tail=tail)
        return Outcome(result={})
    lines = engine.logs(service=service, tail=tail)

    def render() -> None:
        for line in lines:
            tell(line)

    return Outcome(result={"lines": lines}, render=render)
