"""`snapshot.keep` as a process of its own, with real tasks on a real Qdrant."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from snapshot_tasks.catalog.runs import read_runs, record_run
from tests.conftest import Inv, Live, Ran
from tests.support.listener import listening
from tests.support.proxy import Hold, fail, faulty
from tests.support.world import assert_error, tree, wait_until

SNAPSHOTS = r"/collections/[^/]+/snapshots"
LONG = 130.0


class Kept:
    """A running `snapshot.keep` and the lines that it has printed so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(iter(self.process.stderr.readline, ""))

    def count(self, words: str) -> int:
        """Return in how many lines the words are."""
        return sum(words in line for line in list(self.lines))

    def has(self, words: str, *, times: int = 1, seconds: float = 45.0) -> None:
        """Wait until the words were printed that often."""
        wait_until(lambda: self.count(words) >= times, seconds=seconds)

    def stop(self, number: signal.Signals = signal.SIGTERM, *, seconds: float = 20.0) -> int:
        """Tell it to stop, and return its exit code."""
        self.process.send_signal(number)
        code = self.process.wait(seconds)
        self._reader.join(5)
        return code


Start = Callable[..., Kept]


@pytest.fixture
def start(outside: Inv) -> Iterator[Start]:
    """Start it; whatever a failed test leaves running is ended."""
    with ExitStack() as stack:

        def begin(*flags: str, **environment: str) -> Kept:
            process = outside.start("snapshot.keep", *flags, **environment)
            stack.enter_context(process)
            stack.callback(process.kill)
            return Kept(process)

        yield begin


@pytest.fixture
def here(qdrant: Live, name: str, outside: Inv) -> Inv:
    """A project whose collection is this test's own."""
    qdrant.loader.plain(name, points=50)
    (outside.root / ".env").write_text(
        f"QDRANT_COLLECTION_NAME={name}\nQDRANT_DRILL_ENGINE=native\n", encoding="utf-8"
    )
    return outside


def folder(inv: Inv) -> Path:
    """Return the snapshot folder."""
    return inv.root / "qdrant_snapshots"


def snapshots(inv: Inv) -> list[Path]:
    """Return the snapshots in the folder."""
    return taken(folder(inv))


def taken(place: Path) -> list[Path]:
    """Return the snapshots in a folder, without the links to the newest."""
    return sorted(path for path in place.glob("*.snapshot") if not path.is_symlink())


def test_rounds_of_a_minute(here: Inv, start: Start) -> None:
    """It takes, proves and checks at once, again at the full minute, and says when and what."""
    kept = start("--every", "1min", "--drill-every", "1min")
    kept.has("snapshot.check: succeeded", times=2, seconds=LONG)
    assert kept.stop() == 0
    assert len(snapshots(here)) >= 2
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", line) for line in kept.lines)
    assert re.search(r"Z snapshot\.create: due at \S+:00Z", "".join(kept.lines))
    assert kept.lines[-1].endswith("stopped\n")
    assert {run.exit_code for run in read_runs(folder(here))} == {0}
    assert here("snapshot.keep", "--health").code == 0
    assert here("snapshot.check").code == 0


def test_only_what_was_missed_is_made_up_for(here: Inv, start: Start) -> None:
    """After two days, one snapshot is taken at once; the drill of this week is not repeated."""
    folder(here).mkdir(exist_ok=True)
    now = datetime.now(UTC)
    old, drill, check = "snapshot.create", "snapshot.test-restore", "snapshot.check"
    moments = {old: now - timedelta(days=2), drill: now, check: now}
    for task, moment in moments.items():
        record_run(folder(here), task, ended_at=moment, seconds=1, exit_code=0)
    kept = start()
    kept.has("snapshot.create: succeeded")
    kept.has("snapshot.create: due at", times=2)
    assert kept.count("snapshot.test-restore: started") == 0
    assert kept.stop(signal.SIGINT) == 0
    assert len(snapshots(here)) == 1
    again = start()
    again.has("snapshot.test-restore: due at")
    assert again.stop() == 0
    assert again.count("started") == 0


def test_a_failure_is_told_and_survived(qdrant: Live, here: Inv, start: Start) -> None:
    """Qdrant is away: alarm, record and health say so; a minute later it works by itself."""
    with listening() as listener, faulty(qdrant.url) as proxy:
        proxy.on("POST", SNAPSHOTS, fail, times=1)
        kept = start(
            *("--every", "1min", "--drill-every", "7d"),
            QDRANT_URL=proxy.url,
            QDRANT_PING_URL=f"{listener.url}/{{task}}",
        )
        kept.has("snapshot.create: failed with exit code 1")
        wait_until(lambda: "/snapshot-create/1" in listener.paths())
        assert_error(here("snapshot.keep", "--health"), 1, "snapshot.create failed", "exit code 1")
        kept.has("snapshot.create: succeeded", seconds=LONG)
        assert kept.stop() == 0
        assert "/snapshot-create" in listener.paths()
    assert len(snapshots(here)) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_in_the_middle_of_a_create(
    qdrant: Live, name: str, here: Inv, start: Start, number: signal.Signals
) -> None:
    """The task is interrupted and cleans up: an empty folder, no server copy, no process."""
    hold = Hold()
    with faulty(qdrant.url) as proxy:
        proxy.on("GET", SNAPSHOTS + r"/[^/]+", hold.halfway, times=1)
        kept = start(QDRANT_URL=proxy.url)
        hold.wait()
        children = psutil.Process(kept.process.pid).children(recursive=True)
        assert children
        hold.release.set()
        assert kept.stop(number) == 0
    assert not any(child.is_running() for child in children)
    assert kept.count("Interrupted") == 1
    assert tree(folder(here)) == []
    assert qdrant.loader.server_snapshots(name) == []
    (run,) = read_runs(folder(here))
    assert (run.task, run.exit_code) == ("snapshot.create", 130)


def test_a_broken_promise_is_told(here: Inv, start: Start) -> None:
    """No task fails in this round, but what was never proven in time alarms all the same."""
    folder(here).mkdir(exist_ok=True)
    for task in ("snapshot.create", "snapshot.test-restore"):
        record_run(folder(here), task, ended_at=datetime.now(UTC), seconds=1, exit_code=0)
    with listening() as listener:
        kept = start(QDRANT_PING_URL=f"{listener.url}/{{task}}")
        kept.has("snapshot.check: failed with exit code")
        wait_until(lambda: any(p.startswith("/snapshot-check/") for p in listener.paths()))
        assert kept.count("started") == 1
        assert kept.stop() == 0
    assert_error(here("snapshot.keep", "--health"), 1, "snapshot.check failed")


def test_a_killed_task_is_told_for_it(qdrant: Live, here: Inv, start: Start) -> None:
    """A task that the system kills, as for want of memory, cannot report it; so this one does."""
    hold = Hold()
    with listening() as listener, faulty(qdrant.url) as proxy:
        proxy.on("POST", SNAPSHOTS, hold.before, times=1)
        kept = start(QDRANT_URL=proxy.url, QDRANT_WEBHOOK_URL=listener.url)
        hold.wait()
        (child,) = psutil.Process(kept.process.pid).children()
        os.kill(child.pid, signal.SIGKILL)
        hold.release.set()
        kept.has("snapshot.create: failed with exit code 137")
        kept.has("snapshot.test-restore: started")
        assert kept.stop() == 0
    assert "snapshot.create" in listener.posts[0].text
    (create,) = [run for run in read_runs(folder(here)) if run.task == "snapshot.create"]
    assert create.exit_code == 137


def test_dry_and_wrong_flags(here: Inv) -> None:
    """A dry run says what would run when; wrong flags are refused at once."""
    ran: Ran = here("--dry", "snapshot.keep", "--drill-every", "1min", "--at", "00:00")
    assert ran.stdout.splitlines() == [
        "would run snapshot.create at once",
        "would run snapshot.test-restore at once",
        "would run snapshot.check --max-age 26h --max-proof-age 1441min at once",
    ]
    assert tree(folder(here)) == []
    assert_error(here("snapshot.keep", "--every", "90s"), 14, "--every is 90s", "whole minutes")
    assert_error(here("snapshot.keep", "--at", "25:00"), 14, "--at '25:00' is not valid")
    assert_error(here("snapshot.keep", "--push"), 14, "QDRANT_OFFSITE_URL")


def test_health_before_the_first_round(here: Inv) -> None:
    """A service that has not done anything yet is not healthy."""
    assert_error(here("snapshot.keep", "--health"), 1, "snapshot.create has not run yet")


def test_it_is_started_as_it_was_called(here: Inv, start: Start) -> None:
    """The settings of one shell reach the tasks, with another folder for snapshots."""
    elsewhere = here.root / "else where"
    kept = start(QDRANT_SNAPSHOT_DIR=str(elsewhere))
    kept.has("snapshot.create: succeeded")
    assert kept.stop() == 0
    assert len(taken(elsewhere)) == 1
    assert snapshots(here) == []
