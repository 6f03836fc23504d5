"""`stack.restart --recreate` that is cut off: the next command recovers, and no data is lost."""

from __future__ import annotations

import signal

from tests.e2e.drills import Moment, interrupted
from tests.e2e.stack import SMALL, Stack, ask_docker, ok

# The new container is made beside the old one, which then ends and is removed.
CUTS = (
    ("container create", signal.SIGINT),
    ("container die", signal.SIGKILL),
    ("container destroy", signal.SIGKILL),
)


def test_the_next_command_recovers(stack: Stack) -> None:
    """Interrupted, or killed together with Compose: then one container runs, with all points."""
    ok(stack.inv("stack.up"))
    with stack.loader() as loader:
        loader.plain(SMALL, points=50)
    content = stack.content(SMALL)
    label = f"com.docker.compose.project={stack.name}"
    for event, sent in CUTS:
        moment = Moment(event, label=label)
        flags = ("--recreate",)
        done = interrupted(stack, moment, sent, task="stack.restart", arguments=flags, group=True)
        assert done.code == (130 if sent is signal.SIGINT else -sent), done.stderr
        ok(stack.inv("stack.up"))
        assert len(ask_docker("ps", "--all", "--quiet", "--filter", f"label={label}").split()) == 1
        assert stack.content(SMALL) == content
