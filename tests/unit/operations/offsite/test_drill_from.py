"""A copy is tested where it lies: the proof goes back to it, and nothing stays here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.offsite.codec import Packer, Unpacker
from snapshot_tasks.offsite.layout import PROOFS, Key
from snapshot_tasks.offsite.marker import Marker
from snapshot_tasks.offsite.repository import Repository
from snapshot_tasks.operations.offsite.drill_from import drill_from
from snapshot_tasks.operations.offsite.listing import choose, list_remote
from snapshot_tasks.operations.prove.drill import DrillReport
from snapshot_tasks.storage.base import Protected
from snapshot_tasks.storage.folder import FolderStore
from snapshot_tasks.system.errors import StorageError
from snapshot_tasks.system.progress import Silent
from tests.support.manifests import TAKEN_AT, add_drill
from tests.unit.operations.offsite.test_offsite import (
    key_pair,
    place,
    pushed,
    repository,
    snapshot,
)

__all__ = ["place", "repository", "snapshot"]

AT = TAKEN_AT + timedelta(days=2)


class Told(Silent):
    """Remembers what was noted."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        """Remember it."""
        self.notes.append(message)


def drilling(
    at: datetime = AT, *, ok: bool = True, meanwhile: Callable[[], None] = lambda: None
) -> Callable[[Snapshot], DrillReport]:
    """Return a drill that only writes its proof."""

    def work(pulled: Snapshot) -> DrillReport:
        add_drill(pulled, at, ok=ok)
        meanwhile()
        return cast("DrillReport", pulled.path)

    return work


def drilled(
    repository: Repository,
    work: Callable[[Snapshot], DrillReport],
    unpacker: Unpacker = Unpacker(),  # noqa: B008
    progress: Silent | None = None,
) -> Path:
    """Test the newest copy; return where it was put."""
    (remote, *_) = choose(list_remote([repository]))
    return cast("Path", drill_from(remote, work, unpacker, progress or Silent()))


def marker_in(repository: Repository, snapshot: Snapshot) -> Marker:
    """Return the marker there."""
    found = repository.find(Key(collection=str(snapshot.collection), snapshot=snapshot.name))
    assert found
    return found


def proofs_in(
    repository: Repository,
    snapshot: Snapshot,
    unpacker: Unpacker = Unpacker(),  # noqa: B008
) -> list[str]:
    """Return the lines of the proofs there."""
    marker = marker_in(repository, snapshot)
    text = repository.fetch(marker.key, marker.beside[PROOFS], unpacker).decode()
    return text.splitlines()


def test_the_proof_goes_back_encrypted_as_the_copy_is(
    snapshot: Snapshot, repository: Repository, tmp_path: Path
) -> None:
    """After those that are there, for the recipients of the copy; nothing stays on this machine."""
    recipient, identity = key_pair(tmp_path)
    pushed(snapshot, repository, packer=Packer((recipient,)))
    unpacker = Unpacker(identity)
    before = proofs_in(repository, snapshot, unpacker)
    where = drilled(repository, drilling(), unpacker)
    assert not where.parent.parent.exists()
    marker = marker_in(repository, snapshot)
    assert (marker.proven_at, marker.restored_at, marker.failed_at) == (AT, AT, None)
    assert marker.encrypted_to == (recipient,)
    assert marker.beside[PROOFS].name.endswith(".age")
    after = proofs_in(repository, snapshot, unpacker)
    assert (after[:-1], len(after)) == (before, len(before) + 1)


def test_a_failed_test_takes_the_word_proven_away(
    snapshot: Snapshot, repository: Repository
) -> None:
    """A list of the copies would otherwise still call it proven."""
    pushed(snapshot, repository)
    drilled(repository, drilling(ok=False))
    marker = marker_in(repository, snapshot)
    assert (marker.proven_at, marker.failed_at) == (None, AT)


def test_what_others_write_meanwhile_stays(
    snapshot: Snapshot, repository: Repository, catalog: Catalog
) -> None:
    """A push of newer proofs and a pin during the test: the marker has all of it."""
    pushed(snapshot, repository)

    def meanwhile() -> None:
        add_drill(snapshot, AT - timedelta(hours=1))
        pushed(catalog.find(snapshot.name), repository, pinned=True)

    drilled(repository, drilling(meanwhile=meanwhile))
    marker = marker_in(repository, snapshot)
    assert (marker.proven_at, marker.pinned) == (AT, True)
    assert len(proofs_in(repository, snapshot)) == 3


@pytest.mark.parametrize("after", [False, True])
def test_a_change_while_the_proof_is_written_is_not_lost(
    snapshot: Snapshot, repository: Repository, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    """Another machine writes the marker just before, or just after: both changes are there."""
    pushed(snapshot, repository)
    original = marker_in(repository, snapshot)
    pinned = dataclasses.replace(original, pinned=True)
    write, changed = FolderStore.write, []

    def other_machine(self: FolderStore) -> None:
        changed.append(True)
        write(self, original.key.marker, pinned.dump())

    def racing(self: FolderStore, name: str, data: bytes, *, new: bool = False) -> None:
        if not after and not changed and PROOFS.partition(".")[0] in name:
            other_machine(self)
        write(self, name, data, new=new)
        if after and not changed and name == original.key.marker:
            other_machine(self)

    monkeypatch.setattr(FolderStore, "write", racing)
    drilled(repository, drilling())
    marker = marker_in(repository, snapshot)
    assert (changed, marker.pinned, marker.proven_at) == ([True], True, AT)


@pytest.mark.parametrize("error", [StorageError, Protected])
def test_a_place_that_cannot_be_written_is_told(
    snapshot: Snapshot,
    repository: Repository,
    monkeypatch: pytest.MonkeyPatch,
    error: type[StorageError],
) -> None:
    """The test itself has succeeded."""
    pushed(snapshot, repository)

    def refusing(self: FolderStore, name: str, data: bytes, *, new: bool = False) -> None:
        raise error("It is read-only.", hint="Nothing.")

    monkeypatch.setattr(FolderStore, "write", refusing)
    told = Told()
    drilled(repository, drilling(), progress=told)
    assert any("could not be added" in note and "read-only" in note for note in told.notes)


def test_a_copy_that_was_deleted_meanwhile_does_not_come_back(
    snapshot: Snapshot, repository: Repository
) -> None:
    """Its proof is not written as half a snapshot."""
    key = pushed(snapshot, repository).marker.key
    told = Told()
    drilled(repository, drilling(meanwhile=lambda: repository.drop(key)), progress=told)
    assert repository.find(key) is None
    assert not repository.present(key)
    assert any("was deleted or replaced" in note for note in told.notes)


def test_too_little_room_is_told_before_anything_is_fetched(
    snapshot: Snapshot, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the setting that chooses the temporary folder."""
    pushed(snapshot, repository)
    monkeypatch.setattr("snapshot_tasks.operations.offsite.pull.SPARE_BYTES", 1 << 60)
    with pytest.raises(StorageError) as caught:
        drilled(repository, drilling())
    assert "TMPDIR" in caught.value.hint
