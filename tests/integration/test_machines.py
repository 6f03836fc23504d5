"""Other people's disks, outputs, locales and gateways, in front of a real Qdrant."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.offsite.codec import Packer
from snapshot_tasks.offsite.repository import Repository
from snapshot_tasks.operations.offsite.push import PushRequest, push
from snapshot_tasks.storage.stores import open_store
from snapshot_tasks.system.errors import Refused
from snapshot_tasks.system.progress import Silent
from tests.conftest import Inv, Live
from tests.support.disks import exfat_disk, need_disks
from tests.support.manifests import TAKEN_AT, catalogued
from tests.support.proxy import Answer, Exchange, faulty
from tests.support.world import tree

SNAPSHOTS = r"/collections/[^/]+/snapshots"


def run_shell(inv: Inv, line: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run `inv …` through a shell, which redirects its outputs."""
    command = line.replace("INV", f"{sys.executable} -m invoke")
    return subprocess.run(
        ("bash", "-c", command),
        cwd=inv.root,
        env={**os.environ, **inv.environment, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=False,
    )


def taken(inv: Inv) -> list[Path]:
    """Return the snapshot files of a project."""
    return list((inv.root / "qdrant_snapshots").glob("*_2*.snapshot"))


@pytest.mark.parametrize(
    "outputs",
    [">/dev/full", "2>/dev/full", ">&-", "2>&-", ">&- 2>&-", ">/dev/full 2>&1", "--json >&-"],
)
def test_an_output_that_cannot_be_written_ends_no_backup(
    qdrant: Live, name: str, outside: Inv, outputs: str
) -> None:
    """The snapshot is whole and catalogued, and the exit code says so."""
    name = f"{name}-{'-'.join(map(str, outputs.encode()))}"
    qdrant.loader.plain(name, points=20)
    ran = run_shell(outside, f"INV snapshot.create --collection {name} {outputs}")
    assert ran.returncode == 0, ran
    assert b"Traceback" not in ran.stderr + ran.stdout
    assert len(taken(outside)) == 1
    assert outside("snapshot.verify", "--collection", name).code == 0


def test_a_list_that_cannot_be_written_is_no_list(outside: Inv) -> None:
    """A task that only shows something has failed if nobody can see it."""
    ran = run_shell(outside, "INV doctor --json >/dev/full")
    assert ran.returncode != 0
    ran = run_shell(outside, "INV snapshot.list >/dev/full")
    assert ran.returncode == 15, ran
    assert b"could not be written" in ran.stderr


def test_a_locale_that_cannot_write_a_name(qdrant: Live, name: str, outside: Inv) -> None:
    """The one collection fails with a remedy; the others have their snapshots."""
    foreign = f"{name}-été-日本"
    qdrant.loader.plain(name, points=20)
    qdrant.loader.plain(foreign, points=20)
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ran = run_shell(outside, "INV snapshot.create --all", **ascii_only)
    assert b"Traceback" not in ran.stderr, ran.stderr
    assert len([path for path in taken(outside) if path.name.startswith(f"{name}_")]) == 1
    assert ran.returncode, ran.stderr
    assert b"LC_ALL=C.UTF-8" in ran.stderr
    assert run_shell(outside, "INV snapshot.list", **ascii_only).returncode == 0


@pytest.fixture
def exfat(tmp_path: Path) -> Iterator[Path]:
    """A real exFAT disk: it has no symlinks, no modes, and no names that are not UTF-8."""
    need_disks()
    with exfat_disk(tmp_path / "exfat", megabytes=256) as place:
        yield place


def test_a_disk_without_symlinks(qdrant: Live, name: str, outside: Inv, exfat: Path) -> None:
    """The snapshot is kept, used and checked; what is missing is said once, and by the doctor."""
    keep_on(qdrant, name, outside, str(exfat), "symlinks")


def test_names_that_a_disk_does_not_tell_apart(exfat: Path, tmp_path: Path) -> None:
    """The second collection is refused; the first one stays as it was."""
    catalog = Catalog(tmp_path / "snapshots")
    catalog.make_folder()
    place = exfat / "off-site"
    place.mkdir()

    def pushed(collection: str, hours: int) -> None:
        taken_at = TAKEN_AT + timedelta(hours=hours)
        snapshot = catalogued(catalog, collection=collection, taken_at=taken_at)
        repository = Repository(open_store(str(place), {}))
        push(PushRequest(snapshot=snapshot, packer=Packer()), repository, Silent())

    pushed("docs", 0)
    before = tree(place)
    for hours in (0, 1):
        with pytest.raises(Refused, match="does not tell"):
            pushed("Docs", hours)
    assert tree(place) == before
    pushed("docs", 2)


@pytest.mark.parametrize(
    ("function", "number", "word"),
    [("fchmod", errno.EPERM, "file modes"), ("symlink", errno.EPERM, "symlinks")],
)
def test_a_disk_that_lacks_something(
    qdrant: Live,
    name: str,
    outside: Inv,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    number: int,
    word: str,
) -> None:
    """As above, with the error that such disks return (this machine has none)."""

    def refuse(*arguments: Any, **options: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, function, refuse)
    keep_on(qdrant, name, outside, str(outside.root / "qdrant_snapshots"), word)


def test_a_disk_that_cannot_sync_folders(
    qdrant: Live, name: str, outside: Inv, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As above: EINVAL for folders only, as SMB returns it."""
    sync = os.fsync

    def refuse(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").is_dir():
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    keep_on(qdrant, name, outside, str(outside.root / "qdrant_snapshots"), "a sync of folders")


def keep_on(qdrant: Live, name: str, inv: Inv, folder: str, word: str) -> None:
    """Take two snapshots there, and use them."""
    qdrant.loader.plain(name, points=20)
    for _ in range(2):
        made = inv("snapshot.create", "--collection", name, QDRANT_SNAPSHOT_DIR=folder)
        assert made.code == 0, made.stderr
        assert made.stderr.count(f"{folder} lacks ") == 1
        assert word in made.stderr
    for task in (("snapshot.verify", "--collection", name), ("snapshot.list",)):
        assert inv(*task, QDRANT_SNAPSHOT_DIR=folder).code == 0
    doctor = inv("doctor", QDRANT_SNAPSHOT_DIR=folder, QDRANT_COLLECTION_NAME=name)
    assert doctor.code == 0, doctor.stdout
    assert word in doctor.stdout
    checked = inv("snapshot.check", "--collection", name, QDRANT_SNAPSHOT_DIR=folder)
    assert "the link does not exist" not in checked.stdout + checked.stderr


def test_a_disk_without_locks(
    qdrant: Live, name: str, outside: Inv, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a lock that cannot be had refuses, and says how to get one (no such disk here)."""

    def refuse(*arguments: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    qdrant.loader.plain(name, points=20)
    with monkeypatch.context() as patch:
        patch.setattr("fcntl.flock", refuse)
        ran = outside("snapshot.create", "--collection", name)
    assert ran.code == 15, ran.stderr
    assert "cannot lock files" in ran.stderr


GIVEN_UP = Answer(504, {"Content-Type": "text/html"}, b"<h1>Gateway Time-out</h1>")


def gateway_timeout(exchange: Exchange, *, answer: Answer = GIVEN_UP) -> None:
    """Let Qdrant do the work, but answer as a gateway that has waited too long."""
    exchange.forward()
    exchange.answer(answer)


def test_a_gateway_that_gives_up_has_lost_an_answer(qdrant: Live, name: str, outside: Inv) -> None:
    """Qdrant goes on; the snapshot is found in the list, taken, and its copy deleted."""
    qdrant.loader.plain(name, points=20)
    with faulty(qdrant.url) as proxy:
        proxy.on("POST", SNAPSHOTS, gateway_timeout, times=1)
        ran = outside("snapshot.create", "--collection", name, QDRANT_URL=proxy.url)
        assert ran.code == 0, ran.stderr
        assert proxy.requests("POST", SNAPSHOTS) == 1
    assert qdrant.loader.server_snapshots(name) == []


def test_a_gateway_with_another_clock_that_gives_up(
    qdrant: Live, name: str, outside: Inv, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The only new server snapshot is taken, but never deleted: it may be another tool's."""
    monkeypatch.setattr("snapshot_tasks.qdrant.snapshots.INTERRUPTED_SECONDS", 1.0)
    monkeypatch.setattr("snapshot_tasks.operations.create.download.ARRIVAL_SECONDS", 0.0)
    offsets = cycle((timedelta(hours=-30), timedelta(hours=30)))
    qdrant.loader.plain(name, points=20)

    def shifted(exchange: Exchange) -> None:
        exchange.set_clock(next(offsets))
        exchange.answer(exchange.forward())

    with faulty(qdrant.url) as proxy:
        proxy.on("POST", SNAPSHOTS, gateway_timeout, times=1)
        proxy.on("GET", SNAPSHOTS, shifted)
        ran = outside("snapshot.create", "--collection", name, QDRANT_URL=proxy.url)
        assert ran.code == 0, ran.stderr
        (left,) = qdrant.loader.server_snapshots(name)
        assert f"{left} of {name} stays on the server" in ran.stderr
        # Neither is it deleted by a later run, nor one of two that may be ours taken.
        assert outside("snapshot.create", "--collection", name, QDRANT_URL=proxy.url).code == 0
        assert qdrant.loader.server_snapshots(name) == [left]

        def two(exchange: Exchange) -> None:
            exchange.forward()
            time.sleep(1.1)
            gateway_timeout(exchange)

        proxy.on("POST", SNAPSHOTS, two, times=1)
        ran = outside("snapshot.create", "--collection", name, QDRANT_URL=proxy.url)
    assert ran.code == 13, ran.stderr
    assert len(qdrant.loader.server_snapshots(name)) == 3
    assert not list((outside.root / "qdrant_snapshots").glob(".pending-*"))
    assert len(taken(outside)) == 2


DOWNLOAD = rf"{SNAPSHOTS}/[^/]+"
PAGE = Answer(200, {"Content-Type": "text/html"}, b"<h1>Sorry</h1>")
GATEWAYS = [
    *(Answer(status, {"Content-Type": "text/html"}, b"<h1>!</h1>") for status in (502, 504, 524)),
    Answer(503, {"Content-Type": "text/plain"}, b"upstream connect error"),
    PAGE,
]


@pytest.mark.parametrize("answer", GATEWAYS, ids=lambda answer: str(answer.status))
def test_what_a_gateway_answers_to_streams_is_asked_again(
    qdrant: Live, name: str, outside: Inv, answer: Answer
) -> None:
    """Downloads, counts and reading all points go on; Qdrant's own errors are no lost answers."""
    qdrant.loader.plain(name, points=20)
    reads = (("GET", DOWNLOAD), ("POST", ".*/points/(count|scroll)"))
    with faulty(qdrant.url) as proxy:
        for method, path in reads:
            proxy.on(method, path, lambda exchange: exchange.answer(answer), times=2)
        ran = outside("snapshot.create", "--collection", name, QDRANT_URL=proxy.url)
        assert ran.code == 0, ran.stderr
        assert proxy.requests("GET", DOWNLOAD) == 3
        proxy.on("POST", SNAPSHOTS, partial(gateway_timeout, answer=answer), times=1)
        ran = outside("snapshot.create", "--collection", name, QDRANT_URL=proxy.url)
        assert ran.code == 0, ran.stderr
        proxy.on("GET", DOWNLOAD, lambda exchange: exchange.answer(answer))
        ran = outside("snapshot.create", "--collection", name, QDRANT_URL=proxy.url)
    assert ran.code == 13, ran.stderr
    assert "Traceback" not in ran.stderr
    assert qdrant.loader.server_snapshots(name) == []


@pytest.mark.parametrize("answer", GATEWAYS[2:], ids=lambda answer: str(answer.status))
def test_a_restore_whose_answer_is_lost_is_not_undone(
    qdrant: Live, name: str, outside: Inv, answer: Answer
) -> None:
    """Qdrant goes on: what it restored is compared and kept, by each way in; no copy stays."""
    qdrant.loader.plain(name, points=20)
    qdrant.loader.alias(f"{name}-alias", name)
    assert outside("snapshot.create", "--collection", name).code == 0
    lose = partial(gateway_timeout, answer=answer)
    mounted = {"QDRANT_SERVER_SNAPSHOT_DIR": str(outside.root / "qdrant_snapshots")}
    for way, more in (("upload", {}), ("recover", mounted)):
        qdrant.loader.delete(name)
        with faulty(qdrant.url) as proxy:
            proxy.on("POST", f"{SNAPSHOTS}/upload", lose)
            proxy.on("PUT", f"{SNAPSHOTS}/recover", lose)
            proxy.on("POST", "/collections/aliases", lose)
            proxy.on("DELETE", r"/collections/.*", lose)
            words = ("snapshot.restore", "--collection", name)
            ran = outside(*words, QDRANT_URL=proxy.url, **more)
            assert ran.code == 0, ran.stderr
            assert "looking whether it goes on" in ran.stderr
            assert proxy.requests("POST", f"{SNAPSHOTS}/upload") == (way == "upload")
        assert qdrant.loader.count(name) == 20
        assert qdrant.loader.aliases()[f"{name}-alias"] == name
        assert qdrant.loader.server_snapshots(name) == []


def test_a_replacement_whose_answers_are_all_lost(qdrant: Live, name: str, outside: Inv) -> None:
    """Trial, safety snapshot, deletion and restore: each is found by looking."""
    qdrant.loader.plain(name, points=20)
    assert outside("snapshot.create", "--collection", name).code == 0
    qdrant.loader.request("POST", f"/collections/{name}/points/delete", {"points": [1]})
    with faulty(qdrant.url) as proxy:
        for method, path in (("POST", f"{SNAPSHOTS}(/upload)?"), ("DELETE", "/collections/.*")):
            proxy.on(method, path, gateway_timeout)
        words = ("snapshot.restore", "--collection", name, "--replace", "--yes")
        ran = outside(*words, QDRANT_URL=proxy.url)
    assert ran.code == 0, ran.stderr
    assert qdrant.loader.count(name) == 20
    assert qdrant.loader.server_snapshots(name) == []
    assert not [other for other in qdrant.loader.names() if other.startswith("trial-")]


def test_a_restore_that_never_arrived_is_undone(qdrant: Live, name: str, outside: Inv) -> None:
    """The gateway answers 504 without Qdrant: 13 after a while, and nothing is there."""
    qdrant.loader.plain(name, points=20)
    assert outside("snapshot.create", "--collection", name).code == 0
    qdrant.loader.delete(name)
    with faulty(qdrant.url) as proxy:
        proxy.on("POST", f"{SNAPSHOTS}/upload", lambda e: e.answer(Answer(504, {}, b"")))
        ran = outside("snapshot.restore", "--collection", name, QDRANT_URL=proxy.url)
    assert ran.code == 13, ran.stderr
    assert name not in qdrant.loader.names()


@pytest.mark.parametrize("status", [403, 405])
def test_a_delete_that_is_not_let_through_is_counted(
    qdrant: Live, name: str, outside: Inv, status: int
) -> None:
    """Create succeeds and says what it left; check and doctor count it until a run deletes it."""
    qdrant.loader.plain(name, points=20)
    create = ("snapshot.create", "--collection", name)
    with faulty(qdrant.url) as proxy:
        proxy.on("DELETE", ".*", lambda e: e.answer(Answer(status, {}, b"not allowed")))
        outside.environment.update(QDRANT_URL=proxy.url, QDRANT_COLLECTION_NAME=name)
        made = outside(*create)
        assert made.code == 0, made.stderr
        (left,) = qdrant.loader.server_snapshots(name)
        assert f"Could not delete {left} of {name} on the server" in made.stderr
        for task in (("snapshot.check", "--collection", name), ("doctor",)):
            told = outside(*task, COLUMNS="400")
            assert "1 copy on" in told.stdout + told.stderr, told
            assert left in told.stdout + told.stderr
        assert outside(*create).code == 0
        assert len(qdrant.loader.server_snapshots(name)) == 2
        checked = outside("snapshot.check", "--collection", name, COLUMNS="400")
        assert "2 copies on" in checked.stdout + checked.stderr
        proxy.rules.clear()
        assert outside(*create).code == 0
        assert qdrant.loader.server_snapshots(name) == []
        assert "server copies" not in outside("snapshot.check", "--collection", name).stdout


def test_an_upload_whose_copy_cannot_be_deleted_is_kept(
    qdrant: Live, name: str, outside: Inv
) -> None:
    """The collection is whole, so only the copy is reported."""
    qdrant.loader.plain(name, points=20)
    assert outside("snapshot.create", "--collection", name).code == 0
    qdrant.loader.delete(name)
    with faulty(qdrant.url) as proxy:
        proxy.on("DELETE", ".*", lambda e: e.answer(Answer(405, {}, b"not allowed")))
        ran = outside("snapshot.restore", "--collection", name, QDRANT_URL=proxy.url)
    assert ran.code == 0, ran.stderr
    assert qdrant.loader.count(name) == 20
    (left,) = qdrant.loader.server_snapshots(name)
    assert left in ran.stderr


def test_a_collection_deleted_meanwhile_is_noted(qdrant: Live, name: str, outside: Inv) -> None:
    """With --all, the others have their snapshots, and the next task on the line runs."""
    first, last = f"{name}-a", f"{name}-z"
    # --all would also take what the tests before have left, which takes a minute.
    qdrant.loader.clear()
    qdrant.loader.plain(first, points=20)
    qdrant.loader.plain(last, points=20)

    def delete(exchange: Exchange) -> None:
        with qdrant.server() as server:
            server.collections.delete(last)
        exchange.answer(exchange.forward())

    with faulty(qdrant.url) as proxy:
        proxy.on("POST", f"/collections/{first}/snapshots", delete, times=1)
        ran = outside("snapshot.create", "--all", "snapshot.list", QDRANT_URL=proxy.url)
    assert ran.code == 0, ran.stderr
    assert f"{last} was deleted meanwhile" in ran.stderr
    assert first in ran.stdout
    assert len(taken(outside)) >= 1


ODD = b"odd\xff"


def run_odd(inv: Inv, *words: str | bytes, **environment: str | bytes) -> bytes:
    """Run a task with bytes that are not UTF-8; return its exit code and output."""
    ran = subprocess.run(
        (sys.executable, "-m", "invoke", *words),
        cwd=inv.root,
        env={**os.environ, **inv.environment, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert b"Traceback" not in ran.stderr, ran.stderr
    return str(ran.returncode).encode() + b" " + ran.stdout + ran.stderr


def test_file_names_that_are_not_utf_8(qdrant: Live, name: str, outside: Inv) -> None:
    """In the folder they are listed as escapes, and no other snapshot suffers."""
    qdrant.loader.plain(name, points=20)
    outside.environment["QDRANT_COLLECTION_NAME"] = name
    assert outside("snapshot.create").code == 0
    (made,) = taken(outside)
    folder = os.fsencode(made.parent)
    for odd in (b"alien\xff_20260101_000000.snapshot", b"\xff.snapshot", b"\xff.txt"):
        Path(os.fsdecode(folder + b"/" + odd)).write_bytes(made.read_bytes())
    assert run_odd(outside, "snapshot.list").startswith(b"0 ")
    assert name.encode() in run_odd(outside, "snapshot.list", "--json")
    for task in ("snapshot.verify", "snapshot.create", "report", "doctor"):
        assert run_odd(outside, task).startswith(b"0 "), task
    shown = run_odd(outside, "snapshot.show", "--snapshot", b"\xff.snapshot", "--json")
    assert b"alien" not in shown
    assert run_odd(outside, "snapshot.verify", "--all").count(name.encode())


def test_paths_that_are_not_utf_8(qdrant: Live, name: str, outside: Inv, tmp_path: Path) -> None:
    """A snapshot is taken into, checked and proven from such a folder; what cannot be is said."""
    qdrant.loader.plain(name, points=20)
    outside.environment.update(QDRANT_COLLECTION_NAME=name, QDRANT_DRILL_ENGINE="native")
    root = os.fsencode(tmp_path) + b"/"
    there: dict[str, str | bytes] = {"QDRANT_SNAPSHOT_DIR": root + ODD}
    assert run_odd(outside, "snapshot.create", "--output-dir", root + ODD).startswith(b"0 ")
    assert run_odd(outside, "snapshot.verify", **there).startswith(b"0 ")
    junit = root + ODD + b".xml"
    assert run_odd(outside, "snapshot.test-restore", "--junit", junit, **there).startswith(b"0 ")
    assert Path(os.fsdecode(junit)).stat().st_size
    scratch = Path(os.fsdecode(root + b"tmp\xff"))
    scratch.mkdir()
    odd_scratch: dict[str, str | bytes] = {**there, "TMPDIR": os.fsencode(scratch)}
    assert run_odd(outside, "snapshot.create", **odd_scratch).startswith(b"0 ")
    refused = run_odd(outside, "snapshot.test-restore", **odd_scratch)
    assert refused.startswith(b"13 "), refused
    assert b"is not UTF-8" in refused
    labelled = run_odd(outside, "snapshot.create", "--label", ODD, **there)
    assert labelled.startswith(b"14 "), labelled


def test_a_copy_through_the_latest_link(qdrant: Live, name: str, outside: Inv) -> None:
    """It is refused by the file's mode; where root does it, nothing relies on that file."""
    qdrant.loader.plain(name, points=20)
    outside.environment.update(QDRANT_COLLECTION_NAME=name, COLUMNS="400")
    for _ in range(2):
        assert outside("snapshot.create").code == 0
    older, newest = sorted(taken(outside), key=lambda path: path.stat().st_mtime)
    link = newest.with_name(f"{name}_latest.snapshot")
    without_rights = () if os.geteuid() else ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    cp = (*without_rights, "cp", str(older), str(link))
    copied = subprocess.run(cp, capture_output=True, check=False)
    assert b"Permission denied" in copied.stderr
    assert outside("snapshot.verify").code == 0

    whole = newest.read_bytes()
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 0xFF
    link.write_bytes(changed)
    later = time.time() + 120
    os.utime(newest, (later, later))
    assert "written to since: verify it" in outside("snapshot.list").stdout
    for task in ("snapshot.check", "doctor"):
        told = outside(task)
        words = f"{newest.name} was written to after it was catalogued"
        assert words in told.stdout + told.stderr, task
        assert f"inv snapshot.verify --snapshot {newest.name}" in told.stdout + told.stderr
    pruned = outside("snapshot.prune", "--keep-last", "1", "--yes")
    assert pruned.code == 0
    assert older.exists()
    there = outside.root / "there"
    there.mkdir()
    assert outside("snapshot.push", "--to", f"file://{there}").code == 20
    assert outside("snapshot.restore", "--as", f"{name}-copy").code == 20

    # The printed remedy works, also if the clock was set back since.
    link.write_bytes(whole)
    os.utime(newest, (later, later))
    assert outside("snapshot.verify", "--snapshot", newest.name).code == 0
    assert "written to" not in outside("snapshot.list").stdout
    assert "written to" not in outside("snapshot.check").stdout
