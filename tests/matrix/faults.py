"""The faults: each is one round of something going wrong at a random moment."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.domain.names import latest_name
from snapshot_tasks.operations.create.one import create
from snapshot_tasks.operations.create.request import CreateRequest
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.progress import Silent
from tests.matrix.world import COLLECTION, OTHER, World
from tests.support import proxy as broken
from tests.support.disks import fill, small_disk
from tests.support.proxy import Act, Answer, Exchange, faulty
from tests.support.world import wait_until

Fault = Callable[[World], None]

DOWNLOAD = r"/collections/[^/]+/snapshots/[^/]+"
SNAPSHOTS = r"/collections/[^/]+/snapshots"
TASKS: dict[str, tuple[str, ...]] = {
    "create": ("snapshot.create",),
    "seal": ("snapshot.verify", "--level", "content"),
    "restore": ("snapshot.restore", "--as", OTHER),
    "replace": ("snapshot.restore", "--replace", "--yes"),
    "drill": ("snapshot.test-restore",),
    "prune": ("snapshot.prune", "--keep-last", "1", "--yes"),
}
SERVER_TASKS = ("create", "restore", "replace")
EXPECTED_FAILURES = (1, 12, 13, 15, 20, 21, 22, 24)


def kill_inv(task: str) -> Fault:
    """Return the fault that kills `inv` with -9 during a task."""

    def fault(world: World) -> None:
        process = _started(world, task)
        process.kill()
        process.communicate()

    return fault


def kill_server(task: str) -> Fault:
    """Return the fault that kills Qdrant with -9 during a task."""

    def fault(world: World) -> None:
        process = _started(world, task)
        world.kill_server()
        process.communicate()
        assert process.returncode == 0 or process.returncode in EXPECTED_FAILURES

    return fault


def kill_drill_server(world: World) -> None:
    """Kill the throw-away Qdrant of a test with -9, between its start and its end."""
    seconds = world.timed(*TASKS["drill"])
    process = world.inv.start(*TASKS["drill"])
    wait_until(lambda: world.drill_servers() or process.poll() is not None)
    # About as long as it runs, including one restart.
    time.sleep(world.rng.uniform(0, seconds / 4))
    for server in world.drill_servers():
        server.kill()
    process.communicate()
    assert process.returncode == 0 or process.returncode in EXPECTED_FAILURES


def _started(world: World, task: str) -> subprocess.Popen[str]:
    """Start a task and return at a random moment during it."""
    seconds = world.timed(*TASKS[task])
    process = world.inv.start(*TASKS[task])
    time.sleep(world.rng.uniform(0, seconds))
    return process


def full_disk(place: Callable[[World], Path], *task: str, setting: str = "") -> Fault:
    """Return the fault of a disk of one megabyte where something has to be written."""

    def fault(world: World) -> None:
        with small_disk(place(world), size="400k") as disk:
            environment = {setting: str(disk)} if setting else {}
            world.inv(*task, **environment)
            assert not list(disk.glob(".staging*"))

    return fault


def full_server(world: World) -> None:
    """The server's own disk fills up while it creates or restores a snapshot."""
    filler = fill(world.storage)
    try:
        for task in SERVER_TASKS:
            assert world.inv(*TASKS[task]).code in EXPECTED_FAILURES
    finally:
        filler.unlink()


def network(method: str, path: str, act: Act, *, times: int = 1_000_000) -> Fault:
    """Return the fault of a proxy that breaks exchanges with Qdrant while a snapshot is taken."""

    def fault(world: World) -> None:
        with faulty(world.url) as proxy:
            proxy.on(method, path, act, times=times)
            world.inv(*TASKS["create"], QDRANT_URL=proxy.url, QDRANT_ENGINE="external", **PATIENCE)
            # What a run left unfinished belongs to that address.
            proxy.rules.clear()
            world.inv(*TASKS["create"], QDRANT_URL=proxy.url, QDRANT_ENGINE="external")

    return fault


PATIENCE = {"QDRANT_ANSWER_TIMEOUT_SECONDS": "1", "QDRANT_OPERATION_TIMEOUT_SECONDS": "5"}


def stall(exchange: Exchange) -> None:
    """Send half of the body, then nothing for longer than anyone waits."""
    exchange.stall(seconds=3)


def drip(exchange: Exchange) -> None:
    """Send the body in small pieces with pauses."""
    exchange.drip(pieces=40, pause_seconds=0.02)


def announce_more(exchange: Exchange) -> None:
    """Announce more bytes than are sent."""
    answer = exchange.forward()
    exchange.answer(answer, announced=len(answer.body) + 1000)


def overloaded(exchange: Exchange) -> None:
    """Respond 503 instead of Qdrant."""
    exchange.answer(Answer(503, {"Content-Type": "text/plain"}, b"try again later"))


def lie_about_checksum(exchange: Exchange) -> None:
    """Make Qdrant report another checksum than that of its file."""
    answer = exchange.forward()
    document = json.loads(answer.body)
    document["result"]["checksum"] = "0" * 64
    exchange.answer(Answer(answer.status, answer.headers, json.dumps(document).encode()))


def two_at_once(world: World) -> None:
    """Two shells take a snapshot: one does, the other exits with 11 at once."""
    runs = [world.inv.start("snapshot.create") for _ in range(2)]
    for run in runs:
        run.communicate()
    codes = sorted(run.returncode for run in runs)
    assert codes in ([0, 11], [0, 0]), codes


def clock_back(world: World) -> None:
    """The clock goes back by an hour; in process, because the clock of `inv` cannot be set."""
    catalog = Catalog(world.folder)
    earlier = datetime.now(UTC) - timedelta(hours=1, seconds=world.rng.randrange(1000))
    request = CreateRequest(collection=COLLECTION)
    with (
        Server(Endpoint(url=world.url), operation_timeout_seconds=60) as server,
        catalog.lock("test"),
    ):
        create(request, server, catalog, Silent(), clock=lambda: earlier)


def read_only(world: World) -> None:
    """The folder is read-only: verifying and testing work, taking a snapshot exits with 15."""
    bind = ("mount", "--bind", "-o", "ro", str(world.folder), str(world.folder))
    subprocess.run(bind, check=True)
    try:
        assert world.inv("snapshot.create").code == 15
        assert world.inv("snapshot.verify").code == 0
        assert world.inv("snapshot.test-restore").code == 0
    finally:
        subprocess.run(("umount", str(world.folder)), check=True)


def odd_files(world: World) -> None:
    """Foreign, empty, half-written and newer files are in the folder."""
    newest = Catalog(world.folder).newest(COLLECTION)
    odd = {
        "notes.txt": b"mine",
        f"{COLLECTION}_20200101_000000.snapshot": b"",
        f"{COLLECTION}_20200101_000001.snapshot": newest.path.read_bytes()[:5000],
        f"{COLLECTION}_20200101_000002.snapshot.json": b'{"schema": 1, "coll',
        f"{COLLECTION}_20200101_000003.snapshot": newest.path.read_bytes(),
        f"{COLLECTION}_20200101_000003.snapshot.json": b'{"schema": 99}',
        f".pending-{'0' * 16}.json": b"half",
    }
    for name, content in odd.items():
        (world.folder / name).write_bytes(content)
    try:
        assert world.inv("snapshot.list").code == 0
        assert world.inv("snapshot.create").code == 0
        assert world.inv("snapshot.verify", "--all").code != 0
    finally:
        for name in odd:
            (world.folder / name).unlink()


def odd_link(world: World) -> None:
    """The latest link points nowhere or at itself: reported, and fixed by the next snapshot."""
    link = world.folder / latest_name(COLLECTION)
    link.unlink()
    link.symlink_to(world.rng.choice(("gone.snapshot", link.name)))
    assert world.inv("snapshot.verify").code == 10
    assert world.inv("snapshot.test-restore").code == 10


FAULTS: dict[str, Fault] = {
    **{f"kill -9 of inv: {task}": kill_inv(task) for task in TASKS},
    **{f"kill -9 of Qdrant: {task}": kill_server(task) for task in SERVER_TASKS},
    "kill -9 of a drill's own Qdrant": kill_drill_server,
    "snapshot folder full": full_disk(
        lambda world: world.inv.root / "small", "snapshot.create", setting="QDRANT_SNAPSHOT_DIR"
    ),
    "temporary folder full": full_disk(
        lambda world: world.inv.root / "small", "snapshot.create", setting="TMPDIR"
    ),
    "Qdrant's disk full: create, restore, replace": full_server,
    "connection reset": network("GET", DOWNLOAD, broken.reset),
    "connection lost once, then resumed": network("GET", DOWNLOAD, broken.truncate, times=1),
    "answer lost": network("POST", SNAPSHOTS, broken.lose_answer, times=1),
    "download stalls": network("GET", DOWNLOAD, stall),
    "download drips": network("GET", DOWNLOAD, drip),
    "download truncated": network("GET", DOWNLOAD, broken.shorten),
    "Content-Length too large": network("GET", DOWNLOAD, announce_more),
    "a byte changed on the way": network("GET", DOWNLOAD, broken.flip),
    "500": network("POST", SNAPSHOTS, broken.fail),
    "503": network("GET", DOWNLOAD, overloaded),
    "checksum lies": network("POST", SNAPSHOTS, lie_about_checksum),
    "two runs at once": two_at_once,
    "clock goes backwards": clock_back,
    "folder read-only": read_only,
    "foreign, empty, half, newer files": odd_files,
    "latest link dangles or loops": odd_link,
}


def inject(world: World, name: str) -> None:
    """Run one round of a fault."""
    with suppress(ProcessLookupError):
        FAULTS[name](world)
