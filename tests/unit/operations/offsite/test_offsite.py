"""Push and pull between two folders: what arrives, what is refused, what is never visible."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import tracemalloc
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyrage
import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.checks.offsite import check_offsite
from snapshot_tasks.checks.patient import Patient
from snapshot_tasks.domain.probes_file import ProbesFile, dump_probes
from snapshot_tasks.domain.retention import Policy
from snapshot_tasks.domain.search_parity import Probe
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.offsite.codec import Packer, Unpacker
from snapshot_tasks.offsite.layout import (
    MANIFEST,
    PROBES,
    WHOLE,
    Key,
    parse_data_name,
    parse_marker_name,
)
from snapshot_tasks.offsite.marker import Marker, parse_marker
from snapshot_tasks.offsite.pack_store import ABANDONED_AFTER
from snapshot_tasks.offsite.packs import PACKS
from snapshot_tasks.offsite.repository import Repository, Unreadable
from snapshot_tasks.offsite.upload import Upload
from snapshot_tasks.operations.offsite.listing import choose, list_remote
from snapshot_tasks.operations.offsite.prune import plan_remote, prune_remote
from snapshot_tasks.operations.offsite.pull import SPARE_BYTES, pull, pull_each
from snapshot_tasks.operations.offsite.push import (
    PUSHED,
    REFRESHED,
    THERE,
    Pushed,
    PushRequest,
    push,
    push_each,
)
from snapshot_tasks.sealing.blocks import BLOCK_BYTES
from snapshot_tasks.settings import Settings
from snapshot_tasks.storage.folder import FolderStore
from snapshot_tasks.storage.stores import open_store, parse_place
from snapshot_tasks.system.errors import Damaged, NotFound, Refused, SettingsError, StorageError
from snapshot_tasks.system.progress import Silent
from tests.support.archives import archive, replaced, snapshot_entries
from tests.support.manifests import TAKEN_AT, add_drill, add_proof, catalogued
from tests.support.world import flip_byte, tree

PACK = BLOCK_BYTES
NOW = TAKEN_AT + timedelta(days=1)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The folder of another machine."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


@pytest.fixture
def repository(place: Path) -> Repository:
    """A store with nothing in it."""
    return Repository(open_store(str(place), {}))


@pytest.fixture
def other(tmp_path: Path) -> Catalog:
    """The catalogue of a machine that has lost everything."""
    return Catalog(tmp_path / "new" / "snapshots")


@pytest.fixture
def snapshot(catalog: Catalog) -> Snapshot:
    """A catalogued snapshot of several parts, with a proof."""
    made = catalogued(catalog, content=content(), aliases=("library",))
    add_drill(made, TAKEN_AT + timedelta(hours=1))
    return catalog.find(made.name)


def content(seed: int = 1) -> bytes:
    """Return an intact snapshot file of several parts that do not compress."""
    return archive(replaced(snapshot_entries(), "0/wal/open-1", content_noise(seed)))


def content_noise(seed: int = 1) -> bytes:
    """Return a file of three blocks and a bit that do not compress."""
    return random.Random(seed).randbytes(3 * PACK + 17)


def request(snapshot: Snapshot, **changes: Any) -> PushRequest:
    """Return a request with small packs."""
    facts: dict[str, Any] = {"snapshot": snapshot, "packer": Packer(), "pack_bytes": PACK}
    return PushRequest(**(facts | changes))


def pushed(snapshot: Snapshot, repository: Repository, **changes: Any) -> Pushed:
    """Push it."""
    return push(request(snapshot, **changes), repository, Silent())


def commit(repository: Repository, marker: Marker) -> None:
    """Write a marker, whatever it contains."""
    repository.store.write(marker.key.marker, marker.dump())


def pulled(repository: Repository, catalog: Catalog, unpacker: Unpacker = Unpacker()) -> Snapshot:  # noqa: B008
    """Pull the newest snapshot."""
    (remote, *_) = choose(list_remote([repository]))
    catalog.make_folder()
    return pull(remote, catalog, unpacker, Silent()).snapshot


def beside(snapshot: Snapshot) -> dict[str, bytes]:
    """Return every file of a snapshot."""
    stem = snapshot.name.removesuffix(".snapshot")
    return {p.name: p.read_bytes() for p in snapshot.path.parent.glob(f"{stem}*")}


def key_pair(folder: Path) -> tuple[str, Path]:
    """Return a new recipient, and the file of its identity."""
    identity = pyrage.x25519.Identity.generate()
    file = folder / f"{str(identity.to_public())[:12]}.txt"
    file.write_text(f"# made for a test\n{identity}\n")
    return str(identity.to_public()), file


def blobs(place: Path) -> list[Path]:
    """Return the data files and the packs there."""
    files = (p for name in ("data", "packs") for p in (place / name).rglob("*") if p.is_file())
    return sorted(p for p in files if p.name != WHOLE)


def in_all(markers: Sequence[Marker]) -> int:
    """Return how many objects these snapshots consist of together."""
    packs = {pack.name for marker in markers for pack in marker.packs}
    return len(packs) + sum(len(marker.blobs) for marker in markers)


def test_what_comes_back_is_what_went(
    snapshot: Snapshot, repository: Repository, other: Catalog
) -> None:
    """File, manifest and proofs, byte for byte; the latest link follows."""
    done = pushed(snapshot, repository)
    assert (done.outcome, len(done.marker.packs)) == (PUSHED, 5)
    assert done.marker.proven_at == snapshot.proven_at is not None
    back = pulled(repository, other)
    assert beside(back) == beside(snapshot)
    assert other.latest_target("books") == back.path
    assert (back.proven_at, back.manifest) == (snapshot.proven_at, snapshot.manifest)
    assert not [name for name in tree(other.folder) if ".pull" in name or ".staging" in name]


def with_searches(catalog: Catalog) -> Snapshot:
    """A catalogued snapshot with recorded searches in a file of their own."""
    text = dump_probes([Probe(vector="", id=7, exact=((7, 1.0),), recall=1.0)])
    assert text is not None
    made = catalogued(catalog, probes_file=ProbesFile.of(text))
    made.probes_path.write_text(text, encoding="utf-8")
    return catalog.find(made.name)


def test_the_recorded_searches_travel(
    catalog: Catalog, repository: Repository, other: Catalog
) -> None:
    """They come back too."""
    made = with_searches(catalog)
    assert PROBES in pushed(made, repository).marker.beside
    assert pulled(repository, other).probes == made.probes


@pytest.mark.parametrize("how", ["missing", "changed"])
def test_a_snapshot_that_lost_its_searches_is_not_pushed(
    catalog: Catalog, repository: Repository, how: str
) -> None:
    """What arrives there would not be what was taken."""
    made = with_searches(catalog)
    made.probes_path.unlink() if how == "missing" else made.probes_path.write_text("[]")
    with pytest.raises(Damaged, match=r"probes\.json"):
        pushed(catalog.find(made.name), repository)
    assert list_remote([repository]).remotes == ()


@pytest.mark.parametrize("how", ["missing", "changed"])
def test_a_copy_without_its_searches_is_not_taken_in(
    catalog: Catalog, repository: Repository, other: Catalog, how: str
) -> None:
    """A pull refuses a marker without the file that the manifest identifies, or with another."""
    marker = pushed(with_searches(catalog), repository).marker
    beside = dict(marker.beside)
    probes = beside.pop(PROBES)
    if how == "changed":
        beside[PROBES] = beside[MANIFEST]
    assert probes
    commit(repository, dataclasses.replace(marker, beside=beside))
    with pytest.raises(Damaged, match=r"probes\.json"):
        pulled(repository, other)
    assert other.entries() == []


def test_a_second_push_sends_nothing(
    snapshot: Snapshot, repository: Repository, place: Path
) -> None:
    """Nothing changes, because the same bytes are there."""
    pushed(snapshot, repository)
    before = {p: p.stat().st_mtime_ns for p in place.rglob("*")}
    again = pushed(snapshot, repository)
    assert (again.outcome, again.sent_bytes) == (THERE, 0)
    assert {p: p.stat().st_mtime_ns for p in place.rglob("*")} == before


def test_a_new_proof_and_a_pin_follow(
    snapshot: Snapshot, repository: Repository, catalog: Catalog
) -> None:
    """What may change later is updated, and no block is sent again."""
    pushed(snapshot, repository)
    later = TAKEN_AT + timedelta(days=3)
    add_drill(snapshot, later)
    again = pushed(catalog.find(snapshot.name), repository, pinned=True)
    assert (again.outcome, again.marker.proven_at, again.marker.pinned) == (REFRESHED, later, True)
    assert again.sent_bytes < 1000
    assert repository.find(again.marker.key) == again.marker


def test_fewer_proofs_here_take_none_away_there(
    snapshot: Snapshot, repository: Repository, catalog: Catalog
) -> None:
    """A folder that lost its proofs, or the manifest, does not remove them from the copy."""
    proven_at = pushed(snapshot, repository).marker.proven_at
    snapshot.proofs_path.write_text('{"kind":"drill","ok":true,"at":"2025-01-01T00:00:00+00:00"}\n')
    first = pushed(catalog.find(snapshot.name), repository)
    assert first.marker.proven_at == proven_at
    snapshot.proofs_path.unlink()
    snapshot.path.with_name(snapshot.name + ".json").unlink()
    again = pushed(catalog.find(snapshot.name), repository)
    assert (again.outcome, again.marker) == (THERE, first.marker)


def test_without_its_marker_a_push_is_invisible(
    snapshot: Snapshot, repository: Repository, place: Path, other: Catalog
) -> None:
    """All packs are there, but no list shows it, and the next push sends only the marker."""
    first = pushed(snapshot, repository)
    (place / first.marker.key.marker).unlink()
    assert list_remote([repository]).remotes == ()
    with pytest.raises(NotFound):
        pulled(repository, other)
    again = pushed(snapshot, repository)
    assert (again.outcome, again.sent_bytes) == (PUSHED, 0)


def test_only_the_packs_that_are_missing_are_sent(
    snapshot: Snapshot, repository: Repository, place: Path, other: Catalog
) -> None:
    """One pack is missing there and one is cut off: a push repairs the copy."""
    first = pushed(snapshot, repository)
    _, two, three, *_ = (place / PACKS / pack.name for pack in first.marker.packs)
    two.unlink()
    os.truncate(three, 5)
    again = pushed(snapshot, repository)
    assert again.outcome == PUSHED
    assert again.sent_bytes == sum(p.stored_bytes for p in first.marker.packs[1:3])
    assert beside(pulled(repository, other)) == beside(snapshot)


def test_a_damaged_file_is_never_made_visible(snapshot: Snapshot, repository: Repository) -> None:
    """Its SHA-256 is not the recorded one: exit code 20, and no marker."""
    data = bytearray(snapshot.path.read_bytes())
    data[len(data) // 2] ^= 1
    snapshot.path.write_bytes(data)
    with pytest.raises(Damaged, match="SHA-256"):
        pushed(snapshot, repository)
    assert list_remote([repository]).remotes == ()


def test_a_file_without_a_manifest(
    catalog: Catalog, repository: Repository, other: Catalog
) -> None:
    """It is pushed unchanged; one that is cut off is refused."""
    path = catalog.folder / "foreign_20250101_120000.snapshot"
    path.write_bytes(content())
    pushed(catalog.find(path.name), repository)
    back = pulled(repository, other)
    assert (back.path.read_bytes(), back.manifest) == (content(), None)
    cut = catalog.folder / "cut_20250101_120000.snapshot"
    cut.write_bytes(content()[: 2 * PACK])
    with pytest.raises(Damaged):
        pushed(catalog.find(cut.name), repository)


def test_another_file_under_the_name_is_refused(
    snapshot: Snapshot, repository: Repository, other: Catalog
) -> None:
    """There as here: exit code 24, and nothing is overwritten."""
    pushed(snapshot, repository)
    other.make_folder()
    rival = catalogued(other, content=content(seed=2))
    assert rival.name == snapshot.name
    with pytest.raises(Refused, match="a different snapshot"):
        pushed(rival, repository)
    with pytest.raises(Refused, match="differs from the off-site copy"):
        pulled(repository, other)
    assert rival.path.read_bytes() == content(seed=2)


def test_one_place_that_fails_stops_no_other(
    snapshot: Snapshot, repository: Repository, tmp_path: Path
) -> None:
    """The second copy is written although the first disk is not mounted."""
    gone = Repository(open_store(str(tmp_path / "gone"), {}))
    result = push_each([request(snapshot)], [gone, repository], Silent(), clock=lambda: NOW)
    (failure,) = result.failures
    assert "gone" in failure.name
    assert isinstance(failure.error, StorageError)
    assert [p.url for p in result.results] == [repository.url]


def test_what_is_here_already_is_not_fetched(
    snapshot: Snapshot, repository: Repository, catalog: Catalog
) -> None:
    """The same file has this name already, so there is nothing to do."""
    pushed(snapshot, repository)
    (remote,) = list_remote([repository]).remotes
    done = pull(remote, catalog, Unpacker(), Silent())
    assert (done.already, done.fetched_bytes) == (True, 0)


def test_blocks_that_arrived_are_not_fetched_again(
    snapshot: Snapshot, repository: Repository, place: Path, other: Catalog
) -> None:
    """A pull breaks at its last pack; the next one resumes it, and checks what it finds."""
    marker = pushed(snapshot, repository).marker
    packs = [place / PACKS / pack.name for pack in marker.packs]
    hidden = packs[-1].rename(place / "hidden")
    with pytest.raises(Damaged, match="missing"):
        pulled(repository, other)
    (partial,) = other.folder.glob(".pull-*")
    data = snapshot.path.read_bytes()
    with partial.open("r+b") as file:
        file.seek(data.index(content_noise()[PACK : PACK + 100]))
        file.write(b"rot")
    hidden.rename(packs[-1])
    (remote,) = list_remote([repository]).remotes
    done = pull(remote, other, Unpacker(), Silent())
    sizes = sorted(pack.stored_bytes for pack in marker.packs)
    assert marker.index
    assert done.fetched_bytes - marker.index.stored_bytes < sizes[-1] + sizes[0] + 1000
    assert beside(done.snapshot) == beside(snapshot)


def test_what_a_killed_pull_of_another_left_goes(
    snapshot: Snapshot, repository: Repository, other: Catalog
) -> None:
    """No other run will ever resume it."""
    pushed(snapshot, repository)
    other.make_folder()
    (other.folder / ".pull-0123.part").write_bytes(b"half")
    pull_each(choose(list_remote([repository])), other, Unpacker(), Silent())
    assert not list(other.folder.glob(".pull-*"))


def test_pushed_again_mends_what_is_damaged_there(
    snapshot: Snapshot, repository: Repository, place: Path, other: Catalog
) -> None:
    """Only a pull finds a changed byte in a file of the same size; `again` sends everything."""
    flip_byte(place / PACKS / pushed(snapshot, repository).marker.packs[0].name)
    assert pushed(snapshot, repository).outcome == THERE
    with pytest.raises(Damaged) as told:
        pulled(repository, other)
    assert "push" in told.value.hint
    assert pushed(snapshot, repository, again=True).outcome == PUSHED
    assert pulled(repository, other).sha256 == snapshot.sha256


def test_a_damaged_file_here_is_not_taken_for_what_lies_off_site(
    snapshot: Snapshot, repository: Repository, catalog: Catalog
) -> None:
    """Its manifest matches but its bytes do not, and the error says what to do."""
    pushed(snapshot, repository)
    flip_byte(snapshot.path)
    with pytest.raises(Damaged) as told:
        pulled(repository, catalog)
    assert "Move it away" in told.value.hint


def test_a_panic_of_the_library_is_an_error_with_a_remedy() -> None:
    """Obstore panics for an endpoint that is not a whole URL; a panic is not an Exception."""
    variables = {
        "AWS_ENDPOINT_URL": "127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
    }
    with pytest.raises(StorageError) as told:
        list(open_store("s3://bucket", variables).list("x"))
    assert "http://" in told.value.hint


@pytest.mark.parametrize("number", range(6))
def test_damage_anywhere_off_site_is_noticed(
    snapshot: Snapshot, repository: Repository, place: Path, other: Catalog, number: int
) -> None:
    """One bit in a pack, the index, the manifest or the proofs: exit code 20, nothing taken in."""
    pushed(snapshot, repository)
    victim = blobs(place)[number]
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    with pytest.raises(Damaged):
        pulled(repository, other)
    assert other.entries() == []


def test_the_next_place_helps_out(
    snapshot: Snapshot, repository: Repository, place: Path, other: Catalog, tmp_path: Path
) -> None:
    """The first copy is damaged and the second is intact: the pull succeeds."""
    second_place = tmp_path / "second"
    second_place.mkdir()
    second = Repository(open_store(str(second_place), {}))
    for one in (repository, second):
        pushed(snapshot, one)
    blobs(place)[3].write_bytes(b"rubbish")
    (remote,) = list_remote([repository, second]).remotes
    other.make_folder()
    done = pull(remote, other, Unpacker(), Silent())
    assert done.url == str(second_place)
    assert beside(done.snapshot) == beside(snapshot)


def test_an_older_one_does_not_take_the_latest_link(
    catalog: Catalog, repository: Repository, other: Catalog
) -> None:
    """The link still points to the newest that is here."""
    old = catalogued(catalog, content=content())
    new = catalogued(catalog, content=content(2), taken_at=TAKEN_AT + timedelta(hours=1))
    for one in (old, new):
        pushed(one, repository)
    back = pulled(repository, other)
    assert back.name == new.name
    (remote,) = choose(list_remote([repository]), snapshot=old.name.removesuffix(".snapshot"))
    pull(remote, other, Unpacker(), Silent())
    assert other.latest_target("books") == back.path
    assert len(other.entries()) == 2


def test_what_was_replaced_is_not_the_newest(catalog: Catalog, repository: Repository) -> None:
    """A safety snapshot is pushed too, but pulled only by name."""
    plain = catalogued(catalog, content=content())
    safety = catalogued(
        catalog, content=content(2), taken_at=TAKEN_AT + timedelta(hours=1), safety=True
    )
    for one in (plain, safety):
        pushed(one, repository)
    listing = list_remote([repository])
    assert [r.marker.snapshot for r in choose(listing)] == [plain.name]
    assert [r.marker.snapshot for r in choose(listing, snapshot=safety.name)] == [safety.name]


def test_blocks_in_another_order_are_not_the_file(
    snapshot: Snapshot, repository: Repository, other: Catalog
) -> None:
    """Each block is intact but the whole file is not; nothing of it is kept."""
    marker = pushed(snapshot, repository).marker
    assert marker.index
    index = repository.index_of(marker, marker.index, Unpacker())
    one, two, *rest = index.pieces
    upload = Upload(repository, marker.key, Packer())
    upload.send_index(dataclasses.replace(index, pieces=(two, one, *rest)))
    commit(repository, dataclasses.replace(marker, index=upload.index))
    with pytest.raises(Damaged, match="differs from what was pushed"):
        pulled(repository, other)
    assert tree(other.folder) == []


def test_what_is_no_snapshot_is_not_taken_in(
    catalog: Catalog, repository: Repository, other: Catalog
) -> None:
    """It arrived unchanged, but it would restore nothing."""
    pushed(catalogued(catalog, content=b"rubbish" * 1000), repository)
    with pytest.raises(Damaged, match=r"books_20250101_120000\.snapshot is not a valid snapshot"):
        pulled(repository, other)
    assert tree(other.folder) == []


def test_another_snapshots_manifest_is_not_taken_in(
    snapshot: Snapshot, repository: Repository, other: Catalog, catalog: Catalog
) -> None:
    """A marker that refers to it is not enough."""
    marker = pushed(snapshot, repository).marker
    rival = pushed(catalogued(catalog, content=content(2)), repository).marker
    data = repository.fetch(rival.key, rival.beside["manifest.json"], Unpacker())
    upload = Upload(repository, marker.key, Packer())
    upload.send_beside({"manifest.json": data})
    upload.commit(dataclasses.replace(marker, beside={**marker.beside, **upload.beside}))
    (remote,) = choose(list_remote([repository]), snapshot=snapshot.name)
    other.make_folder()
    with pytest.raises(Damaged, match="belongs to another snapshot"):
        pull(remote, other, Unpacker(), Silent())
    assert tree(other.folder) == []


def test_packs_that_vanish_while_it_is_pushed(snapshot: Snapshot, place: Path) -> None:
    """Something else deletes files there at the same time: nothing incomplete becomes visible."""

    class Cleaned(FolderStore):
        def write(self, name: str, data: bytes, *, new: bool = False) -> None:
            super().write(name, data, new=new)
            if "manifest" in name:
                next((place / PACKS).iterdir()).unlink()

    repository = Repository(Cleaned(parse_place(str(place), relative_to=place), {}))
    with pytest.raises(StorageError, match=r"1 parts of .* disappeared"):
        pushed(snapshot, repository)
    assert list_remote([repository]).remotes == ()


def test_a_disk_that_is_too_small_is_told_at_once(
    snapshot: Snapshot, repository: Repository, other: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any download. The free space is made up, because no test fills this disk."""
    pushed(snapshot, repository)
    usage = shutil.disk_usage(".")._replace(free=SPARE_BYTES)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(StorageError, match="more bytes"):
        pulled(repository, other)
    assert other.entries() == []


def test_only_a_recipient_can_read_what_lies_there(
    snapshot: Snapshot, repository: Repository, place: Path, other: Catalog, tmp_path: Path
) -> None:
    """Not the pushing host, not another identity, not without one; each recipient can."""
    ours, theirs = key_pair(tmp_path), key_pair(tmp_path)
    stranger = key_pair(tmp_path)
    done = pushed(snapshot, repository, packer=Packer((ours[0], theirs[0])))
    assert done.marker.encrypted_to == (ours[0], theirs[0])
    assert all(p.read_bytes().startswith(b"age-encryption.org/v1") for p in blobs(place))
    assert all(p.name.endswith(".age") for p in blobs(place))
    with pytest.raises(SettingsError, match="no identity is set"):
        pulled(repository, other)
    with pytest.raises(SettingsError, match="encrypted to other recipients"):
        pulled(repository, other, Unpacker(stranger[1]))
    assert other.entries() == []
    assert beside(pulled(repository, other, Unpacker(theirs[1]))) == beside(snapshot)


def test_other_recipients_get_a_copy_of_their_own(
    snapshot: Snapshot, repository: Repository, other: Catalog, tmp_path: Path
) -> None:
    """What was pushed unencrypted, or to others, does not count as encrypted to these."""
    pushed(snapshot, repository)
    recipient, identity = key_pair(tmp_path)
    again = pushed(snapshot, repository, packer=Packer((recipient,)))
    assert again.outcome == PUSHED
    assert again.marker.encrypted_to == (recipient,)
    with pytest.raises(SettingsError):
        pulled(repository, other)
    assert beside(pulled(repository, other, Unpacker(identity))) == beside(snapshot)


def test_a_part_that_unpacks_to_more_than_it_says_is_refused(repository: Repository) -> None:
    """A small object cannot fill the memory."""
    bomb = Packer().pack(bytes(64 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(Damaged, match="length"):
            Unpacker().unpack("parts/00000-x.zst", bomb, max_bytes=1000)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


HOSTILE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "not an object": lambda d: [],
    "a path": lambda d: d | {"snapshot": "../../etc/x.snapshot"},
    "a collection that leads out": lambda d: d | {"collection": "../x"},
    "no time zone": lambda d: d | {"created_at": "2025-01-01T00:00:00"},
    "no hash": lambda d: d | {"sha256": "x"},
    "a size below nothing": lambda d: d | {"size_bytes": -1},
}
HOSTILE_OF_BLOCKS: dict[str, Callable[[dict[str, Any]], Any]] = HOSTILE | {
    "no index": lambda d: d | {"index": None},
    "an index that leads out": lambda d: d | {"index": d["index"] | {"name": "../../x"}},
    "an index that fills the memory": lambda d: d | {"index": d["index"] | {"size_bytes": 1 << 40}},
    "a pack that leads out": lambda d: d | {"packs": [["../../x", 1]]},
    "a pack without a size": lambda d: d | {"packs": [d["packs"][0][:1]]},
    "a pack of no bytes": lambda d: d | {"packs": [[d["packs"][0][0], -1]]},
}
HOSTILE_OF_PARTS: dict[str, Callable[[dict[str, Any]], Any]] = HOSTILE | {
    "a part that leads out": lambda d: (
        d | {"parts": [d["parts"][0] | {"name": "../../x"}, *d["parts"][1:]]}
    ),
    "parts of another length": lambda d: d | {"parts": d["parts"][:1]},
    "an empty part": lambda d: d | {"parts": [*d["parts"], d["parts"][0] | {"size_bytes": 0}]},
    "a part that fills the memory": lambda d: (
        d | {"size_bytes": 1 << 40, "parts": [d["parts"][0] | {"size_bytes": 1 << 40}]}
    ),
}


@pytest.mark.parametrize("how", HOSTILE_OF_BLOCKS)
def test_a_hostile_marker_is_refused(snapshot: Snapshot, repository: Repository, how: str) -> None:
    """Anyone who can write to the store cannot mislead a pull; other snapshots are still listed."""
    marker = pushed(snapshot, repository).marker
    document = HOSTILE_OF_BLOCKS[how](json.loads(marker.dump()))
    repository.store.write(marker.key.marker, json.dumps(document).encode())
    with pytest.raises(Damaged):
        repository.find(marker.key)
    (item,) = repository.markers()
    assert isinstance(item, Unreadable)
    listing = list_remote([repository])
    assert (listing.remotes, len(listing.failures)) == ((), 1)
    # It said what its own objects should be, so these are sent anew; packs say it themselves.
    assert 0 < pushed(snapshot, repository).sent_bytes < PACK
    assert repository.find(marker.key) == marker


def test_a_marker_of_another_snapshot_is_never_replaced(
    snapshot: Snapshot, repository: Repository
) -> None:
    """A disk that does not tell `Books` from `books` shows the marker of the other one."""
    marker = pushed(snapshot, repository).marker
    other = dataclasses.replace(marker, collection="Books").dump()
    repository.store.write(marker.key.marker, other)
    with pytest.raises(Refused, match="belongs to another snapshot"):
        pushed(snapshot, repository)
    assert b"".join(repository.store.read(marker.key.marker)) == other
    (item,) = repository.markers()
    assert isinstance(item, Unreadable)


def test_a_name_that_is_too_long_is_refused_before_anything_is_sent(
    catalog: Catalog, repository: Repository, place: Path
) -> None:
    """Off-site, each character that is not ASCII takes six bytes or more."""
    long = catalogued(catalog, collection="п" * 40)
    with pytest.raises(Refused, match="longer than"):
        pushed(long, repository)
    assert list(place.iterdir()) == []


def test_no_snapshot_takes_the_place_of_the_latest_link(
    snapshot: Snapshot, repository: Repository
) -> None:
    """The link would overwrite a snapshot with such a name once it was here."""
    marker = pushed(snapshot, repository).marker
    rival = dataclasses.replace(marker, snapshot="books_latest.snapshot")
    with pytest.raises(Damaged, match="latest link"):
        parse_marker(rival.dump(), rival.key)


def test_a_marker_of_a_newer_version_is_refused(snapshot: Snapshot, repository: Repository) -> None:
    """It is distinguished from damage, and never overwritten."""
    marker = pushed(snapshot, repository).marker
    document = json.loads(marker.dump()) | {"schema": 4}
    repository.store.write(marker.key.marker, json.dumps(document).encode())
    with pytest.raises(Refused, match="newer version"):
        pushed(snapshot, repository)


def test_a_marker_comes_back_as_it_was(snapshot: Snapshot, repository: Repository) -> None:
    """Every value of it."""
    marker = pushed(snapshot, repository, pinned=True).marker
    assert parse_marker(marker.dump(), marker.key) == marker


@pytest.mark.parametrize("name", ["a b/c", "é☃", "..", "100%", "x.push.json", "~"])
def test_names_off_site_lead_nowhere_else(name: str) -> None:
    """Whatever a collection is called, its names can be read back, and have the same depth."""
    key = Key(collection=name, snapshot=f"{name}_20250101_120000.snapshot")
    assert parse_marker_name(key.marker) == key
    assert key.marker.count("/") == 2
    assert parse_data_name(f"{key.folder}/parts/x") == (key, "parts/x")


def push_days(catalog: Catalog, repository: Repository, count: int) -> list[Marker]:
    """Push one snapshot a day, the newest last; the first is pinned."""
    return [
        pushed(
            catalogued(catalog, content=content(day), taken_at=TAKEN_AT + timedelta(days=day)),
            repository,
            pinned=day == 0,
        ).marker
        for day in range(count)
    ]


def test_retention_drops_off_site_by_the_same_rules(
    catalog: Catalog, repository: Repository, place: Path
) -> None:
    """Pinned ones stay, a deleted one leaves nothing behind, and the others stay complete."""
    markers = push_days(catalog, repository, 4)
    policy = Policy(keep_last=1)
    (plan,) = plan_remote(repository, policy, now=NOW)
    gone = [m.snapshot for m in (markers[2], markers[1])]
    assert [key.snapshot for key in plan.drops] == gone
    result = prune_remote([plan], policy, Silent(), now=NOW)
    assert ([one.candidate.name for one in result.results], result.failures) == (gone, ())
    left = [r.marker for r in list_remote([repository]).remotes]
    assert left == [markers[3], markers[0]]
    assert len(list((place / "data").rglob("*.zst"))) == sum(len(m.blobs) for m in left)


def test_what_a_killed_push_left_is_swept_when_it_is_old(
    snapshot: Snapshot, repository: Repository, place: Path
) -> None:
    """It is kept for seven days; other people's files stay, and so do complete snapshots."""
    whole = pushed(snapshot, repository).marker
    key = Key(collection="books", snapshot="books_20250102_120000.snapshot")
    manifest = whole.beside[MANIFEST].name
    orphan, foreign = (place / key.folder / n for n in (manifest, "notes.txt"))
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"x")
    foreign.write_bytes(b"mine")
    now = datetime.now(UTC)
    assert repository.sweep(now=now) == 0
    assert orphan.exists()
    assert repository.sweep(now=now + ABANDONED_AFTER + timedelta(minutes=1)) == 1
    assert not orphan.exists()
    assert foreign.exists()
    assert repository.find(whole.key) == whole
    assert len(blobs(place)) == in_all([whole]) + 1


def doctored(settings: Settings, catalog: Catalog, now: datetime) -> list[tuple[str, str]]:
    """Return what the doctor reports about the copies."""
    patient = Patient(settings=settings, catalog=catalog, now=now)
    return [(f.status.value, f.message) for f in check_offsite(patient)]


def test_the_doctor_looks_off_site(
    catalog: Catalog, repository: Repository, make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """A missing place fails; a missing or old copy warns; without a place nothing is said."""
    gone = tmp_path / "gone"
    settings = make_settings(
        QDRANT_OFFSITE_URL=f"{repository.url},{gone}", QDRANT_COLLECTION_NAME="books"
    )
    first = catalogued(catalog, content=content())
    (status, message), (failed, why) = doctored(settings, catalog, NOW)
    assert (status, failed) == ("WARN", "FAIL")
    assert "no snapshot of books" in message
    assert str(gone) in why
    pushed(first, repository)
    assert doctored(settings, catalog, NOW)[0][0] == "OK"
    assert "old" in doctored(settings, catalog, NOW + timedelta(days=3))[0][1]
    catalogued(catalog, content=content(2), taken_at=TAKEN_AT + timedelta(hours=1))
    assert "missing" in doctored(settings, catalog, NOW)[0][1]
    assert doctored(make_settings(), catalog, NOW) == []


def test_the_doctor_tells_a_recipient_that_is_none(
    catalog: Catalog, make_settings: Callable[..., Settings]
) -> None:
    """It is reported before a push fails."""
    settings = make_settings(QDRANT_AGE_RECIPIENTS="age1" + "q" * 58)
    with pytest.raises(SettingsError, match="QDRANT_AGE_RECIPIENTS"):
        doctored(settings, catalog, NOW)


def test_a_pin_of_one_machine_is_not_taken_away_by_another(
    snapshot: Snapshot, repository: Repository, other: Catalog
) -> None:
    """It is pulled too, and a push from a machine without the pin keeps it."""
    pushed(snapshot, repository, pinned=True)
    assert pulled(repository, other).pin == "pinned off-site"
    assert pushed(snapshot, repository, pinned=False).marker.pinned
    assert not pushed(snapshot, repository, again=True).marker.pinned


def test_a_pin_here_holds_off_site_at_once(catalog: Catalog, repository: Repository) -> None:
    """Even before it was pushed."""
    markers, policy = push_days(catalog, repository, 3), Policy(keep_last=1)
    pinned = {markers[1].snapshot}
    (plan,) = plan_remote(repository, policy, now=NOW, pinned=pinned)
    assert [key.snapshot for key in plan.drops] == [markers[0].snapshot] or not plan.drops
    result = prune_remote([plan], policy, Silent(), now=NOW, pinned=pinned)
    assert markers[1].snapshot not in [one.candidate.name for one in result.results]


def test_a_damaged_file_here_unproves_nothing_there(
    snapshot: Snapshot, repository: Repository, catalog: Catalog
) -> None:
    """The copy there has other bytes than those that failed here."""
    proven_at = pushed(snapshot, repository).marker.proven_at
    assert proven_at
    add_proof(snapshot, kind="verify", ok=False, at=NOW.isoformat(), sha256="0" * 64)
    again = pushed(catalog.find(snapshot.name), repository)
    assert (again.outcome, again.marker.proven_at) == (REFRESHED, proven_at)
    assert again.marker.failed_at is None


def test_proofs_of_another_machine_are_not_written_over(
    snapshot: Snapshot, repository: Repository, catalog: Catalog, other: Catalog
) -> None:
    """A longer file of other proofs does not contain those that are there, so it is added."""
    pushed(snapshot, repository)
    there = pulled(repository, other)
    add_drill(there, NOW)
    pushed(other.find(there.name), repository)
    for minute in range(5):
        at = (NOW + timedelta(minutes=minute)).isoformat()
        add_proof(snapshot, kind="verify", ok=True, at=at)
    marker = pushed(catalog.find(snapshot.name), repository).marker
    assert marker.proven_at == NOW
    assert pushed(catalog.find(snapshot.name), repository).marker == marker
    text = repository.fetch(marker.key, marker.beside["proofs.jsonl"], Unpacker()).decode()
    lines = there.proofs_path.read_text().splitlines()
    assert text.splitlines() == lines + snapshot.proofs_path.read_text().splitlines()[1:]


def test_proofs_that_cannot_be_read_stay_as_they_are(
    snapshot: Snapshot, repository: Repository, catalog: Catalog, other: Catalog, tmp_path: Path
) -> None:
    """A machine that only pushes has no identity to add to what another has written."""
    recipient, identity = key_pair(tmp_path)
    packer = Packer((recipient,))
    pushed(snapshot, repository, packer=packer)
    there = pulled(repository, other, Unpacker(identity))
    add_drill(there, NOW)
    theirs = pushed(other.find(there.name), repository, packer=packer).marker
    add_proof(snapshot, kind="verify", ok=True, at=NOW.isoformat())
    assert pushed(catalog.find(snapshot.name), repository, packer=packer).marker == theirs


def test_what_failed_its_test_stands_aside_there_too(
    catalog: Catalog, repository: Repository
) -> None:
    """A newest snapshot that does not restore never displaces the one before it."""
    for day in range(2):
        made = catalogued(catalog, taken_at=TAKEN_AT + timedelta(days=day))
    add_drill(made, NOW, ok=False)
    for entry in catalog.entries():
        pushed(entry, repository)
    (plan,) = plan_remote(repository, Policy(keep_last=1), now=NOW)
    assert plan.drops == ()


def test_data_whose_marker_was_lost_is_never_swept(
    snapshot: Snapshot, repository: Repository, place: Path
) -> None:
    """With its index there, the snapshot is complete."""
    marker = pushed(snapshot, repository).marker
    (place / marker.key.marker).unlink()
    now = datetime.now(UTC) + ABANDONED_AFTER + timedelta(days=1)
    assert repository.sweep(now=now) == 0
    assert len(blobs(place)) == in_all([marker])
    assert pushed(snapshot, repository).sent_bytes == 0


def test_encryption_does_not_fall_away_unnoticed(
    snapshot: Snapshot, repository: Repository, tmp_path: Path
) -> None:
    """An encrypted copy is not sent again unencrypted because a setting is missing."""
    recipient, _ = key_pair(tmp_path)
    pushed(snapshot, repository, packer=Packer((recipient,)))
    with pytest.raises(Refused) as told:
        pushed(snapshot, repository)
    assert "QDRANT_AGE_RECIPIENTS" in told.value.hint


def test_a_record_that_outlived_its_file_is_believed(
    snapshot: Snapshot, repository: Repository, catalog: Catalog
) -> None:
    """Other bytes under its name are refused, even if they are consistent off-site."""
    pushed(snapshot, repository)
    snapshot.path.unlink()
    path = snapshot.manifest_path
    path.write_text(path.read_text().replace(str(snapshot.sha256), "0" * 64))
    with pytest.raises(Refused):
        pulled(repository, catalog)


def test_a_link_that_a_killed_pull_left_behind_is_set(
    snapshot: Snapshot, repository: Repository, catalog: Catalog
) -> None:
    """Only the link is missing: the next pull sets it."""
    pushed(snapshot, repository)
    link = catalog.folder / "books_latest.snapshot"
    link.unlink()
    pulled(repository, catalog)
    assert catalog.latest_target("books") == snapshot.path
