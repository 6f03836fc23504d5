"""A drill that is interrupted leaves nothing behind, whenever the signal comes."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Seeds
from tests.e2e.drills import DRILL_LABEL, Moment, drill, interrupted, untouched
from tests.e2e.stack import SMALL, Stack, ask_docker, ok
from tests.support.amount import amount
from tests.support.world import ended, scratch_left

pytestmark = pytest.mark.usefixtures("drill_turn")

KILL_ROUNDS = amount("KILL_ROUNDS", quick=2, full=20)
KILL_SEED = int(os.environ.get("KILL_SEED", "4"))
DRILL_SECONDS = 5.0

MOMENTS = {
    "network made": Moment("network create", label=None),
    "container made": Moment("container create"),
    "container started": Moment("container start"),
    "restarting": Moment("container kill"),
    "tearing down": Moment("container kill", nth=2),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_leaves_nothing(
    live: Stack, no_residue: Callable[[], set[str]], moment: str
) -> None:
    """SIGINT at each moment: the drill is removed, and 130 says that it was interrupted."""
    with untouched(live):
        done = interrupted(live, MOMENTS[moment], signal.SIGINT)
    assert no_residue() == set()
    assert done.code == 130
    assert done.document["error"]["kind"] == "interrupted"


@pytest.mark.parametrize("moment", ["container made", "tearing down"])
def test_a_termination_leaves_nothing(
    live: Stack, no_residue: Callable[[], set[str]], moment: str
) -> None:
    """SIGTERM, as from a CI system that cancels a job, leaves as little."""
    with untouched(live):
        done = interrupted(live, MOMENTS[moment], signal.SIGTERM)
    assert no_residue() == set()
    assert done.code == 130


@pytest.mark.parametrize("moment", ["container made", "restarting", "tearing down"])
def test_an_impatient_ctrl_c_leaves_nothing(
    live: Stack, no_residue: Callable[[], set[str]], moment: str
) -> None:
    """A terminal's Ctrl-C reaches Compose as well as us, and some people press it twice."""
    with untouched(live):
        done = interrupted(live, MOMENTS[moment], signal.SIGINT, signal.SIGINT, group=True)
    assert no_residue() == set()
    assert done.code == 130


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_next_drill_clears_what_a_killed_one_left(
    live: Stack, no_residue: Callable[[], set[str]], moment: str
) -> None:
    """Kill -9 at each moment: the next drill passes, and nothing is left of either."""
    with untouched(live):
        assert interrupted(live, MOMENTS[moment], signal.SIGKILL).code == -signal.SIGKILL
        ok(drill(live))
    assert no_residue() == set()


def test_a_drill_at_work_is_left_alone(live: Stack, no_residue: Callable[[], set[str]]) -> None:
    """Leftovers labelled for another machine's run, or to be kept, are not ours to remove."""
    names = {"elsewhere/1/2/3": "theirs", "kept": "kept"}
    for owner, name in names.items():
        ask_docker("volume", "create", "--label", f"{DRILL_LABEL}={owner}", name)
    try:
        ok(drill(live))
        assert no_residue() == {f"volume {name}" for name in names.values()}
        told = live.inv("doctor", "--json").document["result"]["findings"]
        assert [f["message"] for f in told if f["check"] == "drills"] == ["kept: volume kept"]
    finally:
        ask_docker("volume", "rm", *names.values())


@pytest.mark.parametrize("shared", [True, False], ids=["one TMPDIR", "two TMPDIRs"])
def test_kills_at_random_moments_beside_a_drill_of_another_project(
    live: Stack,
    stack: Stack,
    seeds: Seeds,
    no_residue: Callable[[], set[str]],
    tmp_path: Path,
    shared: bool,
) -> None:
    """Kill -9 at any moment: the next drill cleans up, and the other project's drill continues."""
    seeds.give(stack, SMALL)
    mine, theirs = tmp_path / "mine", tmp_path / ("mine" if shared else "theirs")
    moments = random.Random(KILL_SEED + shared)
    for folder in {mine, theirs}:
        folder.mkdir()
    with untouched(live):
        for number in range((KILL_ROUNDS + shared) // 2):
            delay = moments.uniform(0.3, DRILL_SECONDS)
            at_work = stack.inv.start("snapshot.test-restore", "--json", TMPDIR=str(theirs))
            killed = live.inv.start("snapshot.test-restore", "--json", TMPDIR=str(mine))
            time.sleep(delay)
            killed.kill()
            killed.communicate()
            ok(drill(live, TMPDIR=str(mine)))
            ok(ended(at_work, timeout=120))
            assert no_residue() == set(), f"round {number}, killed after {delay:.2f} s"
            assert scratch_left(mine) == scratch_left(theirs) == []
