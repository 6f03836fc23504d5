"""A throw-away server that fails while its points are read: what it means, and its own log."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.engines.native import NativeEngine
from snapshot_tasks.operations.prove.drill import DrillReport, DrillRequest, drill
from snapshot_tasks.operations.prove.fresh_failure import Stopped
from snapshot_tasks.selftest.copies import Copy
from snapshot_tasks.system.progress import Silent
from tests.conftest import NEWER, Live, now
from tests.integration.conftest import Samples, Take
from tests.support.world import proofs_of


class AtPhase(Silent):
    """Does something when a phase with this label begins."""

    def __init__(self, label: str, action: Callable[[], None]) -> None:
        self._label = label
        self._action = action

    @contextlib.contextmanager
    def phase(self, label: str, **amount: Any) -> Iterator[Callable[[int], None]]:
        """Do it once the phase has begun."""
        with super().phase(label, **amount) as advance:
            if label.startswith(self._label):
                self._action()
            yield advance


def prove(file: Path, engine: NativeEngine, progress: Silent) -> DrillReport:
    """Drill in this process."""
    snapshot = Catalog(file.parent).find(file.name)
    request = DrillRequest(snapshot=snapshot, version=NEWER, operation_timeout_seconds=60)
    return drill(request, engine, progress, clock=now)


def throwaway(scratch: Path) -> Iterator[psutil.Process]:
    """Yield the process of the throw-away server."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if Path(process.cwd()).is_relative_to(scratch) and process.pid != os.getpid():
                yield process


def send(scratch: Path, number: int) -> None:
    """Send a signal to the throw-away server."""
    for process in throwaway(scratch):
        process.send_signal(number)


def test_if_memory_runs_out_the_throwaway_server_ends_first(
    samples: Samples, engine: NativeEngine, tmp_path: Path, scratch: Path
) -> None:
    """Measured: a damaged index makes Qdrant ask for 23 GB, beside the live server."""
    told: list[str] = []

    def look() -> None:
        scores = [Path(f"/proc/{each.pid}/oom_score_adj") for each in throwaway(scratch)]
        told.extend(score.read_text().strip() for score in scores)

    file = samples.put("plain", tmp_path / "folder")
    assert prove(file, engine, AtPhase("reading every point", look)).error is None
    assert set(told) == {"1000"}


@pytest.mark.parametrize("label", ["reading every point", "searching"])
def test_a_server_that_crashes_fails_the_drill(
    samples: Samples, engine: NativeEngine, tmp_path: Path, scratch: Path, label: str
) -> None:
    """22, a proof that says so, and the last lines of its own log."""
    file = samples.put("plain", tmp_path / "folder")
    progress = AtPhase(label, lambda: send(scratch, signal.SIGABRT))
    report = prove(file, engine, progress)
    assert report.error is not None
    assert report.error.exit_code == 22
    assert "stopped unexpectedly (SIGABRT)" in report.error.message
    assert "Its log ends with" in report.error.message
    assert "stack." not in report.error.hint
    assert [proof["ok"] for proof in proofs_of(file)] == [False]


def test_a_server_that_is_killed_proves_nothing(
    samples: Samples, engine: NativeEngine, tmp_path: Path, scratch: Path
) -> None:
    """The kernel kills what takes too much memory: 22, but the snapshot may be good."""
    file = samples.put("plain", tmp_path / "folder")
    with pytest.raises(Stopped, match="SIGKILL") as caught:
        prove(file, engine, AtPhase("reading every point", lambda: send(scratch, signal.SIGKILL)))
    assert caught.value.exit_code == 22
    assert "Its log ends with" in caught.value.message
    assert proofs_of(file) == []


def test_a_server_that_panics_while_reading_fails_the_drill(
    qdrant: Live, name: str, take: Take, engine: NativeEngine, tmp_path: Path
) -> None:
    """Payloads that are no payloads: restored, green, counted; and then 500 for every scroll."""
    qdrant.loader.plain(name, points=300)
    copy = Copy.of(take(qdrant, name).path, tmp_path / "copy")
    pages = copy.members("payload_storage/page_0.dat")
    assert pages
    copy.rewrite({page.name: b"\xff" * page.stored_bytes for page in pages})
    copy.resign()
    report = prove(copy.file, engine, Silent())
    assert report.error is not None
    assert report.error.exit_code == 22
    assert "The fresh Qdrant failed." in report.error.message
    assert "panicked" in report.error.message.partition("Its log ends with")[2].lower()
    assert "stack." not in report.error.hint
    assert [proof["ok"] for proof in proofs_of(copy.file)] == [False]
