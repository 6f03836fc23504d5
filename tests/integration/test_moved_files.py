"""A newest snapshot that was moved to a larger disk is used through its link, or it is told."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from snapshot_tasks.domain.names import probes_path
from tests.conftest import Inv
from tests.integration.conftest import Samples
from tests.support.world import assert_error, manifest_of, read_manifest


@pytest.fixture
def moved(samples: Samples, outside: Inv, tmp_path: Path) -> Path:
    """The file of the newest snapshot on another disk, with a link in the folder."""
    file = samples.put("plain", outside.root / "qdrant_snapshots")
    older = file.with_name("sample-plain_20240101_000000.snapshot")
    shutil.copy(file, older)
    target = tmp_path / "larger" / file.name
    target.parent.mkdir()
    shutil.move(file, target)
    file.symlink_to(target)
    return target


def test_it_is_restored_and_proven_through_its_link(moved: Path, outside: Inv) -> None:
    """What runs is the newest, with its manifest and its seal."""
    ran = outside("snapshot.restore", "--collection=sample-plain", "--as=from-link", "--json")
    assert ran.code == 0, ran.stderr
    assert ran.document["result"]["snapshot"] == moved.name
    drilled = outside(
        "snapshot.test-restore", "--collection=sample-plain", QDRANT_DRILL_ENGINE="native"
    )
    assert f"PROVEN: {moved.name}" in drilled.stdout, drilled.stderr
    assert outside("snapshot.verify", "--collection=sample-plain", "--level=content").code == 0


@pytest.mark.parametrize("task", ["verify", "restore", "test-restore", "show", "push"])
@pytest.mark.parametrize("latest", [True, False])
def test_without_its_disk_no_older_one_is_used(
    moved: Path, outside: Inv, task: str, latest: bool
) -> None:
    """A link to nothing is 10, with or without the latest link."""
    shutil.rmtree(moved.parent)
    folder = outside.root / "qdrant_snapshots"
    if not latest:
        (folder / "sample-plain_latest.snapshot").unlink()
    flags = [f"--to={folder.parent}"] if task == "push" else []
    ran = outside(f"snapshot.{task}", "--collection=sample-plain", *flags)
    assert_error(ran, 10, "does not exist")
    assert "file missing" in outside("snapshot.list").stdout


def test_a_copied_set_is_not_pushed_and_is_told(
    samples: Samples, outside: Inv, tmp_path: Path
) -> None:
    """A whole older set under a newer name: verify and check say what it is, push refuses."""
    folder = outside.root / "qdrant_snapshots"
    file = samples.put("plain", folder)
    copy = file.with_name("sample-plain_20990101_000000.snapshot")
    for path in (file, manifest_of(file), probes_path(file)):
        shutil.copy(path, path.with_name(path.name.replace(file.name, copy.name)))
    assert read_manifest(copy)["snapshot"] == file.name
    for task in ("verify", "show"):
        ran = outside(f"snapshot.{task}", f"--snapshot={copy.name}")
        assert file.name in ran.stdout
        assert "copy" in ran.stdout
    assert copy.name in outside("snapshot.check", "--collection=sample-plain").stdout
    place = tmp_path / "place"
    place.mkdir()
    ran = outside("snapshot.push", f"--snapshot={copy.name}", f"--to={place}")
    assert_error(ran, 24, file.name)
