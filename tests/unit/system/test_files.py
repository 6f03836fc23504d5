"""Files change durably and atomically: they are absent, unchanged or complete."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from snapshot_tasks.system import process
from snapshot_tasks.system.errors import StorageError
from snapshot_tasks.system.files import (
    CHUNK_BYTES,
    PRIVATE,
    STAGING_PREFIX,
    append_line,
    by_umask,
    point_link,
    publish,
    remove_stagings,
    sha256_of,
    staging_file,
    storage_errors,
    tail,
    write_text,
)
from tests.conftest import ROOT


def names(folder: Path) -> list[str]:
    """Return the names of all files in a folder, including hidden ones."""
    return sorted(path.name for path in folder.iterdir())


def fail_replace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every rename fail as on a full disk."""

    def replace(source: object, target: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", replace)


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "Free space"),
        (errno.EDQUOT, "Free space"),
        (errno.EROFS, "write permission"),
        (errno.EACCES, "write permission"),
        (errno.ENAMETOOLONG, "too long"),
    ],
)
def test_the_systems_errors_get_a_remedy(tmp_path: Path, number: int, hint: str) -> None:
    """Each disk error says what happened, where, and what to do."""
    with pytest.raises(StorageError) as caught, storage_errors(tmp_path):
        raise OSError(number, os.strerror(number))
    assert caught.value.exit_code == 15
    assert str(tmp_path) in caught.value.message
    assert os.strerror(number) in caught.value.message
    assert hint in caught.value.hint


def test_other_errors_pass(tmp_path: Path) -> None:
    """Other errors keep their meaning."""
    with pytest.raises(KeyError), storage_errors(tmp_path):
        raise KeyError("x")


def test_a_staging_file_goes_when_the_block_fails(tmp_path: Path) -> None:
    """Unfinished files are removed, and the error is passed on."""

    def half_made() -> None:
        with staging_file(tmp_path) as staging:
            staging.write_bytes(b"half")
            assert names(tmp_path) == [staging.name]
            assert staging.name.startswith(STAGING_PREFIX)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half_made()
    assert names(tmp_path) == []


def test_publishing_moves_the_staging_file(tmp_path: Path) -> None:
    """The final name appears with the complete content, readable by a server of another user."""
    with staging_file(tmp_path) as staging:
        assert stat.S_IMODE(staging.stat().st_mode) == 0o600
        staging.write_bytes(b"whole")
        publish(staging, tmp_path / "final")
    assert names(tmp_path) == ["final"]
    assert (tmp_path / "final").read_bytes() == b"whole"
    assert stat.S_IMODE((tmp_path / "final").stat().st_mode) == 0o644


def test_a_failing_write_leaves_the_old_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text file is never half written."""
    path = tmp_path / "note"
    write_text(path, "old")
    fail_replace(monkeypatch)
    with pytest.raises(OSError, match="No space"):
        write_text(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["note"]


def test_a_link_is_relative_and_swapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The link still works after the folder was moved, and always points to something."""
    link = tmp_path / "latest"
    point_link(link, "first")
    point_link(link, "second")
    assert os.readlink(link) == "second"
    fail_replace(monkeypatch)
    with pytest.raises(OSError, match="No space"):
        point_link(link, "third")
    assert os.readlink(link) == "second"
    assert names(tmp_path) == ["latest"]


def test_only_stagings_are_removed(tmp_path: Path) -> None:
    """Leftovers of killed runs are removed, everything else stays."""
    for name in (f"{STAGING_PREFIX}abc", ".lock", "books.snapshot"):
        (tmp_path / name).touch()
    (tmp_path / f"{STAGING_PREFIX}dangling").symlink_to("nowhere")
    remove_stagings(tmp_path)
    assert names(tmp_path) == [".lock", "books.snapshot"]


def plant(folder: Path, name: str) -> tuple[Path, Path]:
    """Plant a link as an attacker would to have another file overwritten."""
    victim = folder / "victim"
    victim.write_text("precious", encoding="utf-8")
    link = folder / name
    link.symlink_to(victim)
    return link, victim


def test_a_line_is_not_appended_through_a_link(tmp_path: Path) -> None:
    """A planted link is an error with a remedy, and its target stays unchanged."""
    link, victim = plant(tmp_path, "books.proofs.jsonl")
    with pytest.raises(StorageError) as caught, storage_errors(tmp_path):
        append_line(link, "line")
    assert "link" in caught.value.hint
    assert victim.read_text(encoding="utf-8") == "precious"


def test_text_is_not_written_through_a_link(tmp_path: Path) -> None:
    """The file replaces the link, and the link's target stays unchanged."""
    link, victim = plant(tmp_path, "report.xml")
    write_text(link, "report")
    assert not link.is_symlink()
    assert link.read_text(encoding="utf-8") == "report"
    assert victim.read_text(encoding="utf-8") == "precious"


def test_a_log_is_not_written_through_a_link(tmp_path: Path) -> None:
    """A server's output goes into a file that only this user can read, or nowhere."""
    link, victim = plant(tmp_path, "qdrant.log")
    with pytest.raises(OSError, match="symbolic links"):
        process.spawn(("echo", "hello"), cwd=tmp_path, env={}, log=link)
    assert victim.read_text(encoding="utf-8") == "precious"


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_modes_are_as_meant(tmp_path: Path, umask: int) -> None:
    """Other users can read snapshots and manifests, but not state; reports follow the umask."""
    before = os.umask(umask)
    try:
        write_text(tmp_path / "manifest", "")
        append_line(tmp_path / "proofs", "")
        write_text(tmp_path / "state", "", mode=PRIVATE)
        write_text(tmp_path / "report", "", mode=by_umask())
        process.stop(process.spawn(("true",), cwd=tmp_path, env={}, log=tmp_path / "log"))
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()}
    assert (modes["manifest"], modes["state"], modes["log"]) == (0o644, 0o600, 0o600)
    assert modes["report"] == 0o666 & ~umask
    assert modes["proofs"] == 0o644 & ~umask


def test_lines_are_appended(tmp_path: Path) -> None:
    """Each line is appended to the others, as UTF-8."""
    path = tmp_path / "log"
    append_line(path, "eins")
    append_line(path, "zwölf")
    assert path.read_bytes() == "eins\nzwölf\n".encode()


APPENDING = """
import os, pathlib, sys
real = os.write
os.write = lambda descriptor, data: real(descriptor, data[:7])
from snapshot_tasks.system.files import append_line
for number in range(20):
    append_line(pathlib.Path(sys.argv[1]), f"{sys.argv[2]} {number} " + "x" * 50)
"""


def test_lines_of_many_processes_are_not_torn(tmp_path: Path) -> None:
    """Even where a write is not atomic, as on network disks; here each is made in pieces."""
    path = tmp_path / "books.proofs.jsonl"
    argv = [sys.executable, "-c", APPENDING, str(path)]
    children = [subprocess.Popen([*argv, str(number)], cwd=ROOT) for number in range(6)]
    assert [child.wait(timeout=120) for child in children] == [0] * 6
    lines = path.read_text(encoding="utf-8").splitlines()
    wanted = {f"{child} {number} " + "x" * 50 for child in range(6) for number in range(20)}
    assert len(lines) == len(wanted)
    assert set(lines) == wanted


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EINVAL])
def test_a_line_is_appended_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A disk that cannot lock keeps the line all the same; such a disk cannot be had here."""

    def unsupported(*arguments: object) -> None:
        raise OSError(number, "not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    append_line(tmp_path / "proofs", "line")
    assert (tmp_path / "proofs").read_text(encoding="utf-8") == "line\n"


def test_a_hash_is_that_of_all_bytes(tmp_path: Path) -> None:
    """A file of several chunks is hashed completely, and every byte is reported."""
    content = os.urandom(CHUNK_BYTES + 17)
    (tmp_path / "file").write_bytes(content)
    seen: list[int] = []
    assert sha256_of(tmp_path / "file", advance=seen.append) == hashlib.sha256(content).hexdigest()
    assert seen == [CHUNK_BYTES, 17]


def test_a_tail_is_the_last_lines(tmp_path: Path) -> None:
    """A missing log has no lines, and a long one is not read completely."""
    path = tmp_path / "log"
    assert tail(path, 3) == []
    path.write_bytes(b"x" * 2 * CHUNK_BYTES + b"\none\n\xfftwo\nthree\n")
    assert tail(path, 2) == ["\ufffdtwo", "three"]
    assert tail(path, 0) == []
    assert len("".join(tail(path, 99))) <= CHUNK_BYTES


def test_a_pipe_is_written_to_and_never_replaced(tmp_path: Path) -> None:
    """A device such as /dev/null would otherwise become a file, for every program."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as pool:
        read = pool.submit(pipe.read_text)
        write_text(pipe, "<testsuites/>")
        assert read.result(timeout=30) == "<testsuites/>"
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]
