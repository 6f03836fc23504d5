"""How tasks last ended is stored in one small file, whatever it contained before."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from snapshot_tasks.catalog.runs import MAX_TASKS, RUNS_NAME, read_runs, record_run
from snapshot_tasks.checks.promises import check_runs
from snapshot_tasks.domain.findings import Status
from snapshot_tasks.system import files
from snapshot_tasks.system.errors import StorageError

AT = datetime(2026, 1, 1, 2, 17, tzinfo=UTC)
HOUR = timedelta(hours=1)


def record(folder: Path, task: str, exit_code: int, at: datetime = AT) -> None:
    """Record a run of one second."""
    record_run(folder, task, ended_at=at, seconds=1.0, exit_code=exit_code)


def test_a_failure_keeps_when_it_last_succeeded(tmp_path: Path) -> None:
    """Each task has its own entry; only a success updates `succeeded_at`."""
    record(tmp_path, "snapshot.create", 0)
    record(tmp_path, "snapshot.create", 15, AT + HOUR)
    record(tmp_path, "snapshot.verify", 20, AT + HOUR)
    create, verify = read_runs(tmp_path)
    assert (create.task, create.exit_code, create.ok) == ("snapshot.create", 15, False)
    assert (create.ended_at, create.succeeded_at) == (AT + HOUR, AT)
    assert (verify.task, verify.succeeded_at) == ("snapshot.verify", None)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"snapshot.create": 3}', '{"snapshot.create": {"ended_at": 5}}'],
)
def test_garbage_is_passed_over_and_written_anew(tmp_path: Path, text: str) -> None:
    """The file is only used for reporting, so it never prevents anything."""
    (tmp_path / RUNS_NAME).write_text(text, encoding="utf-8")
    assert read_runs(tmp_path) == ()
    record(tmp_path, "snapshot.create", 0)
    assert [run.task for run in read_runs(tmp_path)] == ["snapshot.create"]


@pytest.mark.parametrize(
    "facts",
    [
        {"ended_at": "2026-01-01T00:00:00"},
        {"seconds": "NaN"},
        {"seconds": -1},
        {"exit_code": 10**400},
        {"succeeded_at": 7},
    ],
)
def test_an_entry_that_is_none_does_not_hide_the_others(
    tmp_path: Path, facts: dict[str, object]
) -> None:
    """Each entry is checked separately."""
    record(tmp_path, "snapshot.create", 0)
    document = json.loads((tmp_path / RUNS_NAME).read_text(encoding="utf-8"))
    document["snapshot.verify"] = document["snapshot.create"] | facts
    document["\x1b[2J"] = document["snapshot.create"]
    (tmp_path / RUNS_NAME).write_text(json.dumps(document), encoding="utf-8")
    assert [run.task for run in read_runs(tmp_path)] == ["snapshot.create"]


def test_it_stays_small(tmp_path: Path) -> None:
    """Entries of unknown tasks do not pile up."""
    for number in range(MAX_TASKS + 3):
        letters = f"{chr(97 + number // 26)}{chr(97 + number % 26)}"
        record(tmp_path, f"task.{letters}", 0, AT + number * HOUR)
    tasks = [run.task for run in read_runs(tmp_path)]
    assert len(tasks) == MAX_TASKS
    assert "task.aa" not in tasks


def test_tasks_that_end_at_once_do_not_forget_each_other(tmp_path: Path) -> None:
    """Reading and writing is one step, even between threads that have the folder open."""
    names = [f"task.{letter}x" for letter in "abcdefgh"]
    threads = [threading.Thread(target=record, args=(tmp_path, name, 0)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [run.task for run in read_runs(tmp_path)] == names


def test_a_run_that_begins_just_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run is recorded even if another run removes its staging file at the same time.

    A test cannot hit the moment between writing and renaming from outside.
    """
    real, cleared = files.publish, list[Path]()

    def publish(staging: Path, final: Path, *, mode: int) -> None:
        if not cleared:
            cleared.append(staging)
            files.remove_stagings(tmp_path)
        real(staging, final, mode=mode)

    monkeypatch.setattr(files, "publish", publish)
    record(tmp_path, "snapshot.create", 0)
    assert cleared
    assert [run.task for run in read_runs(tmp_path)] == ["snapshot.create"]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    """The target of a planted link stays unchanged."""
    victim = tmp_path / "victim"
    victim.write_text("mine", encoding="utf-8")
    folder = tmp_path / "snapshots"
    folder.mkdir()
    (folder / RUNS_NAME).symlink_to(victim)
    record(folder, "snapshot.create", 0)
    assert victim.read_text(encoding="utf-8") == "mine"
    assert not (folder / RUNS_NAME).is_symlink()


def test_a_folder_that_is_gone_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    """The caller decides what a failure means."""
    with pytest.raises(StorageError):
        record(tmp_path / "gone", "snapshot.create", 0)


def test_a_failed_run_is_a_broken_promise(tmp_path: Path) -> None:
    """The check itself and tasks that people run by hand are excluded."""
    for task in ("snapshot.check", "snapshot.create", "snapshot.pull", "snapshot.restore"):
        record(tmp_path, task, 13)
    record(tmp_path, "snapshot.test-restore", 0)
    findings = list(check_runs(read_runs(tmp_path), AT + 3 * HOUR))
    assert [f.status for f in findings] == [Status.FAIL, Status.OK]
    assert findings[0].message == "snapshot.create 3 h ago exited with 13"
    assert "inv snapshot.create" in findings[0].remedy
