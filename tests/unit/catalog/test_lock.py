"""One run at a time: a second one is refused at once, and a dead one holds no lock."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from snapshot_tasks.catalog.lock import JOURNAL_LOCK_NAME, LOCK_NAME, Use, folder_lock
from snapshot_tasks.system.errors import Locked, StorageError
from tests.conftest import ROOT

HOLDER = """
import sys, time, pathlib
from snapshot_tasks.catalog.lock import folder_lock
with folder_lock(pathlib.Path(sys.argv[1]), task="snapshot.create"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of the test's folder."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    yield child
    child.kill()
    child.wait()
    child.stdout.close()


def take(folder: Path) -> None:
    """Take the lock and release it."""
    with folder_lock(folder, task="test"):
        pass


def test_a_second_run_is_refused_by_the_holders_name(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    """The second run does not wait, and is told which run holds the lock."""
    with pytest.raises(Locked) as caught:
        take(tmp_path)
    assert caught.value.exit_code == 11
    assert f"snapshot.create, process {holder.pid}, since 20" in caught.value.message


def test_a_killed_holder_holds_nothing(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    """After `kill -9` the lock is free, although the file still names the dead process."""
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert str(holder.pid) in (tmp_path / LOCK_NAME).read_text(encoding="utf-8")
    take(tmp_path)
    assert f'"pid": {os.getpid()}' in (tmp_path / LOCK_NAME).read_text(encoding="utf-8")


def test_one_process_cannot_hold_it_twice(tmp_path: Path) -> None:
    """A run cannot lock itself out unnoticed either."""
    with folder_lock(tmp_path, task="first"), pytest.raises(Locked, match="first"):
        take(tmp_path)
    take(tmp_path)


def test_a_failing_block_gives_it_back(tmp_path: Path) -> None:
    """The lock is released however the block ends."""
    with pytest.raises(KeyError), folder_lock(tmp_path, task="test"):
        raise KeyError("x")
    take(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff\xfe"])
def test_an_unreadable_holder_is_still_one(tmp_path: Path, content: bytes) -> None:
    """The lock also refuses a second run before the first has written its name."""
    with folder_lock(tmp_path, task="first"):
        (tmp_path / LOCK_NAME).write_bytes(content)
        with pytest.raises(Locked, match="just started"):
            take(tmp_path)


def test_a_child_does_not_inherit_it(tmp_path: Path) -> None:
    """A server that a run starts does not keep the folder locked after that run."""
    with folder_lock(tmp_path, task="test"):
        argv = ["/bin/sh", "-c", "echo started; exec sleep 60"]
        child = subprocess.Popen(argv, close_fds=False, stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
    try:
        take(tmp_path)
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def test_a_folder_that_cannot_be_written_needs_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No run can write there, so no run can be in the way, nor in a missing folder."""

    def refuse(*arguments: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    take(tmp_path / "missing")
    monkeypatch.setattr(os, "open", refuse)
    take(tmp_path)
    assert not (tmp_path / LOCK_NAME).exists()


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    """The lock never truncates the target of a planted link."""
    victim = tmp_path / "victim"
    victim.write_text("precious", encoding="utf-8")
    (tmp_path / LOCK_NAME).symlink_to(victim)
    with pytest.raises(StorageError):
        take(tmp_path)
    assert victim.read_text(encoding="utf-8") == "precious"


def test_a_full_disk_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the holder's name cannot be written, the real error is reported."""

    def full(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StorageError):
        take(tmp_path)


def test_a_disk_without_locks_is_a_storage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network disks do not support locks, which is not a bug of this program."""
    import fcntl

    def unsupported(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with pytest.raises(StorageError):
        take(tmp_path)


def test_another_users_lock_is_taken_all_the_same(tmp_path: Path) -> None:
    """The lock file of another user cannot be written, but that is not needed for locking."""
    lock = tmp_path / LOCK_NAME
    lock.write_text("{}")
    real = os.open

    def refusing(path: Any, flags: int, *more: Any) -> int:
        if str(path) == str(lock) and flags & os.O_RDWR:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, flags, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", refusing)
        with (
            folder_lock(tmp_path, task="one"),
            pytest.raises(Locked),
            folder_lock(tmp_path, task="two"),
        ):
            pass


def test_a_run_can_wait_for_the_holder(tmp_path: Path) -> None:
    """A restore at the start of a stack waits for the backup that is running."""
    holder = folder_lock(tmp_path, task="snapshot.create")
    holder.__enter__()
    timer = threading.Timer(0.3, holder.__exit__, (None, None, None))
    timer.start()
    with folder_lock(tmp_path, task="snapshot.restore", wait_seconds=30):
        timer.join()


def test_waiting_for_the_holder_has_a_bound(tmp_path: Path) -> None:
    """A run that never ends does not keep the others for ever."""
    with (
        folder_lock(tmp_path, task="snapshot.create"),
        pytest.raises(Locked, match=r"snapshot\.create"),
        folder_lock(tmp_path, task="snapshot.restore", wait_seconds=0.1),
    ):
        pass


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        (Use.READ, Use.READ, True),
        (Use.READ, Use.JOURNAL, True),
        (Use.JOURNAL, Use.READ, True),
        (Use.JOURNAL, Use.JOURNAL, False),
        (Use.WRITE, Use.READ, False),
        (Use.WRITE, Use.JOURNAL, False),
        (Use.READ, Use.WRITE, False),
        (Use.JOURNAL, Use.WRITE, False),
    ],
)
def test_who_may_be_there_together(tmp_path: Path, first: Use, second: Use, together: bool) -> None:
    """Readers share the folder, and one restore with them; a writer is alone."""
    with folder_lock(tmp_path, task="first", use=first):
        if together:
            with folder_lock(tmp_path, task="second", use=second):
                pass
        else:
            with pytest.raises(Locked, match="first"):
                folder_lock(tmp_path, task="second", use=second).__enter__()
    take(tmp_path)


def test_a_reader_that_has_ended_is_not_named(tmp_path: Path) -> None:
    """Another one still shares the folder, and nobody should wait for the wrong process."""
    with folder_lock(tmp_path, task="first", use=Use.READ):
        with folder_lock(tmp_path, task="second", use=Use.READ):
            pass
        with pytest.raises(Locked, match="one of several that read"):
            take(tmp_path)


def test_without_the_second_lock_a_restore_is_alone(tmp_path: Path) -> None:
    """A folder of an earlier version, mounted read-only: two restores never meet in a server."""
    (tmp_path / LOCK_NAME).touch()
    real = os.open

    def read_only(path: Any, flags: int, *more: Any) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, "Read-only file system")
        return real(path, flags, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", read_only)
        inside = folder_lock(tmp_path, task="inside", use=Use.JOURNAL)
        inside.__enter__()
    assert not (tmp_path / JOURNAL_LOCK_NAME).exists()
    for use in Use:
        with pytest.raises(Locked):
            folder_lock(tmp_path, task="outside", use=use).__enter__()
    inside.__exit__(None, None, None)
    take(tmp_path)


def test_a_killed_restore_holds_nothing(tmp_path: Path) -> None:
    """Neither of its locks outlives it."""
    text = HOLDER.replace("import folder_lock", "import Use, folder_lock")
    text = text.replace('task="snapshot.create"', 'task="snapshot.restore", use=Use.JOURNAL')
    argv = [sys.executable, "-c", text, str(tmp_path)]
    child = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    with pytest.raises(Locked, match=r"snapshot\.restore"):
        folder_lock(tmp_path, task="test", use=Use.JOURNAL).__enter__()
    child.kill()
    child.wait()
    child.stdout.close()
    for use in Use:
        with folder_lock(tmp_path, task="test", use=use):
            pass
