"""`inv snapshot.push` and `pull` with a real S3 server and a real Qdrant, killed at any time."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pyrage
import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.offsite.pack_store import PackStore
from snapshot_tasks.offsite.packs import PACK_BYTES
from snapshot_tasks.operations.offsite.push import REFRESHED
from snapshot_tasks.storage.base import Store
from tests.conftest import Inv, Live, Ran, new_project
from tests.integration.conftest import Take, managing
from tests.support.amount import amount
from tests.support.archives import Entry, archive, replaced, segment, snapshot_entries
from tests.support.disks import fill, need_disks, small_disk
from tests.support.manifests import TAKEN_AT, catalogued
from tests.support.proxy import Hold
from tests.support.stores import Bucket, s3_bucket, s3_client, s3_server
from tests.support.world import assert_error, end_processes_below, ended, tree

ROUNDS = amount("KILL_ROUNDS", quick=2, full=20)
SEED = int(os.environ.get("KILL_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
BIG_BYTES = 100 << 20


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of an S3 server."""
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture
def bucket(s3: str, request: pytest.FixtureRequest) -> Bucket:
    """A bucket for this test."""
    return s3_bucket(s3, f"bucket-{abs(hash(request.node.nodeid))}")


def with_store(inv: Inv, bucket: Bucket, **more: str) -> Inv:
    """Return an `inv` whose `.env` has the bucket and its credentials."""
    values = {"QDRANT_OFFSITE_URL": bucket.url, **bucket.variables, **more}
    (inv.root / ".env").write_text("".join(f"{n}={v}\n" for n, v in values.items()))
    return inv


def give(inv: Inv, catalog: Catalog) -> None:
    """Put the snapshots of a catalogue into a project."""
    shutil.copytree(
        catalog.folder, inv.root / "qdrant_snapshots", dirs_exist_ok=True, symlinks=True
    )


def succeeded(ran: Ran) -> Ran:
    """Assert that it succeeded."""
    assert ran.code == 0, ran.stderr
    return ran


def copy_of(inv: Inv, root: Path) -> Inv:
    """Return another project with the same `.env`, and nothing else."""
    new = managing(new_project(root))
    shutil.copy(inv.root / ".env", root)
    return new


def test_one_command_brings_everything_back(
    inv: Inv, qdrant: Live, take: Take, catalog: Catalog, bucket: Bucket, name: str, tmp_path: Path
) -> None:
    """A new machine, a copy of the project and its `.env`: the contents match the source."""
    identity = pyrage.x25519.Identity.generate()
    qdrant.loader.rich(name)
    qdrant.loader.alias(f"{name}-alias", name)
    taken = take(qdrant, name)
    give(inv, catalog)
    keys = {"QDRANT_AGE_RECIPIENTS": str(identity.to_public()), "QDRANT_COLLECTION_NAME": name}
    with_store(inv, bucket, **keys)
    succeeded(inv("snapshot.push"))
    new = copy_of(inv, tmp_path / "new machine")
    key_file = tmp_path / "key.txt"
    key_file.write_text(f"{identity}\n")
    assert_error(new("snapshot.pull", "--restore"), 14)
    try:
        ran = succeeded(
            new("snapshot.pull", "--restore", "--json", QDRANT_AGE_IDENTITY_FILE=str(key_file))
        )
        (restored,) = ran.document["result"]["restored"]
        assert restored["points_count"] == qdrant.loader.count(name) > 0
        succeeded(new("snapshot.verify", "--level", "source"))
        assert f"{name}-alias" in succeeded(new("stack.status")).stdout
        (back,) = Catalog(new.root / "qdrant_snapshots").entries()
        assert back.sealed is not None
        assert taken.sealed is not None
        assert back.sealed.digest == taken.sealed.digest
        again = succeeded(
            new("snapshot.pull", "--restore", "--json", QDRANT_AGE_IDENTITY_FILE=str(key_file))
        )
        assert again.document["result"]["restored"][0]["skipped"]
    finally:
        end_processes_below(new.root)


def test_what_lies_off_site_is_listed(inv: Inv, catalog: Catalog, bucket: Bucket) -> None:
    """Points, sizes and place of each, without a local copy; a dry run changes nothing."""
    made = catalogued(catalog)
    give(inv, catalog)
    with_store(inv, bucket)
    assert "would push" in succeeded(inv("--dry", "snapshot.push", "--all")).stdout
    listed = succeeded(inv("snapshot.list", "--remote", "--json")).document["result"]
    assert listed["snapshots"] == []
    succeeded(inv("snapshot.push", "--all"))
    shutil.rmtree(inv.root / "qdrant_snapshots")
    (found,) = succeeded(inv("snapshot.list", "--remote", "--json")).document["result"]["snapshots"]
    assert (found["snapshot"], found["points_count"]) == (made.name, 1234)
    assert found["places"] == [bucket.url]
    assert "would pull" in succeeded(inv("--dry", "snapshot.pull", "--all")).stdout
    assert not (inv.root / "qdrant_snapshots").exists()


def test_a_typo_in_the_prefix_is_told(inv: Inv, catalog: Catalog, bucket: Bucket) -> None:
    """An empty place names the one that was meant, wherever it is asked; nothing else is read."""
    with_store(inv, bucket, QDRANT_COLLECTION_NAME="books")
    catalogued(catalog, taken_at=TAKEN_AT)
    give(inv, catalog)
    succeeded(inv("snapshot.push", "--all"))
    meant = f"{bucket.url} has some. "
    for wrong in ("some/prefx", "some2/prefix", "some/prefix/more"):
        url = bucket.url.replace("some/prefix", wrong)
        listed = succeeded(inv("snapshot.list", "--remote", "--from", url))
        assert f"{url} has no snapshots, but {meant}" in listed.stderr
    url = bucket.url.replace("prefix", "prefx")
    asked = ("snapshot.pull",), ("snapshot.prune", "--remote", "--keep-last=1", "--dry-run")
    for words in asked:
        assert_error(inv(*words, "--from", url), 10, f"{url} has no snapshots, but {bucket.url}")
    doctor = inv("doctor", QDRANT_OFFSITE_URL=url)
    assert f"{url} has no snapshots, but {bucket.url} has some" in " ".join(doctor.stdout.split())


def test_the_only_collection_off_site_is_taken_and_said(
    inv: Inv, catalog: Catalog, bucket: Bucket, tmp_path: Path
) -> None:
    """On a new machine without QDRANT_COLLECTION_NAME; of several, none is guessed."""
    catalogued(catalog, taken_at=TAKEN_AT)
    give(inv, catalog)
    with_store(inv, bucket)
    succeeded(inv("snapshot.push", "--all"))
    new = copy_of(inv, tmp_path / "new machine")
    pulled = succeeded(new("snapshot.pull"))
    assert "collection: books, the only one" in pulled.stderr
    assert Catalog(new.root / "qdrant_snapshots").collections() == ["books"]
    pruned = new("snapshot.prune", "--remote", "--keep-last=1", "--dry-run")
    assert "collection: books, the only one" in succeeded(pruned).stderr
    catalogued(catalog, collection="films", taken_at=TAKEN_AT)
    shutil.rmtree(inv.root / "qdrant_snapshots")
    give(inv, catalog)
    succeeded(inv("snapshot.push", "--all"))
    for words in (("snapshot.pull",), ("snapshot.prune", "--remote", "--keep-last=1")):
        assert_error(new(*words), 10, "2 collections: books, films")


def test_pruning_off_site_shows_its_plan_and_needs_consent(
    inv: Inv, catalog: Catalog, bucket: Bucket
) -> None:
    """Without a terminal or `--yes`, nothing is deleted; other collections are never touched."""
    make_days(catalog)
    catalogued(catalog, collection="films")
    catalogued(catalog, collection="films", taken_at=TAKEN_AT + timedelta(days=1))
    give(inv, catalog)
    with_store(inv, bucket, QDRANT_KEEP_LAST="1", QDRANT_COLLECTION_NAME="books")
    succeeded(inv("snapshot.push", "--all"))
    ran = inv("snapshot.prune", "--remote")
    assert_error(ran, 24, "deletes 2 snapshots")
    assert f"books in {bucket.url}" in ran.stderr
    assert "books_20250103_120000.snapshot" in ran.stderr
    plan = succeeded(inv("snapshot.prune", "--remote", "--dry-run", "--json")).document["result"]
    (books,) = plan["collections"]
    assert (books["place"], [p["keep"] for p in books["plan"]]) == (
        bucket.url,
        [True, False, False],
    )
    assert len(remote_names(inv)) == 5
    ran = succeeded(inv("snapshot.prune", "--from", bucket.url, "--yes"))
    assert "2 snapshots to delete, which frees " in ran.stdout
    assert ran.stdout.splitlines()[-1] == "Deleted 2 snapshots."
    assert sorted(name.split("_")[0] for name in remote_names(inv)) == ["books", "films", "films"]
    assert_error(inv("snapshot.prune", "--remote", "--collection", "nope", "--yes"), 10)
    succeeded(inv("snapshot.prune", "--remote", "--all", "--yes"))
    assert len(remote_names(inv)) == 2


def test_what_nobody_needs_goes_also_if_no_snapshot_does(
    inv: Inv, catalog: Catalog, tmp_path: Path
) -> None:
    """The packs of what was deleted go a week later, though there is nothing to delete any more."""
    place = tmp_path / "elsewhere"
    place.mkdir()
    for day, seed in enumerate((1, 2)):
        noise = random.Random(seed).randbytes(1 << 18)
        content = archive(replaced(snapshot_entries(), "0/wal/open-1", noise))
        catalogued(catalog, content=content, taken_at=TAKEN_AT + timedelta(days=day))
    give(inv, catalog)
    inv = _with(inv, {"QDRANT_OFFSITE_URL": str(place), "QDRANT_COLLECTION_NAME": "books"})
    succeeded(inv("snapshot.push", "--all"))
    before = len(tree(place / "packs"))
    prune = ("snapshot.prune", "--remote", "--keep-last=1", "--yes")
    assert "Deleted 1 snapshot." in succeeded(inv(*prune)).stdout
    for _ in range(2):
        for path in place.rglob("*"):
            os.utime(path, (time.time() - 8 * 86400,) * 2)
        assert len(tree(place / "packs")) == before
        assert "0 snapshots to delete." in succeeded(inv(*prune)).stdout
    assert len(tree(place / "packs")) < before
    succeeded(inv("snapshot.verify", "--remote"))


def test_other_recipients(inv: Inv, catalog: Catalog, bucket: Bucket, tmp_path: Path) -> None:
    """After a consented rekey, the new identity pulls everything, and the old one nothing more."""
    keys = {}
    for name in ("old", "new"):
        identity = pyrage.x25519.Identity.generate()
        (tmp_path / name).write_text(f"{identity}\n")
        keys[name] = str(identity.to_public())
    make_days(catalog)
    give(inv, catalog)
    settings = {
        "QDRANT_COLLECTION_NAME": "books",
        "QDRANT_AGE_IDENTITY_FILE": str(tmp_path / "old"),
    }
    with_store(inv, bucket, **settings, QDRANT_AGE_RECIPIENTS=keys["old"])
    succeeded(inv("snapshot.push", "--all"))
    plan = succeeded(inv("snapshot.rekey", "--dry-run", "--json")).document["result"]
    assert plan["planned"] == []
    with_store(inv, bucket, **settings, QDRANT_AGE_RECIPIENTS=keys["new"])
    assert_error(inv("snapshot.rekey"), 24, "encrypts 3 snapshots anew", "--yes")
    ran = succeeded(inv("snapshot.rekey", "--yes", "--json")).document["result"]
    assert len(ran["rekeyed"]) == 3
    shutil.rmtree(inv.root / "qdrant_snapshots")
    assert_error(inv("snapshot.pull"), 14)
    settings["QDRANT_AGE_IDENTITY_FILE"] = str(tmp_path / "new")
    with_store(inv, bucket, **settings, QDRANT_AGE_RECIPIENTS=keys["new"])
    succeeded(inv("snapshot.verify", "--remote"))
    succeeded(inv("snapshot.pull"))
    with_store(inv, bucket, **settings, QDRANT_AGE_RECIPIENTS="")
    assert_error(inv("snapshot.rekey", "--yes"), 24, "never decrypted")


def test_pushed_and_pruned_in_one_go(inv: Inv, catalog: Catalog, bucket: Bucket) -> None:
    """The flag is the consent, for cron: only pushed collections, and never a pinned snapshot."""
    make_days(catalog)
    catalogued(catalog, collection="films")
    catalogued(catalog, collection="films", taken_at=TAKEN_AT + timedelta(days=1))
    give(inv, catalog)
    with_store(inv, bucket, QDRANT_COLLECTION_NAME="books")
    pinned = "books_20250101_120000.snapshot"
    succeeded(inv("snapshot.push", "--all"))
    assert_error(inv("snapshot.push", "--prune"), 14, "QDRANT_KEEP_DAILY")
    succeeded(inv("snapshot.pin", "--snapshot", pinned, "--note", "x"))
    ran = succeeded(inv("snapshot.push", "--snapshot", pinned, "--json"))
    assert ran.document["result"]["pushed"][0]["outcome"] == REFRESHED
    dry = succeeded(inv("--dry", "snapshot.push", "--prune", QDRANT_KEEP_LAST="1"))
    assert "would delete old copies" in dry.stdout
    ran = succeeded(inv("snapshot.push", "--prune", "--json", QDRANT_KEEP_LAST="1"))
    dropped = ran.document["result"]["dropped"]
    assert [line["snapshot"] for line in dropped] == ["books_20250102_120000.snapshot"]
    assert len(remote_names(inv)) == 4


def make_days(catalog: Catalog) -> None:
    """Catalogue three snapshots."""
    for day in range(3):
        catalogued(catalog, taken_at=TAKEN_AT + timedelta(days=day))


def remote_names(inv: Inv) -> list[str]:
    """Return the copies off-site."""
    ran = succeeded(inv("snapshot.list", "--remote", "--json"))
    return [s["snapshot"] for s in ran.document["result"]["snapshots"]]


def test_no_place_is_told(inv: Inv, catalog: Catalog) -> None:
    """No place is set: 14, with the setting to use."""
    catalogued(catalog)
    give(inv, catalog)
    ran = inv("snapshot.push", "--collection", "books")
    assert_error(ran, 14)
    assert "QDRANT_OFFSITE_URL" in ran.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_push_ends_at_once(
    inv: Inv, catalog: Catalog, bucket: Bucket, number: signal.Signals
) -> None:
    """A store that never responds does not block Ctrl-C; nothing becomes visible there."""
    catalogued(catalog)
    give(inv, catalog)
    hold = Hold()
    with bucket.behind_proxy() as (through, proxy):
        proxy.on("PUT", ".*", hold.before)
        with_store(inv, through, QDRANT_COLLECTION_NAME="books")
        process = inv.start("snapshot.push")
        hold.wait()
        process.send_signal(number)
        ran = ended(process)
        hold.cancel()
    assert_error(ran, 130)
    with_store(inv, bucket)
    assert remote_names(inv) == []


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """A snapshot of several packs that do not compress."""
    catalog = Catalog(tmp_path_factory.mktemp("big"))
    noise = random.Random(7).randbytes(BIG_BYTES)
    vectors = Entry(name="snapshot/files/vector_storage/vectors/chunk_1.mmap", data=noise)
    parts = replaced(snapshot_entries(), "0/segments/seg-0.tar", segment(also=[vectors]))
    catalogued(catalog, content=archive(parts))
    return catalog


def test_an_interrupted_pull_goes_on(inv: Inv, big: Catalog, bucket: Bucket) -> None:
    """Ctrl-C while one pack does not come: 130, and what has arrived is not downloaded again."""
    give(inv, big)
    with_store(inv, bucket, QDRANT_COLLECTION_NAME="books")
    succeeded(inv("snapshot.push"))
    folder = inv.root / "qdrant_snapshots"
    shutil.rmtree(folder)
    held, *others = packs_in(bucket)
    hold = Hold()
    with bucket.behind_proxy() as (through, proxy):
        proxy.on("GET", f".*/{held}", hold.before)
        with_store(inv, through, QDRANT_COLLECTION_NAME="books")
        process = inv.start("snapshot.pull")
        hold.wait()
        while sum(p.stat().st_blocks * 512 for p in folder.glob(".pull-*")) < PACK_BYTES:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        ran = ended(process)
        hold.cancel()
        assert_error(ran, 130)
        assert "will not download them again" in ran.stderr
        assert Catalog(inv.root / "qdrant_snapshots").entries() == []
        proxy.rules.clear()
        proxy.seen.clear()
        again = succeeded(inv("snapshot.pull", "--json")).document["result"]
        assert again["pulled"][0]["fetched_bytes"] <= BIG_BYTES - PACK_BYTES // 2
        assert proxy.requests("GET", f".*/{held}") == 1
        assert len(others) == 3
    assert _same_bytes(Catalog(inv.root / "qdrant_snapshots"), big)


def packs_in(bucket: Bucket) -> list[str]:
    """Return the names of the packs in a bucket."""
    return sorted(PackStore(bucket.open()).sizes())


def test_two_pushes_at_once_do_no_harm(inv: Inv, big: Catalog, bucket: Bucket) -> None:
    """Both succeed, and the copy is complete."""
    give(inv, big)
    with_store(inv, bucket, QDRANT_COLLECTION_NAME="books")
    both = [inv.start("snapshot.push") for _ in range(2)]
    for process in both:
        succeeded(ended(process))
    assert len(remote_names(inv)) == 1
    assert _pulls_whole(inv, bucket.url, big, inv.root / "check")


def test_a_disk_that_fills_up(inv: Inv, big: Catalog, bucket: Bucket, tmp_path: Path) -> None:
    """There: 15, and nothing half-written stays. Here: 15, and the space is freed."""
    need_disks()
    give(inv, big)
    with_store(inv, bucket, QDRANT_COLLECTION_NAME="books")
    with small_disk(tmp_path / "there", size="80m") as disk:
        ran = inv("snapshot.push", "--to", str(disk), "--to", bucket.url)
        assert_error(ran, 15)
        assert "No space left" in ran.stderr
        assert not list(disk.glob(".staging*"))
        assert (
            inv("snapshot.list", "--remote", "--from", str(disk), "--json").document["result"][
                "snapshots"
            ]
            == []
        )
    hold = Hold()
    with (
        small_disk(tmp_path / "here", size="180m") as disk,
        bucket.behind_proxy() as (
            through,
            proxy,
        ),
    ):
        proxy.on("GET", f".*/{packs_in(bucket)[0]}", hold.before)
        with_store(inv, through, QDRANT_COLLECTION_NAME="books", QDRANT_SNAPSHOT_DIR=str(disk))
        process = inv.start("snapshot.pull")
        hold.wait()
        filler = fill(disk)
        hold.release.set()
        ran = ended(process)
        assert_error(ran, 15)
        assert [n for n in tree(disk) if n != filler.name] == []


def test_a_bucket_that_rots_is_found_named_and_mended(
    inv: Inv, catalog: Catalog, bucket: Bucket, tmp_path: Path
) -> None:
    """One byte flipped in every tenth object; afterwards everything comes back."""
    identity, key_file = pyrage.x25519.Identity.generate(), tmp_path / "key.txt"
    key_file.write_text(f"{identity}\n")
    make_days(catalog)
    give(inv, catalog)
    keys = {"AGE_RECIPIENTS": str(identity.to_public()), "AGE_IDENTITY_FILE": str(key_file)}
    settings = {f"QDRANT_{name}": value for name, value in keys.items()}
    with_store(inv, bucket, QDRANT_COLLECTION_NAME="books", **settings)
    succeeded(inv("snapshot.push", "--all"))
    succeeded(inv("snapshot.verify", "--remote"))
    checked = inv("snapshot.check", "--max-scrub-age", "1h", "--json").document["result"]
    assert "read back within" in json.dumps(checked)
    # There are seven objects. At last each of them is flipped.
    for start, step in [*((start, 10) for start in range(7)), (0, 1)]:
        names = _flip_some(bucket.open(), start, step)
        ran = inv("snapshot.verify", "--remote", "--json")
        assert_error(ran, 20)
        (place,) = ran.document["result"]["places"]
        # Nothing says what the other objects of a snapshot with a damaged marker should be.
        lost = [name for name in names if name.startswith("pushed/")]
        unsaid = tuple(f"data/{n.removeprefix('pushed/').removesuffix('.json')}/" for n in lost)
        found = {one["object"] for one in place["damaged"]}
        assert found == {name for name in names if not name.startswith(unsaid or "-")}
        pushed = succeeded(inv("snapshot.push", "--all", "--json")).document["result"]["pushed"]
        assert lost or sum(one["mended_objects"] for one in pushed) >= 1
        succeeded(inv("snapshot.verify", "--remote"))
    succeeded(inv("snapshot.verify", "--remote", "--sample", "10%"))


def _flip_some(store: Store, start: int, step: int) -> list[str]:
    """Flip a byte of every tenth object, or so, but for notes; return their names."""
    listed = sorted(stored.name for stored in store.list(""))
    objects = [name for name in listed if name.startswith(("packs/", "data/", "pushed/"))]
    names = [name for name in objects if not name.endswith("/whole")][start::step]
    for name in names:
        data = bytearray(b"".join(store.read(name)))
        data[len(data) // 2] ^= step
        store.write(name, bytes(data))
    return names


@pytest.mark.parametrize("kind", ["s3", "file"])
@pytest.mark.parametrize("task", ["push", "pull"])
def test_killed_at_any_moment(
    inv: Inv, big: Catalog, bucket: Bucket, tmp_path: Path, kind: str, task: str
) -> None:
    """Nothing half-made is visible, the next run finishes, and nothing is left over."""
    give(inv, big)
    with_store(inv, bucket, QDRANT_COLLECTION_NAME="books")
    place = tmp_path / "elsewhere"
    place.mkdir()
    url = bucket.url if kind == "s3" else str(place)
    clear = _clearing(inv, bucket, place, task)
    if task == "pull":
        succeeded(inv("snapshot.push", "--to", url))
    flag = "--to" if task == "push" else "--from"
    clear()
    start = time.monotonic()
    succeeded(inv.process(f"snapshot.{task}", flag, url))
    took, chance = time.monotonic() - start, random.Random(SEED)
    for number in range(ROUNDS):
        clear()
        moment = took * (0.3 + 0.7 * chance.random())
        where = f"round {number} of KILL_SEED={SEED}, after {moment:.2f} s"
        _kill_after(inv, moment, f"snapshot.{task}", flag, url)
        folder = Catalog(inv.root / "qdrant_snapshots")
        if task == "pull":
            for entry in folder.entries():
                assert entry.size_bytes == big.entries()[0].size_bytes, where
                assert entry.manifest is not None, where
        else:
            shown = inv("snapshot.list", "--remote", "--from", url, "--json").document["result"]
            if shown["snapshots"]:
                assert _pulls_whole(inv, url, big, tmp_path / f"check-{number}"), where
        succeeded(inv(f"snapshot.{task}", flag, url))
        assert _pulls_whole(inv, url, big, tmp_path / f"round-{number}"), where
        _assert_no_residue(inv, place, where)


def test_a_rekey_killed_at_any_moment(inv: Inv, big: Catalog, tmp_path: Path) -> None:
    """The snapshot is whole for the former recipient or the new one, and the next run finishes."""
    keys, files = [], [tmp_path / "old", tmp_path / "new"]
    for file in files:
        identity = pyrage.x25519.Identity.generate()
        file.write_text(f"{identity}\n")
        keys.append(str(identity.to_public()))
    place, full = tmp_path / "elsewhere", tmp_path / "full"
    place.mkdir()
    give(inv, big)
    settings = {"QDRANT_OFFSITE_URL": str(place), "QDRANT_COLLECTION_NAME": "books"}
    settings["QDRANT_AGE_IDENTITY_FILE"] = str(files[0])
    succeeded(_with(inv, settings, QDRANT_AGE_RECIPIENTS=keys[0])("snapshot.push"))
    shutil.copytree(place, full)
    inv = _with(inv, settings, QDRANT_AGE_RECIPIENTS=keys[1])
    start = time.monotonic()
    succeeded(inv.process("snapshot.rekey", "--yes"))
    took, chance = time.monotonic() - start, random.Random(SEED)
    for number in range(ROUNDS):
        shutil.rmtree(place)
        shutil.copytree(full, place)
        shutil.rmtree(inv.root / "qdrant_snapshots", ignore_errors=True)
        moment = took * (0.3 + 0.7 * chance.random())
        _kill_after(inv, moment, "snapshot.rekey", "--yes")
        where = f"round {number} of KILL_SEED={SEED}, after {moment:.2f} s"
        folders = [tmp_path / f"{file.name}-{number}" for file in files]
        assert any(_pulls_with(inv, *each) for each in zip(files, folders, strict=True)), where
        succeeded(inv("snapshot.rekey", "--yes"))
        assert _pulls_with(inv, files[1], tmp_path / f"end-{number}"), where


def _with(inv: Inv, settings: dict[str, str], **more: str) -> Inv:
    return dataclasses.replace(inv, environment={**inv.environment, **settings, **more})


def _pulls_with(inv: Inv, identity: Path, folder: Path) -> bool:
    """Return whether a pull with this identity brings it back; without the right one it is told."""
    files = {"QDRANT_AGE_IDENTITY_FILE": str(identity), "QDRANT_SNAPSHOT_DIR": str(folder)}
    ran = _with(inv, files)("snapshot.pull")
    assert ran.code in (0, 14), ran.stderr
    return ran.code == 0


def _clearing(inv: Inv, bucket: Bucket, place: Path, task: str) -> Callable[[], None]:
    """Return a function that restores the state before the task."""

    def clear() -> None:
        if task == "pull":
            for path in (inv.root / "qdrant_snapshots").iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            return
        client = s3_client(bucket.server)
        name = bucket.url.split("/")[2]
        for item in client.list_objects_v2(Bucket=name).get("Contents", []):
            client.delete_object(Bucket=name, Key=item["Key"])
        for path in place.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return clear


def _kill_after(inv: Inv, seconds: float, *arguments: str) -> None:
    process = inv.start(*arguments)
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def _pulls_whole(inv: Inv, url: str, source: Catalog, folder: Path) -> bool:
    """Return whether a pull into an empty folder downloads exactly the same bytes."""
    elsewhere = dataclasses.replace(
        inv, environment={**inv.environment, "QDRANT_SNAPSHOT_DIR": str(folder)}
    )
    succeeded(elsewhere("snapshot.pull", "--from", url))
    same = _same_bytes(Catalog(folder), source)
    shutil.rmtree(folder)
    return same


def _same_bytes(here: Catalog, source: Catalog) -> bool:
    (back,), (original,) = here.entries(), source.entries()
    return back.path.read_bytes() == original.path.read_bytes()


def _assert_no_residue(inv: Inv, place: Path, where: str) -> None:
    # If a run is killed while it records how it ended, the next create removes the partial file.
    with Catalog(inv.root / "qdrant_snapshots").staging():
        pass
    here = tree(inv.root / "qdrant_snapshots")
    there = [p.name for p in place.rglob("*")]
    assert not [n for n in (*here, *there) if ".pull" in n or ".staging" in n], where
