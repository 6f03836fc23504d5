"""The loop that runs jobs when they are due, with a clock of the test's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from snapshot_tasks.operations.keep import keep
from snapshot_tasks.schedule.due import Instant, Turns
from snapshot_tasks.schedule.jobs import Job

MINUTE = timedelta(minutes=1)
START = datetime(2026, 11, 25, 12, 0, 30, tzinfo=UTC)
CREATE, DRILL = (
    Job(task=task, words=(task,), turns=Turns(every=n * MINUTE, start=timedelta(0)))
    for task, n in (("create", 1), ("drill", 3))
)


@dataclass
class World:
    """Time that passes only by waiting and by work; it ends as by Ctrl-C."""

    now: datetime = START
    elapsed: float = 0.0
    ends: float = 600.0
    takes: float = 1.0
    failing: set[str] = field(default_factory=set)
    done: list[tuple[str, datetime]] = field(default_factory=list)

    def clock(self) -> Instant:
        """Return both clocks."""
        return Instant(wall=self.now, elapsed=self.elapsed)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)
        self.elapsed += seconds
        if self.elapsed >= self.ends:
            raise KeyboardInterrupt

    def perform(self, job: Job) -> bool:
        """Do a job, which takes a while."""
        self.done.append((job.task, self.now))
        self.wait(self.takes)
        return job.task not in self.failing

    def run(self, **succeeded: datetime) -> list[str]:
        """Keep until the end, and return what was run when."""
        with pytest.raises(KeyboardInterrupt):
            keep(
                (CREATE, DRILL),
                succeeded,
                clock=self.clock,
                wait=self.wait,
                perform=self.perform,
                planned=lambda one: None,
            )
        return [f"{task} {when:%H:%M:%S}" for task, when in self.done]


def test_rounds() -> None:
    """What never ran runs at once, in order; then each at its turns."""
    assert World(ends=200).run() == [
        "create 12:00:30",
        "drill 12:00:31",
        "create 12:01:00",
        "create 12:02:00",
        "create 12:03:00",
        "drill 12:03:01",
    ]


def test_what_was_not_missed_waits() -> None:
    """A task that has succeeded since its last turn is not run again at a start."""
    recently = START - timedelta(seconds=1)
    assert World(ends=40).run(create=recently, drill=recently) == ["create 12:01:00"]


def test_a_failure_holds_up_nothing_else() -> None:
    """The failing one is tried at each turn, the other runs as if nothing was wrong."""
    done = World(ends=200, failing={"create"}).run()
    assert [line for line in done if line.startswith("drill")] == [
        "drill 12:00:31",
        "drill 12:03:01",
    ]
    assert len(done) == 6


def test_work_that_is_longer_than_its_interval_starves_nothing() -> None:
    """With ten minutes for each snapshot, the drill still has its turn."""
    tasks = [line.partition(" ")[0] for line in World(ends=4000, takes=600).run()]
    assert tasks == ["create", "drill"] * 3 + ["create"]


@pytest.mark.parametrize("days", [-365, 365])
def test_a_jump_of_the_clock_neither_storms_nor_stalls(days: int) -> None:
    """However the clock jumps, each task is run about as often as before."""
    world = World(ends=600)
    steady = world.wait

    def jump(seconds: float) -> None:
        steady(seconds)
        if world.elapsed > 300 and abs(world.now - START) < timedelta(days=1):
            world.now += timedelta(days=days)

    world.wait = jump  # type: ignore[method-assign]
    creates = [line for line in world.run() if line.startswith("create")]
    assert 10 <= len(creates) <= 12
