"""Every call to the store is the last one of a killed run, or has another machine's run before it.

Whatever is listed comes back whole, the next run finishes, and weeks later nothing is left over.
"""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.retention import Policy
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.offsite.codec import Packer, Unpacker
from snapshot_tasks.offsite.index import Lying
from snapshot_tasks.offsite.layout import WHOLE
from snapshot_tasks.offsite.marker import Marker
from snapshot_tasks.offsite.packs import PACKS
from snapshot_tasks.offsite.repository import Repository
from snapshot_tasks.operations.offsite.prune import plan_remote, prune_remote
from snapshot_tasks.operations.offsite.push import PushRequest, push_each
from snapshot_tasks.sealing.blocks import BLOCK_BYTES
from snapshot_tasks.storage.base import Protected, Store
from snapshot_tasks.system.errors import StorageError, TaskError
from snapshot_tasks.system.progress import Silent
from tests.support.archives import archive, replaced, snapshot_entries
from tests.support.breaking import Breaking, Died, Memory
from tests.support.manifests import TAKEN_AT, catalogued
from tests.unit.operations.offsite.test_offsite import key_pair

LAST_ONE = Policy(keep_last=1)
# A snapshot with the blocks of another day.
NEW_DAY = 7
NEW = "books_20250108_120000.snapshot"


@dataclass(frozen=True)
class Keys:
    """How everything is encrypted."""

    packer: Packer
    unpacker: Unpacker


@dataclass(frozen=True)
class Machine:
    """A machine that pushes to a place, and prunes it. It has no identity, but a cache."""

    store: Store
    keys: Keys
    catalog: Catalog
    cache: Path

    @property
    def repository(self) -> Repository:
        """The place."""
        return Repository(self.store)

    def take(self, day: int, like: int) -> Snapshot:
        """Return the snapshot of a day, which is `like` the one of another day."""
        taken_at = TAKEN_AT + timedelta(days=day)
        with suppress(TaskError):
            return self.catalog.find(f"books_{taken_at:%Y%m%d_%H%M%S}.snapshot")
        return catalogued(self.catalog, content=content(like), taken_at=taken_at)

    def push(self, day: int, *, like: int | None = None, again: bool = False) -> None:
        """Push the snapshot of a day."""
        request = PushRequest(
            snapshot=self.take(day, day if like is None else like),
            packer=self.keys.packer,
            cache=self.cache,
            again=again,
            pack_bytes=BLOCK_BYTES,
        )
        progress = Silent()
        batch = push_each([request], [self.repository], progress, clock=lambda: datetime.now(UTC))
        if batch.failures:
            raise batch.failures[0].error

    def prune(self) -> None:
        """Keep one snapshot."""
        now = datetime.now(UTC)
        plans = plan_remote(self.repository, LAST_ONE, now=now)
        batch = prune_remote(plans, LAST_ONE, Silent(), now=now)
        if batch.failures:
            raise batch.failures[0].error


def content(day: int) -> bytes:
    """Return a snapshot of some packs: one is of that day, one also of a day before or after it."""
    noise = [random.Random(seed).randbytes(BLOCK_BYTES) for seed in (1, day + 10, day // 2 + 100)]
    return archive(replaced(snapshot_entries(), "0/wal/open-1", b"".join(noise)))


@pytest.fixture(params=["open", "encrypted"])
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> Keys:
    """Without encryption, and with it."""
    if request.param == "open":
        return Keys(Packer(), Unpacker())
    recipient, identity = key_pair(tmp_path)
    return Keys(Packer((recipient,)), Unpacker(identity))


@dataclass(frozen=True)
class Start:
    """The place and the machine from which every round starts."""

    memory: Memory
    machine: Machine

    def copied(self, root: Path) -> tuple[Memory, Machine]:
        """Return the same for one round; the snapshots are shared."""
        memory, cache = self.memory.copy(), root / "cache"
        shutil.rmtree(cache, ignore_errors=True)
        shutil.copytree(self.machine.cache, cache)
        return memory, Machine(memory, self.machine.keys, self.machine.catalog, cache)


def start(keys: Keys, root: Path, before: Callable[[Machine], None]) -> Start:
    """Return a place with what was done before."""
    catalog = Catalog(root / "snapshots")
    catalog.make_folder()
    (root / "first").mkdir()
    machine = Machine(Memory(), keys, catalog, root / "first")
    before(machine)
    return Start(machine.store, machine)  # type: ignore[arg-type]


def whole(place: Memory, unpacker: Unpacker) -> set[str]:
    """Read all that is listed, as a pull does, and return the names."""
    repository, names = Repository(place), set()
    for marker in repository.markers():
        assert isinstance(marker, Marker), marker
        assert marker.index
        index = repository.index_of(marker, marker.index, unpacker)
        digest = hashlib.sha256()
        for piece in index.pieces:
            if isinstance(piece, Lying):
                read = repository.packs.read([(piece.block, piece.place)], index.key, unpacker)
                digest.update(next(read)[1])
            else:
                digest.update(bytes(piece.size_bytes))
        assert digest.hexdigest() == marker.sha256
        for blob in marker.beside.values():
            repository.fetch(marker.key, blob, unpacker)
        names.add(marker.snapshot)
    return names


def assert_no_residue(here: Machine) -> None:
    """Let weeks pass, with a prune in each: only what snapshots need is left."""
    for _ in range(3):
        aged(here)
        here.prune()
        # A prune does nothing in a place without any snapshot.
        here.repository.sweep(now=datetime.now(UTC))
        here.repository.sweep_packs(now=datetime.now(UTC))
    needed = set()
    for marker in here.repository.markers():
        assert isinstance(marker, Marker)
        own = {WHOLE, *(blob.name for blob in marker.blobs)}
        needed |= {marker.key.marker} | {f"{marker.key.folder}/{name}" for name in own}
        needed |= {f"{PACKS}/{pack.name}" for pack in marker.packs}
    left = {stored.name for stored in here.store.list("")}
    assert left - needed == set()
    assert {name for name in needed - left if not name.endswith(f"/{WHOLE}")} == set()


def nothing(here: Machine) -> None:
    """Nothing is there."""


def one(here: Machine) -> None:
    """A snapshot is there."""
    here.push(0)


def three(here: Machine) -> None:
    """Three snapshots are there."""
    for day in range(3):
        here.push(day)


def damaged(here: Machine) -> None:
    """A pack of two snapshots was found damaged."""
    here.push(0)
    here.push(1)
    memory = here.store
    assert isinstance(memory, Memory)
    name = next(iter(here.repository.packs.sizes()))
    memory.write(f"{PACKS}/{name}", b"rubbish")
    here.repository.note_damaged(f"{PACKS}/{name}")


def unneeded(here: Machine) -> None:
    """Two snapshots were deleted a week ago."""
    three(here)
    here.prune()
    aged(here)


def noted(here: Machine) -> None:
    """The packs that only they needed got notes a week ago."""
    unneeded(here)
    here.prune()
    aged(here)


def killed(here: Machine) -> None:
    """A push was killed a week ago, just before its marker."""
    here.push(0)
    memory = here.store
    assert isinstance(memory, Memory)
    with suppress(Died):
        # The last calls: the marker, a look whether all is there, the note, and the sweep.
        Machine(_Dying(memory), here.keys, here.catalog, here.cache).push(NEW_DAY, like=0)
    assert NEW not in whole_names(memory)
    aged(here)


class _Dying(Memory):
    """A store that dies when a marker is written."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory.objects)

    def write(self, name: str, data: bytes, *, new: bool = False) -> None:
        """Write anything but a marker."""
        if name.startswith("pushed/"):
            raise Died
        super().write(name, data, new=new)


def whole_names(place: Memory) -> set[str]:
    """Return the names of the snapshots that are listed."""
    keys = Repository(place).keys()
    return {key.snapshot for key in keys}


def aged(here: Machine, days: float = 8) -> None:
    """Let a week pass, or longer."""
    assert isinstance(here.store, Memory)
    here.store.age(days)


def heal(here: Machine) -> None:
    """Push both again."""
    here.push(0)
    here.push(1)


CRASHES: dict[str, tuple[Callable[[Machine], None], Callable[[Machine], None]]] = {
    "first push": (nothing, lambda here: here.push(0)),
    "second push": (one, lambda here: here.push(1)),
    "push of what was killed": (killed, lambda here: here.push(NEW_DAY, like=0)),
    "healing push": (damaged, heal),
    "drop": (three, Machine.prune),
    "packs get notes": (unneeded, Machine.prune),
    "packs are deleted": (noted, Machine.prune),
    "leftovers are swept": (killed, Machine.prune),
}


@pytest.mark.parametrize("what", CRASHES)
def test_killed_after_any_call(keys: Keys, tmp_path: Path, what: str) -> None:
    """What is listed is whole; the next run finishes; weeks later nothing else is there."""
    before, work = CRASHES[what]
    begin = start(keys, tmp_path, before)
    number, reached = 0, True
    while reached:
        memory, here = begin.copied(tmp_path)
        store = Breaking(memory, number)
        with suppress(Died):
            work(Machine(store, keys, here.catalog, here.cache))
        reached, number = store.reached, number + 1
        if "heal" not in what:
            whole(memory, keys.unpacker)
            assert_no_residue(Machine(memory.copy(), keys, here.catalog, here.cache))
        work(here)
        assert whole(memory, keys.unpacker)
        assert_no_residue(here)
        whole(memory, keys.unpacker)


STATES = {
    "drop": three,
    "packs get notes": unneeded,
    "packs are deleted": noted,
    "leftovers are swept": killed,
}
PUSHES: dict[str, Callable[[Machine], None]] = {
    "shares packs": lambda here: here.push(NEW_DAY, like=0),
    "the same snapshot": lambda here: here.push(0, again=True),
    "sends all again": lambda here: here.push(NEW_DAY, like=0, again=True),
}


@pytest.mark.parametrize("first", ["prune", "push"])
@pytest.mark.parametrize(
    ("state", "what"),
    [
        *((state, "shares packs") for state in STATES),
        ("packs are deleted", "sends all again"),
        ("leftovers are swept", "sends all again"),
        ("drop", "the same snapshot"),
    ],
)
def test_another_machine_at_any_call(
    keys: Keys, tmp_path: Path, state: str, what: str, first: str
) -> None:
    """A whole push runs before each call of a prune, or a whole prune before each of a push."""
    begin = start(keys, tmp_path, STATES[state])
    number, reached = 0, True
    while reached:
        memory, here = begin.copied(tmp_path)
        done: list[str] = []

        def run(kind: str, store: Store, here: Machine = here, done: list[str] = done) -> None:
            machine = Machine(store, keys, here.catalog, here.cache)
            with suppress(StorageError):
                machine.prune() if kind == "prune" else PUSHES[what](machine)
                done.append(kind)

        def meanwhile(run: Callable[..., None] = run, memory: Memory = memory) -> None:
            run("push" if first == "prune" else "prune", memory)

        store = Breaking(memory, number, meanwhile=meanwhile)
        run(first, store)
        reached, number = store.reached, number + 1
        names = whole(memory, keys.unpacker)
        assert NEW in names or "push" not in done or what == "the same snapshot", number
        assert_no_residue(here)
        assert whole(memory, keys.unpacker), number


def test_a_place_that_keeps_everything_for_a_month(keys: Keys, tmp_path: Path) -> None:
    """Nothing is lost, a prune fails, and goes on months later: notes are kept for a month too."""
    begin = start(keys, tmp_path, noted)
    memory, here = begin.memory, begin.machine
    memory.kept = timedelta(days=30)
    here.push(3)
    for work in (here.prune, lambda: here.repository.sweep_packs(now=datetime.now(UTC))):
        with pytest.raises(Protected):
            work()
        assert len(whole(memory, keys.unpacker)) == 2
    for _ in range(3):
        aged(here, 40)
        with suppress(Protected):
            here.prune()
    assert_no_residue(here)
    assert len(whole(memory, keys.unpacker)) == 1
