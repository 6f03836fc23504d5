"""The drill in place on a real native stack: it really deletes, and refuses if it must."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from snapshot_tasks.selftest.copies import Copy
from tests.conftest import Inv, Live, Ran
from tests.integration.conftest import managing, own_stack
from tests.support.collections import Loader
from tests.support.world import (
    assert_error,
    edit_manifest,
    end_processes_below,
    ended,
    flip_byte,
    manifest_of,
    processes_below,
    proofs_of,
    wait_until,
)

# A drill on a fresh server reports these too, before its restart and after it.
EVIDENCE = ("status", "count", "config", "payload schema", "aliases", "contents", "search")
Spoil = Callable[[Inv], AbstractContextManager[None]]


@contextmanager
def loader_of(stack: Inv) -> Iterator[Loader]:
    """Connect to the stack without the code under test."""
    loader = Loader(f"http://localhost:{stack.environment['QDRANT_HTTP_PORT']}")
    try:
        yield loader
    finally:
        loader.close()


def collections(stack: Inv) -> dict[str, int]:
    """Return the contents of the stack."""
    with loader_of(stack) as loader:
        return {name: loader.count(name) for name in loader.names()}


def prepare(stack: Inv) -> Inv:
    """Start the stack with one collection, and take a snapshot of it."""
    assert stack("stack.up").code == 0
    with loader_of(stack) as loader:
        loader.plain("main", points=200)
        loader.alias("main-alias", "main")
    ran = stack("snapshot.create", "--collection=main")
    assert ran.code == 0, ran.stderr
    return stack


def snapshot_of(stack: Inv, collection: str = "main") -> Path:
    """Return the only snapshot of a collection."""
    [file] = (stack.root / "qdrant_snapshots").glob(f"{collection}_2*.snapshot")
    return file


def in_place(stack: Inv, *flags: str) -> Ran:
    """Run the drill in place."""
    return stack("snapshot.test-restore", "--in-place", "--collection=main", *flags)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inv]:
    """A prepared stack for refusals: they change nothing, and the test undoes its changes."""
    with own_stack(tmp_path_factory.mktemp("in-place")) as stack:
        yield prepare(stack)


@pytest.fixture
def prepared(inv: Inv) -> Iterator[Inv]:
    """A prepared stack for one test."""
    yield prepare(managing(inv))
    end_processes_below(inv.root)


def test_it_deletes_everything_and_brings_it_back(prepared: Inv) -> None:
    """It is a different, empty server; every collection is restored, and the proof is saved."""
    with loader_of(prepared) as loader:
        loader.rich("second")
    assert prepared("snapshot.create", "--collection=second").code == 0
    [before] = processes_below(prepared.root)
    marker = prepared.root / ".qdrant" / "marker"
    marker.touch()
    ran = in_place(prepared, "--yes", "--json")
    assert ran.code == 0, ran.stderr
    assert not marker.exists()
    [after] = processes_below(prepared.root)
    assert after.pid != before.pid
    assert collections(prepared) == {"main": 200, "second": 298}
    with loader_of(prepared) as loader:
        assert loader.aliases() == {"main-alias": "main"}
    [proof] = proofs_of(snapshot_of(prepared))
    assert (proof["kind"], proof["ok"]) == ("drill", True)
    found = {f["check"]: f["status"] for f in proof["findings"]}
    assert set(found.values()) == {"OK"}
    assert {f"{check} (main)" for check in ("version", *EVIDENCE)} <= set(found)
    assert {f"after restart: {check} (main)" for check in EVIDENCE} <= set(found)


def test_it_needs_yes(shared: Inv) -> None:
    """Without a terminal and without --yes, nothing is deleted: 24."""
    assert_error(in_place(shared), 24, "--yes")
    assert collections(shared) == {"main": 200}


def test_it_asks_before_it_takes_a_snapshot(shared: Inv) -> None:
    """`--create` takes no snapshot if the drill is not confirmed: 24."""
    file = snapshot_of(shared)
    assert_error(in_place(shared, "--create"), 24, "--yes")
    assert snapshot_of(shared) == file


@contextmanager
def more_points(stack: Inv) -> Iterator[None]:
    """Write to the collection after its snapshot."""
    with loader_of(stack) as loader:
        loader.fill("main", ({"id": 9000 + n, "vector": [0.1] * 64} for n in range(3)))
        yield
        body = {"points": [9000, 9001, 9002]}
        loader.request("POST", "/collections/main/points/delete", body)


@contextmanager
def another_collection(stack: Inv) -> Iterator[None]:
    """Make a collection that has no snapshot."""
    with loader_of(stack) as loader:
        loader.plain("unsaved", points=5)
        yield
        loader.delete("unsaved")


@contextmanager
def another_alias(stack: Inv) -> Iterator[None]:
    """Make an alias that is in no snapshot."""
    with loader_of(stack) as loader:
        loader.alias("new-alias", "main")
        yield
        action = {"delete_alias": {"alias_name": "new-alias"}}
        loader.request("POST", "/collections/aliases", {"actions": [action]})


@contextmanager
def another_index(stack: Inv) -> Iterator[None]:
    """Make a payload index that is in no snapshot."""
    with loader_of(stack) as loader:
        loader.index("main", "text", "text")
        yield
        loader.request("DELETE", "/collections/main/index/text")


@contextmanager
def without_manifest(stack: Inv) -> Iterator[None]:
    """Remove the manifest."""
    manifest = manifest_of(snapshot_of(stack))
    aside = manifest.with_suffix(".aside")
    manifest.rename(aside)
    yield
    aside.rename(manifest)


@pytest.mark.parametrize(
    "spoil", [more_points, another_collection, another_alias, another_index, without_manifest]
)
def test_it_refuses_what_would_not_come_back(shared: Inv, spoil: Spoil) -> None:
    """If something would be lost: 24, and nothing was deleted."""
    running = processes_below(shared.root)
    with spoil(shared):
        before = collections(shared)
        ran = in_place(shared, "--yes")
        assert collections(shared) == before
        assert processes_below(shared.root) == running
    assert_error(ran, 24, "Not all of the live data could be restored")


def test_it_refuses_a_damaged_file(shared: Inv) -> None:
    """A damaged snapshot is found before anything is deleted: 20."""
    file = snapshot_of(shared)
    running = processes_below(shared.root)
    flip_byte(file)
    ran = in_place(shared, "--yes")
    flip_byte(file)
    assert_error(ran, 20, "damaged")
    assert processes_below(shared.root) == running
    assert collections(shared) == {"main": 200}


def test_it_refuses_points_of_the_future(shared: Inv, tmp_path: Path) -> None:
    """They come back, but never change again: said before anything is deleted."""
    before = collections(shared)
    copy = Copy.of(snapshot_of(shared), tmp_path / "copy")
    versions = [m for m in copy.members("id_tracker.versions") if m.size]
    copy.rewrite({member.name: b"\xff" * member.size for member in versions})
    copy.resign()
    ran = in_place(shared, "--snapshot", str(copy.file), "--yes")
    assert_error(ran, 20, "a point was changed by operation")
    assert collections(shared) == before


def test_it_refuses_a_version_that_this_server_does_not_restore(prepared: Inv) -> None:
    """A snapshot too old to be restored here is detected before anything is deleted: 24."""
    edit_manifest(snapshot_of(prepared), lambda m: m.update(qdrant_version="1.15.5"))
    ran = in_place(prepared, "--yes")
    assert collections(prepared) == {"main": 200}
    assert_error(ran, 24, "1.15.5")


def test_a_failed_restore_does_not_stop_the_others(prepared: Inv) -> None:
    """Every other collection is restored, and the proof says that the drill failed: 22."""
    assert in_place(prepared, "--yes").code == 0
    with loader_of(prepared) as loader:
        loader.plain("broken", points=5)
    assert prepared("snapshot.create", "--collection=broken").code == 0
    other = snapshot_of(prepared).read_bytes()
    file = snapshot_of(prepared, "broken")
    file.write_bytes(other)
    sha256 = hashlib.sha256(other).hexdigest()
    edit_manifest(file, lambda m: m.update(sha256=sha256, size_bytes=len(other)))
    ran = in_place(prepared, "--yes")
    assert collections(prepared) == {"main": 200}
    assert_error(ran, 22, "count", "stack.up")
    assert [proof["ok"] for proof in proofs_of(snapshot_of(prepared))] == [True, False]
    found = {f["check"]: f["status"] for f in proofs_of(snapshot_of(prepared))[-1]["findings"]}
    assert (found["count (broken)"], found["after restart: contents (main)"]) == ("FAIL", "OK")


def test_a_server_of_somebody_else_is_not_touched(qdrant: Live, shared: Inv) -> None:
    """With QDRANT_ENGINE=external nothing is deleted: 14."""
    qdrant.loader.plain("theirs", points=5)
    external = {"QDRANT_URL": qdrant.url, "QDRANT_ENGINE": "external"}
    words = ("--collection=theirs", f"--output-dir={shared.root / 'theirs'}")
    assert shared("snapshot.create", *words, **external).code == 0
    ran = shared(
        "snapshot.test-restore",
        "--in-place",
        "--yes",
        "--collection=theirs",
        QDRANT_SNAPSHOT_DIR="theirs",
        **external,
    )
    assert_error(ran, 14, "external")
    assert qdrant.loader.count("theirs") == 5


def test_interrupted_it_says_how_to_get_the_data_back(prepared: Inv) -> None:
    """Ctrl-C after the deletion: 130, with `stack.up` in the hint, which does restore the data."""
    marker = prepared.root / ".qdrant" / "zzz-marker"
    marker.touch()
    process = prepared.start("snapshot.test-restore", "--in-place", "--collection=main", "--yes")
    wait_until(lambda: not marker.exists())
    process.send_signal(signal.SIGINT)
    ran = ended(process)
    up = prepared("stack.up")
    assert up.code == 0, up.stderr
    assert collections(prepared) == {"main": 200}
    assert_error(ran, 130, "stack.up")


def test_an_unsealed_snapshot_is_read_before_anything_is_deleted(prepared: Inv) -> None:
    """Counts agree, but not the points: nothing is deleted. If they do, it restores, unproven."""
    file = snapshot_of(prepared)
    edit_manifest(file, lambda m: m.update(fingerprint=None))
    with loader_of(prepared) as loader:
        path, only = "/collections/main/points/payload", [7]
        loader.request("POST", path, {"payload": {"odd": True}, "points": only})
        assert_error(in_place(prepared, "--yes"), 24, "the file has 200 points")
        loader.request("POST", f"{path}/delete", {"keys": ["odd"], "points": only})
    assert collections(prepared) == {"main": 200}
    ran = in_place(prepared, "--yes")
    assert ran.code == 0, ran.stderr
    assert "RESTORES:" in ran.stdout
    assert collections(prepared) == {"main": 200}
