"""Snapshots that an earlier version pushed: listed, pulled, pruned, and left as they are."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.retention import Policy
from snapshot_tasks.offsite.codec import Packer, Unpacker
from snapshot_tasks.offsite.packs import PACKS
from snapshot_tasks.offsite.repository import Repository
from snapshot_tasks.operations.offsite.listing import list_remote
from snapshot_tasks.operations.offsite.prune import plan_remote, prune_remote
from snapshot_tasks.operations.offsite.pull import pull
from snapshot_tasks.operations.offsite.push import PUSHED, THERE, PushRequest, push
from snapshot_tasks.storage.stores import open_store
from snapshot_tasks.system.errors import Damaged
from snapshot_tasks.system.progress import Silent
from tests.support.manifests import TAKEN_AT, add_drill, catalogued
from tests.support.world import flip_byte

MADE = Path(__file__).parents[3] / "data" / "offsite-1"
UNPACKER = Unpacker(MADE / "identity.txt")


@pytest.fixture(params=["plain", "encrypted"])
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A copy of what the earlier version has made: one snapshot of eight parts."""
    return Path(shutil.copytree(MADE / request.param, tmp_path / "elsewhere"))


@pytest.fixture
def repository(place: Path) -> Repository:
    """The repository in that folder."""
    return Repository(open_store(str(place), {}))


def test_it_comes_back(repository: Repository, catalog: Catalog) -> None:
    """All parts, with the manifest and the proofs."""
    (remote,) = list_remote([repository]).remotes
    catalog.make_folder()
    done = pull(remote, catalog, UNPACKER, Silent())
    assert done.snapshot.sha256 == remote.marker.sha256
    assert (len(remote.marker.parts), done.snapshot.proven_at) == (8, remote.marker.proven_at)


def test_damage_is_told(repository: Repository, catalog: Catalog, place: Path) -> None:
    """A flipped byte in one part."""
    flip_byte(next(place.rglob("00003-*")))
    (remote,) = list_remote([repository]).remotes
    catalog.make_folder()
    with pytest.raises(Damaged):
        pull(remote, catalog, UNPACKER, Silent())
    assert catalog.entries() == []


def test_a_push_leaves_it_and_mends_it(
    repository: Repository, catalog: Catalog, place: Path
) -> None:
    """What is whole stays as it is; what has lost a part is pushed anew, as blocks."""
    (remote,) = list_remote([repository]).remotes
    catalog.make_folder()
    snapshot = pull(remote, catalog, UNPACKER, Silent()).snapshot
    request = PushRequest(snapshot=snapshot, packer=Packer(remote.marker.encrypted_to))
    assert push(request, repository, Silent()).outcome == THERE
    next(place.rglob("00003-*")).unlink()
    assert push(request, repository, Silent()).outcome == PUSHED
    (mended,) = list_remote([repository]).remotes
    assert (mended.marker.parts, len(mended.marker.packs)) == ((), 1)


def test_it_is_pruned(repository: Repository, catalog: Catalog, place: Path) -> None:
    """Beside a newer one of blocks, which stays whole."""
    newer = catalogued(catalog, taken_at=TAKEN_AT + timedelta(days=1))
    add_drill(newer, TAKEN_AT + timedelta(days=1))
    newer = catalog.find(newer.name)
    push(PushRequest(snapshot=newer, packer=Packer()), repository, Silent())
    policy, now = Policy(keep_last=1), TAKEN_AT + timedelta(days=2)
    (plan,) = plan_remote(repository, policy, now=now)
    prune_remote([plan], policy, Silent(), now=now)
    assert [r.marker.snapshot for r in list_remote([repository]).remotes] == [newer.name]
    assert not list(place.rglob("parts"))
    assert list((place / PACKS).iterdir())
