"""What a start does to data is said before, and refused where Qdrant does not support it."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapshot_tasks.engines.storage_version import StorageVersions, upgrade_of
from snapshot_tasks.system.errors import Refused


@pytest.mark.parametrize(
    ("last", "version", "words"),
    [
        ("1.17.0", "1.17.0", ""),
        ("1.16.3", "1.17.0", "upgrade the volume v from Qdrant 1.16.3 to 1.17.0"),
        ("1.17.0", "1.17.1", "upgrade the volume v"),
        ("", "1.17.0", "start Qdrant 1.17.0 on the volume v, whose last version is not known"),
        ("1.16.3", "", "of an unknown version on the volume v, which was last used by 1.16.3"),
        ("", "", "of an unknown version"),
    ],
)
def test_what_a_start_does_is_said(last: str, version: str, words: str) -> None:
    """Nothing is said if nothing changes."""
    said = upgrade_of("volume v", last, version)
    assert words in said
    assert bool(said) is bool(words)


@pytest.mark.parametrize(
    ("last", "version", "remedy"),
    [
        ("1.17.0", "1.16.3", "stack.down --volumes"),
        ("1.17.0", "1.19.0", "one minor version at a time"),
        ("1.17.0", "2.0.0", "one minor version at a time"),
    ],
)
def test_going_back_and_skipping_is_refused(last: str, version: str, remedy: str) -> None:
    """It names both versions, and the way that exists."""
    with pytest.raises(Refused) as caught:
        upgrade_of("volume v", last, version)
    assert last in caught.value.message
    assert version in caught.value.message
    assert remedy in caught.value.hint


def test_versions_are_remembered_by_storage(tmp_path: Path) -> None:
    """What was deleted is forgotten; a file that cannot be read, or made, says nothing."""
    versions = StorageVersions(home=tmp_path / "home")
    assert versions.last("volume a") == ""
    versions.remember("volume a", "1.16.3")
    versions.remember("volume b", "1.17.0")
    versions.remember("volume b", "no version")
    assert (versions.last("volume a"), versions.last("volume b")) == ("1.16.3", "1.17.0")
    versions.remember("volume a", "")
    assert (versions.last("volume a"), versions.last("volume b")) == ("", "1.17.0")
    assert (tmp_path / "home/.gitignore").read_text(encoding="utf-8") == "*\n"
    (tmp_path / "home/versions.json").write_text("[", encoding="utf-8")
    assert versions.last("volume b") == ""
    (tmp_path / "file").touch()
    StorageVersions(home=tmp_path / "file").remember("volume a", "1.17.0")
