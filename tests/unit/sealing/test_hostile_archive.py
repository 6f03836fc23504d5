"""Anything that an attacker puts into a snapshot file is rejected before unpacking."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from snapshot_tasks.sealing import tar
from snapshot_tasks.sealing.archive import check_archive
from snapshot_tasks.sealing.unpack import unpack
from snapshot_tasks.system.errors import Damaged
from tests.support.archives import write_snapshot
from tests.support.hostile import CASES, many


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_file_is_refused(tmp_path: Path, name: str) -> None:
    """Each is damage, reported in one short line that has no effect on a terminal."""
    build, words = CASES[name]
    with pytest.raises(Damaged) as caught:
        check_archive(write_snapshot(tmp_path / "books.snapshot", build()))
    message = caught.value.message
    assert words in message
    assert message.isprintable()
    assert len(message) < 400


@pytest.mark.parametrize("name", CASES)
def test_unpacking_alone_writes_nowhere_else(tmp_path: Path, name: str) -> None:
    """Even without the preceding check, nothing is ever written outside of the folder."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    path = write_snapshot(tmp_path / "books.snapshot", CASES[name][0]())
    with suppress(Damaged):
        unpack(path, scratch)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["books.snapshot", "scratch"]
    assert all(p.is_dir() or p.is_file() for p in scratch.rglob("*"))
    assert not any(p.is_symlink() for p in scratch.rglob("*"))


def test_no_header_is_read_beyond_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The walk ends with the first member over the limit, however many follow."""
    read: list[int] = []
    original = tar._header_at

    def counting(file: object, position: int, size: int, label: str) -> bytes:
        read.append(position)
        return original(file, position, size, label)  # type: ignore[arg-type]

    monkeypatch.setattr(tar, "_header_at", counting)
    monkeypatch.setattr(tar, "MAX_MEMBERS", 10)
    path = tmp_path / "books.snapshot"
    path.write_bytes(b"".join(many(1000, prefix="0/wal/")) + bytes(1024))
    with pytest.raises(Damaged, match="more than 10 members"):
        check_archive(path)
    assert len(read) == 11
