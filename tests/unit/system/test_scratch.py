"""Scratch folders are removed at the end, or by the next run after a kill; others' never are."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from snapshot_tasks.system import scratch
from snapshot_tasks.system.errors import StorageError
from snapshot_tasks.system.scratch import is_gone, owner_of, scratch_folder
from tests.conftest import ROOT

# Creates a folder, starts a program in it, prints both, and waits to be killed.
HOLDER = """
import subprocess, sys, time
from snapshot_tasks.system.scratch import owner_of, scratch_folder
with scratch_folder() as folder:
    (folder / "big").write_bytes(bytes(1000))
    child = subprocess.Popen(["sleep", "60"], cwd=folder, stdout=subprocess.DEVNULL)
    print(folder, owner_of(folder), child.pid, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A separate temporary folder for the test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"qdrant-snapshot-tasks-{os.getuid()}"


class Holder:
    """Another process that holds a scratch folder."""

    def __init__(self, tmp_path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", HOLDER],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)},
        )
        assert self._process.stdout is not None
        path, self.owner, pid = self._process.stdout.readline().split()
        self.folder, self.child = Path(path), int(pid)

    def kill(self) -> None:
        """End the process as a crash would."""
        self._process.kill()
        self._process.communicate()

    def child_lives(self) -> bool:
        """Whether the program that it started is still running."""
        try:
            status = Path(f"/proc/{self.child}/stat").read_text(encoding="utf-8")
        except FileNotFoundError:
            return False
        return status.rpartition(")")[2].split()[0] != "Z"


def left(parent: Path) -> set[str]:
    """Return the other entries next to the two permanent files."""
    return {p.name for p in parent.iterdir()} - {scratch.MUTEX, scratch.IDENTITY}


def test_it_is_gone_at_the_end(parent: Path) -> None:
    """Folder and lock are removed with all their contents."""
    with scratch_folder() as folder:
        assert folder.parent == parent
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "file").touch()
    assert left(parent) == set()


def test_an_error_inside_is_not_the_folders(parent: Path) -> None:
    """A missing file inside the block is not reported as a problem of the temporary folder."""
    with pytest.raises(FileNotFoundError), scratch_folder():
        Path("/nowhere/at/all").read_bytes()
    assert left(parent) == set()


def test_others_may_pass_only_where_it_is_meant_for_them(parent: Path) -> None:
    """A folder can be made readable for a server of another user."""
    with scratch_folder(mode=0o755) as folder:
        assert folder.stat().st_mode & 0o777 == 0o755
        assert parent.stat().st_mode & 0o777 == 0o711


def test_what_a_killed_run_left_is_cleared(tmp_path: Path, parent: Path) -> None:
    """The next run removes its folder and ends the program that worked there."""
    killed, alive = Holder(tmp_path), Holder(tmp_path)
    try:
        killed.kill()
        assert killed.folder.is_dir()
        assert is_gone(killed.owner)
        assert not is_gone(alive.owner)
        with scratch_folder():
            assert not killed.folder.exists()
            assert not killed.child_lives()
            assert (alive.folder / "big").is_file()
            assert alive.child_lives()
        assert left(parent) == {alive.folder.name, alive.folder.name + scratch.LOCK_SUFFIX}
    finally:
        alive.kill()
        os.kill(alive.child, signal.SIGKILL)


def test_a_folder_that_lost_its_lock_is_cleared(parent: Path) -> None:
    """A folder is removed even if its run was killed between the two removals at its end."""
    with scratch_folder():
        pass
    (parent / "0123456789abcdef").mkdir()
    (parent / "fedcba9876543210.lock").touch()
    with scratch_folder() as folder:
        assert left(parent) == {folder.name, folder.name + scratch.LOCK_SUFFIX}


def test_owners_that_may_be_at_work(parent: Path) -> None:
    """Owners on another machine or in another temporary folder, and our own, are not gone."""
    with scratch_folder() as folder:
        owner = owner_of(folder)
        machine, boot, identity, name = owner.split("/")
        assert machine == platform.node()
        assert not is_gone(owner)
        assert not is_gone("/".join(("elsewhere", boot, identity, name)))
        assert not is_gone("/".join((machine, boot, "0" * 16, name)))
        assert not is_gone("true")
        assert not is_gone("kept")
        assert is_gone("/".join((machine, "an earlier start", "0" * 16, name)))
        assert is_gone("/".join((machine, boot, identity, "0" * 16)))
    assert is_gone(owner)


@pytest.mark.parametrize("planted", ["link", "file", "writable"])
def test_somebody_elses_folder_is_refused(tmp_path: Path, parent: Path, planted: str) -> None:
    """A planted link is not followed, and other users cannot put files inside."""
    target = tmp_path / "theirs"
    target.mkdir()
    if planted == "link":
        parent.symlink_to(target)
    elif planted == "file":
        parent.touch()
    else:
        parent.mkdir()
        parent.chmod(0o777)
    with pytest.raises(StorageError, match="Other users"), scratch_folder():
        pass
    assert list(target.iterdir()) == []


def test_a_full_or_missing_temporary_folder_is_a_storage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hint mentions TMPDIR."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(StorageError) as caught, scratch_folder():
        pass
    assert "TMPDIR" in caught.value.hint
