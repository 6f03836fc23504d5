"""Every kind of file of a snapshot is damaged, under names that stay the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapshot_tasks.selftest.copies import Copy
from snapshot_tasks.selftest.members import kind_of, member_faults
from snapshot_tasks.selftest.rewrite import read_members
from snapshot_tasks.system.files import sha256_of
from tests.support.archives import write_snapshot
from tests.support.fixtures import WHOLE, Fixture

FILES = "segments/0dc7f70c-3741-4ffc-b4ec-99018cd36eb7.tar/snapshot/files"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("config.json", "config.json"),
        ("0/wal/open-1", "SHARD/wal/open-N"),
        ("12/wal/closed-7", "SHARD/wal/closed-N"),
        (f"3/{FILES}/segment.json", "SHARD/segments/SEGMENT/segment.json"),
        (
            f"0/{FILES}/payload_index/bjrtfr0smn12360v4to53tvo-lang-map/page_0.dat",
            "SHARD/segments/SEGMENT/payload_index/lang-map/page_N.dat",
        ),
    ],
)
def test_names_of_kinds(name: str, kind: str) -> None:
    """What is made up anew for each snapshot is not part of a kind."""
    assert kind_of(name) == kind


@pytest.mark.parametrize("fixture", [None, *WHOLE], ids=str)
def test_each_kind_is_damaged(fixture: Fixture | None, tmp_path: Path) -> None:
    """Every member's kind has a fault, names are unique, and they are the same for a copy."""
    file = fixture.write(tmp_path) if fixture else write_snapshot(tmp_path / "sound.snapshot")
    names = [fault.name for fault in member_faults(file)]
    assert len(set(names)) == len(names)
    assert {name.partition(": ")[0] for name in names} == {
        kind_of(member.name) for member in read_members(file) if not member.name.endswith("/")
    }
    assert [fault.name for fault in member_faults(file)] == names


def test_each_fault_changes_the_file_and_leaves_an_archive(tmp_path: Path) -> None:
    """A fault is in a member, never in the structure of the archive, so that a check must look."""
    fixture = next(f for f in WHOLE if str(f) == "1.19.0-plain")
    sound = fixture.write(tmp_path)
    before = sha256_of(sound)
    copy = Copy(file=tmp_path / "damaged.snapshot")
    for fault in member_faults(sound):
        copy.file.write_bytes(sound.read_bytes())
        fault.apply(copy)
        assert sha256_of(copy.file) != before, fault.name
        if not fault.name.startswith("SHARD/segments/SEGMENT.tar"):
            kept = len(read_members(copy.file)) + fault.name.endswith(": dropped")
            assert kept == len(read_members(sound)), fault.name
