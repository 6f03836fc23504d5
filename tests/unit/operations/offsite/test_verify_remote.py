"""What lies off-site is read back: damage is named by snapshot, noted, and mended by a push."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import pyrage
import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.checks.scrubbed import check_scrubbed
from snapshot_tasks.domain.findings import Status
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.offsite.codec import Packer, Unpacker
from snapshot_tasks.offsite.layout import WHOLE
from snapshot_tasks.offsite.packs import PACKS
from snapshot_tasks.offsite.repository import Repository
from snapshot_tasks.offsite.scrubs import read_scrubs
from snapshot_tasks.operations.offsite.push import PushRequest, push
from snapshot_tasks.operations.offsite.verify import (
    Object,
    RemoteVerification,
    _Reader,
    verify_place,
)
from snapshot_tasks.sealing.blocks import BLOCK_BYTES
from snapshot_tasks.storage.folder import FolderStore
from snapshot_tasks.storage.stores import open_store
from snapshot_tasks.system.errors import StorageError
from snapshot_tasks.system.progress import Silent
from tests.support.archives import archive, replaced, snapshot_entries
from tests.support.manifests import TAKEN_AT, catalogued
from tests.support.world import flip_byte

NOW = TAKEN_AT + timedelta(days=9)
UNREAD = Unpacker()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The folder of another machine."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


@pytest.fixture
def repository(place: Path) -> Repository:
    """The repository in that folder."""
    return Repository(open_store(str(place), {}))


@pytest.fixture(params=["plain", "encrypted"])
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Packer, Unpacker]:
    """How it is pushed, and how it is read."""
    if request.param == "plain":
        return Packer(), UNREAD
    identity = pyrage.x25519.Identity.generate()
    file = tmp_path / "key.txt"
    file.write_text(f"{identity}\n")
    return Packer((str(identity.to_public()),)), Unpacker(file)


@pytest.fixture
def snapshots(catalog: Catalog) -> list[Snapshot]:
    """Two snapshots that share most of their blocks."""
    noise = [random.Random(seed).randbytes(BLOCK_BYTES) for seed in range(5)]
    return [
        catalogued(
            catalog,
            content=archive(replaced(snapshot_entries(), "0/wal/open-1", b"".join(blocks))),
            taken_at=TAKEN_AT + timedelta(days=day),
        )
        for day, blocks in enumerate((noise[:4], noise[1:]))
    ]


def pushed(
    snapshots: list[Snapshot], repository: Repository, packer: Packer, unpacker: Unpacker
) -> list[int]:
    """Push them all; return how many objects of each were mended."""
    requests = [
        PushRequest(
            snapshot=one,
            packer=packer,
            unpacker=unpacker,
            cache=one.path.parent,
            pack_bytes=BLOCK_BYTES,
        )
        for one in snapshots
    ]
    return [push(request, repository, Silent()).mended_count for request in requests]


def verified(
    repository: Repository, unpacker: Unpacker = UNREAD, *, share: float = 1.0, day: float = 0
) -> RemoteVerification:
    """Verify the place, so many days after NOW."""
    at = NOW + timedelta(days=day)
    return verify_place(repository, unpacker, Silent(), share=share, clock=lambda: at)


def test_damage_is_found_named_and_mended(
    snapshots: list[Snapshot],
    repository: Repository,
    place: Path,
    keys: tuple[Packer, Unpacker],
) -> None:
    """One flipped byte in every object in turn: exit code 20 with the snapshots that need it."""
    pushed(snapshots, repository, *keys)
    assert verified(repository, keys[1]).error is None
    files = (p for p in place.rglob("*") if p.is_file())
    # What a note says means nothing; only that it is there does.
    objects = [p for p in files if p.name not in ("scrubs.jsonl", WHOLE)]
    former: set[str] = set()
    for path in objects:
        flip_byte(path)
        found = verified(repository, keys[1])
        name = path.relative_to(place).as_posix()
        assert found.error is not None, name
        # A pack that was replaced counts only where a marker that cannot be read may need it.
        assert found.damaged.keys() - (former if name.startswith("pushed") else set()) == {name}
        former.add(name)
        assert {key.snapshot for key in found.snapshots} <= {one.name for one in snapshots}
        assert check_scrubbed(repository, timedelta(days=1), NOW).status is Status.FAIL
        mended = pushed(snapshots, repository, *keys)
        assert sum(mended) >= int(not name.startswith("pushed"))
        assert verified(repository, keys[1]).error is None, name
        assert check_scrubbed(repository, timedelta(days=1), NOW).status is Status.OK


def test_packs_are_checked_without_the_identity(
    snapshots: list[Snapshot], repository: Repository, place: Path, tmp_path: Path
) -> None:
    """By the hash that is their name; of the other encrypted objects only the size is compared."""
    packer = Packer((str(pyrage.x25519.Identity.generate().to_public()),))
    pushed(snapshots, repository, packer, UNREAD)
    sound = verified(repository)
    assert (sound.error, sound.unread_count) == (None, 2 * 2)
    flip_byte(next((place / PACKS).iterdir()))
    assert len(verified(repository).damaged) == 1


def test_what_is_missing_is_found_by_any_sample(
    snapshots: list[Snapshot], repository: Repository, place: Path
) -> None:
    """Names are listed whole each time."""
    pushed(snapshots, repository, Packer(), UNREAD)
    victim = next((place / PACKS).iterdir())
    victim.unlink()
    assert list(verified(repository, share=0.01).damaged) == [f"{PACKS}/{victim.name}"]


def test_ten_samples_see_everything(
    snapshots: list[Snapshot], repository: Repository, place: Path
) -> None:
    """Each goes on where the last one ended, on whatever machine; then the promise is kept."""
    pushed(snapshots, repository, Packer(), UNREAD)
    flip_byte(max((place / PACKS).iterdir()))
    week = timedelta(days=7)
    found = [verified(repository, share=0.1, day=day / 10) for day in range(10)]
    assert sum(one.objects_count for one in found) >= found[0].all_count
    assert any(one.damaged for one in found)
    assert read_scrubs(repository.store)[-1].damaged
    assert check_scrubbed(repository, week, NOW + week).status is Status.FAIL
    pushed(snapshots, repository, Packer(), UNREAD)
    for day in range(11):
        verified(repository, share=0.1, day=1 + day / 10)
    assert check_scrubbed(repository, week, NOW + week).status is Status.OK
    assert check_scrubbed(repository, week, NOW + 2 * week).status is Status.FAIL


def test_samples_do_not_claim_more_than_they_saw(
    snapshots: list[Snapshot], repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No object was last read before the time at which everything is said to have been seen."""
    pushed(snapshots, repository, Packer(), UNREAD)
    read, seen, today = _Reader.read, dict[str, int](), 0

    def reading(self: _Reader, one: Object) -> None:
        seen[one.name] = today
        read(self, one)

    monkeypatch.setattr(_Reader, "read", reading)
    claims = set()
    for today in range(20):
        found = verified(repository, share=0.1, day=today)
        if at := found.scrub.all_seen_at:
            assert len(seen) == found.all_count
            assert NOW + timedelta(days=min(seen.values())) >= at
            claims.add(at)
    assert len(claims) > 1


def test_only_who_can_decrypt_says_that_it_is_whole_again(
    snapshots: list[Snapshot], repository: Repository, place: Path, tmp_path: Path
) -> None:
    """Without the identity a noted index of the right size stays noted, and the promise broken."""
    identity = pyrage.x25519.Identity.generate()
    file = tmp_path / "key.txt"
    file.write_text(f"{identity}\n")
    pushed(snapshots, repository, Packer((str(identity.to_public()),)), Unpacker(file))
    index = next((place / "data").rglob("index-*"))
    flip_byte(index)
    assert verified(repository, Unpacker(file)).error is not None
    assert verified(repository).unread_count == 2 * 2
    assert repository.damaged() == {index.relative_to(place).as_posix()}
    assert check_scrubbed(repository, timedelta(days=1), NOW).status is Status.FAIL


def test_nothing_was_read_back_yet(repository: Repository) -> None:
    """The promise is broken until everything has been seen once."""
    assert check_scrubbed(repository, timedelta(days=7), NOW).status is Status.FAIL
    assert verified(repository).all_count == 0
    assert check_scrubbed(repository, timedelta(days=7), NOW).status is Status.OK


def test_a_place_that_only_can_be_read(
    snapshots: list[Snapshot], repository: Repository, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The damage is told all the same; root may write anywhere, so writing is refused by hand."""
    pushed(snapshots, repository, Packer(), UNREAD)
    flip_byte(next((place / PACKS).iterdir()))

    def refuse(self: object, name: str, data: bytes, *, new: bool = False) -> None:
        raise StorageError("read-only", hint="")

    monkeypatch.setattr(FolderStore, "write", refuse)
    notes: list[str] = []

    class Noting(Silent):
        def note(self, message: str) -> None:
            notes.append(message)

    found = verify_place(repository, UNREAD, Noting(), clock=lambda: NOW)
    assert found.error is not None
    assert "could not be recorded" in notes[0]
