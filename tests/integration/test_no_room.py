"""No room is no damage: a full disk is 15, whatever it breaks, and no proof says otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import Inv, Live
from tests.integration.conftest import Samples
from tests.support.disks import need_disks, small_disk
from tests.support.world import assert_error, proofs_of

POINTS = 3000


@contextmanager
def small_tmp(folder: Path, monkeypatch: pytest.MonkeyPatch, size: str) -> Iterator[Path]:
    """Give this process and its children a small disk for temporary files."""
    need_disks()
    with small_disk(folder, size=size) as disk, monkeypatch.context() as patch:
        patch.setenv("TMPDIR", str(disk))
        patch.setattr("tempfile.tempdir", str(disk))
        yield disk


@pytest.mark.parametrize("size", ["4m", "12m", "30m", "60m"])
def test_a_small_tmpdir_is_no_damage(
    outside: Inv,
    qdrant: Live,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: str,
) -> None:
    """Too small for the file, or for its holes: not sealed, and the reason says what is missing."""
    qdrant.loader.plain(name, points=POINTS)
    with small_tmp(tmp_path / "small", monkeypatch, size) as disk:
        ran = outside("snapshot.create", "--collection", name, "--json")
        assert ran.code == 0, ran.stderr
        assert "not sealed" in ran.stdout
        assert "TMPDIR" in ran.stdout
        strict = outside("snapshot.create", "--collection", name, "--strict")
        assert_error(strict, 21, "TMPDIR")
        assert [path.name for path in disk.rglob("*.tar")] == []
    sealed = outside("snapshot.create", "--collection", name, "--json")
    assert "not sealed" not in sealed.stdout
    with small_tmp(tmp_path / "small", monkeypatch, size):
        verified = outside("snapshot.verify", "--collection", name, "--level", "content")
        assert_error(verified, 15, "TMPDIR")


@pytest.mark.parametrize("size", ["3m", "8m", "24m", "60m"])
def test_a_drill_without_room_proves_nothing(
    inv: Inv, samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: str
) -> None:
    """The disk of the throw-away server fills up before, during or after the restore: 15."""
    file = samples.put("rich", inv.root / "qdrant_snapshots")
    with small_tmp(tmp_path / "small", monkeypatch, size):
        ran = inv("snapshot.test-restore", "--collection", "sample-rich")
        assert_error(ran, 15, "TMPDIR")
    assert proofs_of(file) == []
    assert "never" in inv("snapshot.list").stdout


def test_the_doctor_names_the_temporary_folder(
    inv: Inv, samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the room that the newest snapshot needs, before something fails for the lack of it."""
    samples.put("rich", inv.root / "qdrant_snapshots")
    inv.environment["QDRANT_COLLECTION_NAME"] = "sample-rich"
    roomy = " ".join(inv("doctor").stdout.split())
    assert "OK temporary folder TMPDIR is" in roomy
    with small_tmp(tmp_path / "small", monkeypatch, "40m") as disk:
        said = inv("doctor").stdout
        assert f"TMPDIR is {disk}, tmpfs" in said
        assert "the newest snapshot needs up to" in said
