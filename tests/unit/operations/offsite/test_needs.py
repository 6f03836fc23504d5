"""What only one snapshot needs off-site, and what is freed by deleting some: packs are shared."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.retention import Policy
from snapshot_tasks.offsite.codec import Packer
from snapshot_tasks.offsite.needs import freed_bytes
from snapshot_tasks.offsite.pack_store import ABANDONED_AFTER
from snapshot_tasks.offsite.repository import Repository, Unreadable
from snapshot_tasks.operations.offsite.listing import list_remote
from snapshot_tasks.operations.offsite.prune import plan_places, prune_remote
from snapshot_tasks.operations.offsite.push import PushRequest, push
from snapshot_tasks.sealing.blocks import BLOCK_BYTES
from snapshot_tasks.storage.stores import open_store
from snapshot_tasks.system.progress import Silent
from tests.conftest import now
from tests.support.archives import archive, replaced, snapshot_entries
from tests.support.manifests import TAKEN_AT, catalogued

NEWEST = Policy(keep_last=1)


def noise(seed: int) -> bytes:
    """Return a block that does not compress."""
    return random.Random(seed).randbytes(BLOCK_BYTES)


@pytest.fixture
def repository(tmp_path: Path, catalog: Catalog) -> Repository:
    """Three snapshots, each with a block that all have and one of its own."""
    place = tmp_path / "place"
    place.mkdir()
    repository = Repository(open_store(str(place), {}))
    shared, old, new = noise(1), noise(2), noise(3)
    wholes = (("books", shared + old), ("books", shared + new), ("films", shared + noise(4)))
    for number, (collection, content) in enumerate(wholes):
        made = catalogued(
            catalog,
            collection=collection,
            content=archive(replaced(snapshot_entries(), "0/wal/open-1", content)),
            taken_at=TAKEN_AT + timedelta(days=number),
        )
        push(
            PushRequest(snapshot=made, packer=Packer(), pack_bytes=BLOCK_BYTES),
            repository,
            Silent(),
        )
    return repository


def used_bytes(repository: Repository) -> int:
    """Return how much lies in packs and in the folders of snapshots, without notes."""
    listed = [*repository.store.list("packs"), *repository.store.list("data")]
    return sum(stored.size_bytes for stored in listed if not stored.name.endswith("/whole"))


def test_what_only_one_needs(repository: Repository) -> None:
    """Packs that another needs do not count, also one of another collection that is not listed."""
    every = list_remote([repository], needs=True).remotes
    _, newer, older = every
    for remote in every:
        only = remote.only_bytes
        assert only is not None
        assert BLOCK_BYTES < only <= remote.marker.stored_bytes - BLOCK_BYTES
    of_books = list_remote([repository], "books", needs=True).remotes
    assert of_books == (newer, older)
    assert {remote.only_bytes for remote in list_remote([repository]).remotes} == {None}


def test_what_is_freed_is_what_goes(repository: Repository) -> None:
    """The plan's figure is exact: so much less lies there a week later."""
    markers = [m for m in repository.markers() if not isinstance(m, Unreadable)]
    before = used_bytes(repository)
    planned = plan_places([repository], ["books"], NEWEST, now=now())
    (plan,) = planned.plans
    freed = plan.freed_bytes
    assert freed == freed_bytes(markers, plan.drops) > BLOCK_BYTES
    prune_remote(planned.plans, NEWEST, Silent(), now=now())
    for weeks in (1, 2):
        repository.sweep_packs(now=now() + weeks * ABANDONED_AFTER + timedelta(hours=1))
    assert before - used_bytes(repository) == freed


def test_two_plans_of_one_place_free_together_what_they_share(repository: Repository) -> None:
    """A pack that both collections need is freed once: by the second plan."""
    markers = [m for m in repository.markers() if not isinstance(m, Unreadable)]
    made = [m for m in markers if m.collection == "films"]
    keys = [m.key for m in markers if m not in made]
    apart = freed_bytes(markers, keys) + freed_bytes(markers, [made[0].key])
    assert freed_bytes(markers, [m.key for m in markers]) > apart
    assert freed_bytes(markers, [m.key for m in markers]) == used_bytes(repository)


def test_a_marker_that_cannot_be_read_leaves_it_unknown(repository: Repository) -> None:
    """Nobody knows what that snapshot needs."""
    films = next(key for key in repository.keys("films"))
    repository.store.write(films.marker, b"{}")
    listing = list_remote([repository], "books", needs=True)
    assert not listing.failures
    assert [remote.only_bytes for remote in listing.remotes] == [None, None]
    (plan,) = plan_places([repository], ["books"], NEWEST, now=now()).plans
    assert plan.freed_bytes is None
    assert plan.drops
