"""Blocks off-site move into new packs, and each snapshot stays whole: at every call, killed too."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyrage
import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.retention import Policy
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.offsite.codec import Packer, Unpacker
from snapshot_tasks.offsite.packs import PACKS
from snapshot_tasks.offsite.repository import Repository
from snapshot_tasks.operations.offsite.listing import list_remote
from snapshot_tasks.operations.offsite.moving import Keys
from snapshot_tasks.operations.offsite.prune import plan_places, prune_remote, rewrite_places
from snapshot_tasks.operations.offsite.pull import pull
from snapshot_tasks.operations.offsite.push import PushRequest, push
from snapshot_tasks.operations.offsite.rekey import plan_rekey, rekey_each
from snapshot_tasks.operations.offsite.sparse import rewrite
from snapshot_tasks.sealing.blocks import BLOCK_BYTES
from snapshot_tasks.storage.base import Store
from snapshot_tasks.system.errors import Refused, SettingsError
from snapshot_tasks.system.progress import Silent
from tests.conftest import now
from tests.support.amount import amount
from tests.support.archives import archive, replaced, snapshot_entries
from tests.support.breaking import Breaking, Died, Memory
from tests.support.manifests import TAKEN_AT, catalogued

POLICY = Policy(keep_last=2)
# Of all calls, those that CI breaks.
STEP = amount("MOVING_STEP", quick=3, full=1)


def noise(seed: int) -> bytes:
    """Return a block that does not compress."""
    return random.Random(seed).randbytes(BLOCK_BYTES)


class World:
    """Three snapshots in one place: the first shares one block of its pack with the others."""

    def __init__(self, folder: Path, *, encrypted: bool) -> None:
        identity = pyrage.x25519.Identity.generate()
        (folder / "identity").write_text(f"{identity}\n", encoding="utf-8")
        self.folder, self.store = folder, Memory()
        self.catalog = Catalog(folder / "snapshots")
        self.catalog.make_folder()
        self.unpacker = Unpacker(folder / "identity")
        self.keys = Keys(
            packer=Packer((str(identity.to_public()),) if encrypted else ()),
            unpacker=self.unpacker,
            cache=self.catalog.folder,
        )
        blocks = ((1, 2, 3, 4), (1, 5), (1, 6))
        self.snapshots = [self.made(day, seeds) for day, seeds in enumerate(blocks)]
        for snapshot in self.snapshots:
            self.push(snapshot)
        self.store.age(8)

    def made(self, day: int, seeds: tuple[int, ...]) -> Snapshot:
        """Catalogue a snapshot with these blocks."""
        content = b"".join(map(noise, seeds))
        data = archive(replaced(snapshot_entries(), "0/wal/open-1", content))
        return catalogued(self.catalog, content=data, taken_at=TAKEN_AT + timedelta(days=day))

    def push(self, snapshot: Snapshot) -> int:
        """Push one; return how many bytes were sent."""
        request = PushRequest(
            snapshot=snapshot,
            packer=self.keys.packer,
            unpacker=self.keys.unpacker,
            cache=self.keys.cache,
        )
        return push(request, Repository(self.store), Silent()).sent_bytes

    def packs(self) -> dict[str, int]:
        """Return the packs, and their sizes."""
        return {s.name.removeprefix(f"{PACKS}/"): s.size_bytes for s in self.store.list(PACKS)}

    def prune(self, store: Store | None = None) -> list[int]:
        """Prune the place as the task does; return how many packs were written anew."""
        repository, at = Repository(store or self.store), now()
        planned = plan_places([repository], None, POLICY, now=at, keys=self.keys)
        pruned = prune_remote(planned.plans, POLICY, Silent(), now=at)
        anew = rewrite_places(planned, pruned, None, self.keys, Silent(), now=at)
        if anew.failures:
            raise anew.failures[0].error
        return list(anew.results)

    def check_all_come_back(self, names: list[str]) -> None:
        """Pull everything that is listed into a new folder, and compare it."""
        remotes = list_remote([Repository(self.store)]).remotes
        assert {remote.marker.snapshot for remote in remotes} >= set(names)
        folder = self.folder / f"pulled-{random.randrange(1 << 40)}"
        catalog = Catalog(folder)
        catalog.make_folder()
        for remote in remotes:
            got = pull(remote, catalog, self.unpacker, Silent()).snapshot
            assert got.path.read_bytes() == (self.catalog.folder / got.name).read_bytes()


@pytest.fixture(params=["open", "encrypted"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """A place."""
    return World(tmp_path, encrypted=request.param == "encrypted")


def test_a_pack_of_which_little_is_needed_is_written_anew(world: World) -> None:
    """What is left of it moves, everything comes back, and a week later the old pack is gone."""
    before = world.packs()
    newer = [snapshot.name for snapshot in world.snapshots[1:]]
    assert world.prune() == [1]
    assert set(before) < set(world.packs())
    world.check_all_come_back(newer)
    assert world.prune() == []
    world.store.age(8)
    world.prune()
    sparse = max(before, key=lambda name: before[name])
    after = world.packs()
    assert sparse not in after
    assert sum(after.values()) < sum(before.values()) - 2.5 * BLOCK_BYTES
    world.check_all_come_back(newer)


def test_the_next_push_relies_on_what_has_moved(world: World) -> None:
    """This machine knows where the block lies now, so only what is new is sent."""
    world.prune()
    snapshot = world.made(9, (1, 9))
    assert BLOCK_BYTES < world.push(snapshot) < 1.5 * BLOCK_BYTES


def test_without_an_identity_nothing_moves(tmp_path: Path) -> None:
    """Nobody but the owner of the identity knows what is needed."""
    world = World(tmp_path, encrypted=True)
    world.keys = Keys(packer=world.keys.packer, unpacker=Unpacker(), cache=world.keys.cache)
    assert world.prune() == []


def test_where_the_old_is_protected_nothing_is_written_anew(world: World) -> None:
    """Under an object lock it would only get more."""
    world.store.kept = timedelta(days=30)
    before = world.packs()
    assert world.prune() == []
    assert world.packs() == before


def test_packs_that_another_collection_needs_stay(world: World) -> None:
    """Pruning one collection touches no snapshot of another."""
    data = (world.catalog.folder / world.snapshots[0].name).read_bytes()
    world.push(catalogued(world.catalog, collection="films", content=data))
    count = rewrite(
        None, Repository(world.store), world.keys, Silent(), collections={"books"}, now=now()
    )
    assert count == 0


def test_young_packs_stay(world: World) -> None:
    """A push that has just begun may rely on them."""
    world.store.age(-9)
    assert (
        rewrite(None, Repository(world.store), world.keys, Silent(), collections=None, now=now())
        == 0
    )


@pytest.mark.parametrize("step", [0, 1, 2])
def test_killed_at_any_call(world: World, step: int) -> None:
    """Everything comes back after it, and the next run moves what is left to move."""
    untouched, number, newer = world.store, step, [one.name for one in world.snapshots[1:]]
    while True:
        world.store = untouched.copy()
        store = Breaking(world.store, number)
        with suppress(Died):
            world.prune(store)
        world.check_all_come_back(newer)
        if not store.reached:
            return
        world.prune()
        world.store.age(8)
        world.prune()
        world.check_all_come_back(newer)
        assert sum(world.packs().values()) < 4 * BLOCK_BYTES
        number += 3 * STEP


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_push_at_any_call(world: World, step: int) -> None:
    """Another machine pushes one that shares the block: both come back, also a week later."""
    untouched, number, newer = world.store, step, [one.name for one in world.snapshots[1:]]
    other = world.made(9, (1, 9))
    while True:
        world.store = untouched.copy()
        store = Breaking(world.store, number, meanwhile=lambda: world.push(other))
        world.prune(store)
        if not store.reached:
            return
        world.check_all_come_back([*newer, other.name][-2:])
        world.store.age(8)
        world.prune()
        world.store.age(8)
        world.prune()
        world.check_all_come_back([*newer, other.name][-2:])
        number += 3 * STEP


class Rekeyed(World):
    """A place whose copies another one shall read."""

    def __init__(self, folder: Path, *, encrypted: bool) -> None:
        super().__init__(folder, encrypted=encrypted)
        self.old = self.unpacker
        identity = pyrage.x25519.Identity.generate()
        (folder / "new").write_text(f"{identity}\n", encoding="utf-8")
        self.unpacker = Unpacker(folder / "new")
        self.keys = replace(self.keys, packer=Packer((str(identity.to_public()),)))

    @property
    def names(self) -> list[str]:
        """The snapshots."""
        return [snapshot.name for snapshot in self.snapshots]

    def rekey(self, store: Store | None = None) -> list[str]:
        """Encrypt everything anew; return the names of what was."""
        planned = plan_rekey([Repository(store or self.store)], None, self.keys)
        done = rekey_each(planned, self.keys, Silent())
        if done.failures:
            raise done.failures[0].error
        return [one.marker.snapshot for one in done.results]


@pytest.fixture(params=["open", "encrypted"])
def rekeyed(request: pytest.FixtureRequest, tmp_path: Path) -> Rekeyed:
    """A place whose copies are not encrypted, or encrypted to somebody else."""
    return Rekeyed(tmp_path, encrypted=request.param == "encrypted")


def test_others_can_read_it_afterwards(rekeyed: Rekeyed) -> None:
    """And the former ones no longer, once what nobody needs has gone."""
    assert rekeyed.rekey() == rekeyed.names
    rekeyed.check_all_come_back(rekeyed.names)
    assert rekeyed.rekey() == []
    for _ in range(2):
        rekeyed.store.age(8)
        Repository(rekeyed.store).sweep(now=now())
        Repository(rekeyed.store).sweep_packs(now=now())
    rekeyed.check_all_come_back(rekeyed.names)
    ending = rekeyed.keys.packer.ending
    sent = [name for name in rekeyed.store.objects if name.startswith(("packs/", "data/"))]
    assert all(name.endswith((ending, "/whole")) for name in sent)
    rekeyed.unpacker = rekeyed.old
    with pytest.raises(SettingsError):
        rekeyed.check_all_come_back(rekeyed.names)


def test_the_next_push_sends_only_what_is_new(rekeyed: Rekeyed) -> None:
    """This machine has noted what lies there for the new recipients."""
    rekeyed.rekey()
    assert rekeyed.push(rekeyed.made(9, (1, 2, 9))) < 1.5 * BLOCK_BYTES


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_rekey_killed_at_any_call(rekeyed: Rekeyed, step: int) -> None:
    """Each snapshot is whole for one of both, and the next run finishes."""
    untouched, number = rekeyed.store, step
    while True:
        rekeyed.store = untouched.copy()
        store = Breaking(rekeyed.store, number)
        with suppress(Died):
            rekeyed.rekey(store)
        listed = list_remote([Repository(rekeyed.store)]).remotes
        assert len(listed) == len(rekeyed.names)
        rekeyed.rekey()
        rekeyed.check_all_come_back(rekeyed.names)
        if not store.reached:
            return
        for known in (rekeyed.catalog.folder / ".offsite").glob("*.known"):
            known.unlink()
        number += 3 * STEP


def test_copies_are_never_decrypted(tmp_path: Path) -> None:
    """Without recipients, and without an identity that can read them, nothing is changed."""
    rekeyed = Rekeyed(tmp_path, encrypted=True)
    before = dict(rekeyed.store.objects)
    keys = rekeyed.keys
    rekeyed.keys = replace(keys, packer=Packer())
    with pytest.raises(Refused):
        rekeyed.rekey()
    for unpacker in (Unpacker(), Unpacker(tmp_path / "new")):
        rekeyed.keys = replace(keys, unpacker=unpacker)
        with pytest.raises(SettingsError):
            rekeyed.rekey()
    assert rekeyed.store.objects == before
