"""The faults of a cluster: each is a kind, with the moments at which it can happen.

Every one checks the exit code and the error of the run that it hits; what it costs is judged after
the next run (`cluster_world.py`).
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass

from tests.conftest import Ran
from tests.matrix.cluster_world import ALIAS, NEW, ClusterWorld
from tests.support.cluster import KEYED, KEYS, VECTORS, points
from tests.support.disks import fill
from tests.support.nodes import until
from tests.support.proxy import Act, Answer, Exchange, Hold
from tests.support.world import assert_error, ended

Fault = Callable[[ClusterWorld], None]

COPIES = r"/collections/[^/]+/shards/\d+/snapshots"
COPY = COPIES + "/[^/]+"
STREAM = r"/collections/[^/]+/shards/\d+/snapshot"
VIEW = r"/collections/[^/]+/cluster"
CREATE = ("snapshot.create",)
STREAMED = ("snapshot.create", "--stream")
RESTORE = ("snapshot.restore", "--as", NEW)
OTHER = "other"


def forwarded(exchange: Exchange) -> None:
    """Nothing happens."""
    exchange.answer(exchange.forward())


def _let(node: int, exchange: Exchange) -> None:
    forwarded(exchange)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A request that shows that a task has come to a phase; `entry` gets it, or else any node.

    With `following`, it is the first such request after that one.
    """

    task: tuple[str, ...]
    method: str
    path: str
    entry: bool = False
    following: tuple[str, str] | None = None

    def on(self, world: ClusterWorld, act: Callable[[int, Exchange], None]) -> None:
        """Let `act` handle the first such request, and tell it which node gets it.

        What only the entry gets is about any node.
        """
        once = iter((act,))

        def of(node: int) -> Act:
            return lambda exchange: next(once, _let)(node, exchange)

        for front in range(1 if self.entry else len(world.found)):
            self._on(world, front, of(world.victim() if self.entry else front))

    def _on(self, world: ClusterWorld, front: int, act: Act) -> None:
        if self.following is None:
            world.on(front, self.method, self.path, act)
            return

        def then(exchange: Exchange) -> None:
            world.on(front, self.method, self.path, act)
            forwarded(exchange)

        world.on(front, *self.following, then)


CREATING: Mapping[str, Moment] = {
    "the views": Moment(task=CREATE, method="GET", path=VIEW),
    "the copy of a shard": Moment(task=CREATE, method="POST", path=COPIES),
    "the download": Moment(task=CREATE, method="GET", path=COPY),
    "the deletion of copies": Moment(task=CREATE, method="DELETE", path=COPY),
    "a stream": Moment(task=STREAMED, method="GET", path=STREAM),
}
RESTORING: Mapping[str, Moment] = {
    "the collection": Moment(task=RESTORE, method="PUT", path=f"/collections/{NEW}", entry=True),
    "a key": Moment(task=RESTORE, method="PUT", path=f"/collections/{NEW}/shards", entry=True),
    "an upload": Moment(task=RESTORE, method="POST", path=COPIES + "/upload"),
    "the settling": Moment(
        task=RESTORE,
        method="GET",
        path=f"/collections/{NEW}/cluster",
        following=("POST", COPIES + "/upload"),
    ),
    "the comparison": Moment(task=RESTORE, method="GET", path=STREAM),
}


def kill_node(moment: Moment, *codes: int) -> Fault:
    """Return the fault that kills a node with -9 at a moment."""

    def fault(world: ClusterWorld) -> None:
        def act(node: int, exchange: Exchange) -> None:
            world.found[node].kill()
            forwarded(exchange)

        moment.on(world, act)
        judge_run(world.run(*moment.task), *codes)
        assert not all(node.is_running for node in world.found)

    return fault


def pause_node(moment: Moment) -> Fault:
    """Return the fault that stops a node at a moment, until the run has ended."""

    def fault(world: ClusterWorld) -> None:
        with ExitStack() as paused:

            def act(node: int, exchange: Exchange) -> None:
                paused.enter_context(world.found[node].paused())
                forwarded(exchange)

            moment.on(world, act)
            judge_run(world.run(*moment.task), 13)

    return fault


def end_inv(moment: Moment, number: signal.Signals) -> Fault:
    """Return the fault that ends our own run at a moment."""

    def fault(world: ClusterWorld) -> None:
        hold = Hold()
        moment.on(world, lambda node, exchange: hold.after(exchange))
        process = world.start(*moment.task)
        try:
            hold.wait()
            process.send_signal(number)
        finally:
            hold.release.set()
        ran = ended(process)
        if number is signal.SIGINT:
            assert ran.code == 130, ran.stderr
            assert not list(world.folder.glob(".pending*")), ran.stderr

    return fault


def leave_dead(world: ClusterWorld) -> None:
    """A replica missed a write: no snapshot is taken until it has what it missed."""
    node = world.found[world.victim()]
    node.kill()
    others = [other for other in world.found if other is not node]
    with closing(others[0].loader) as loader:
        # The same points again: what the collection holds does not change.
        for number, key in enumerate(KEYS):
            batch = {"points": list(points(100, start=1000 * number)), "shard_key": key}
            loader.request("PUT", f"/collections/{KEYED}/points", batch)
    try:
        node.transfers = False
        node.start()
        until(lambda: "Dead" in node.state_of(KEYED))
        assert_error(world.run(*CREATE), 24, "is Dead on node")
        assert_error(world.run(*CREATE, "--wait", "1"), 24, "is Dead on node")
    finally:
        node.kill()
        node.transfers = True
        node.start()
    judge_run(world.run(*CREATE, "--wait", "60"), 0)


def fall_behind(world: ClusterWorld) -> None:
    """A node does not know yet where another's shards are now, but the rest agree."""
    victim = world.victim()
    former = json.dumps(world.views()[victim]).encode()
    move_shard(world)
    stale = Answer(200, {"Content-Type": "application/json"}, b'{"result": %s}' % former)
    # A run that also finishes what an earlier one left asks for the views more than once.
    world.on(victim, "GET", VIEW, lambda exchange: exchange.answer(stale), times=99)
    assert_error(world.run(*CREATE), 24, "do not see the same replicas")
    world.fronts[victim].rules.clear()
    world.on(victim, "GET", VIEW, lambda exchange: exchange.answer(stale))
    judge_run(world.run(*CREATE, "--wait", "30"), 0)


def move_while(moment: Moment) -> Fault:
    """Return the fault that moves a shard to another node at a moment."""

    def fault(world: ClusterWorld) -> None:
        def act(node: int, exchange: Exchange) -> None:
            move_shard(world)
            forwarded(exchange)

        moment.on(world, act)
        # What holds the request until the shard has moved is this test.
        patience = {"QDRANT_ANSWER_TIMEOUT_SECONDS": "30"}
        ran = world.run(*moment.task, "--wait", "30", **patience)
        judge_run(ran, 0)
        world.delete_told(ran)

    return fault


def start_to_move(world: ClusterWorld) -> None:
    """A shard begins to move when all were taken: it is taken again, or nothing is kept."""

    def act(node: int, exchange: Exchange) -> None:
        forwarded(exchange)
        move_shard(world, wait=False)

    CREATING["the deletion of copies"].on(world, act)
    ran = world.run(*CREATE)
    judge_run(ran, 0, 24)
    world.delete_told(ran)


def move_shard(world: ClusterWorld, *, wait: bool = True) -> None:
    """Move a shard from a node that holds it to the one that does not."""
    views = world.views()
    shard, here = world.rng.choice(
        [(s["shard_id"], v["peer_id"]) for v in views for s in v["local_shards"]]
    )
    there = next(
        view["peer_id"]
        for view in views
        if shard not in {local["shard_id"] for local in view["local_shards"]}
    )
    move = {"shard_id": shard, "from_peer_id": here, "to_peer_id": there}
    with world.loader() as loader:
        loader.request("POST", f"/collections/{KEYED}/cluster", {"move_shard": move})
    if wait:
        until(lambda: _has_moved(world, shard, here))


def _has_moved(world: ClusterWorld, shard: int, here: int) -> bool:
    return not any(
        view["shard_transfers"]
        or (view["peer_id"] == here and shard in {s["shard_id"] for s in view["local_shards"]})
        or any(s["shard_id"] == shard and s["peer_id"] == here for s in view["remote_shards"])
        for view in world.views()
    )


def delete_while(moment: Moment, *codes: int) -> Fault:
    """Return the fault that deletes the collection of a task at a moment."""

    def fault(world: ClusterWorld) -> None:
        is_create = moment.task[0] == CREATE[0]

        def act(node: int, exchange: Exchange) -> None:
            answer = exchange.forward() if moment.entry else None
            with world.loader() as loader:
                loader.delete(OTHER if is_create else NEW)
            exchange.answer(answer or exchange.forward())

        moment.on(world, act)
        ran = _of_other(world, *moment.task) if is_create else world.run(*moment.task)
        judge_run(ran, *codes)
        world.delete_told(ran)

    return fault


def _of_other(world: ClusterWorld, *task: str) -> Ran:
    """Run a task on a new collection that every node has all shards of."""
    with world.loader() as loader:
        body = {"vectors": VECTORS, "shard_number": 3, "replication_factor": 3}
        loader.request("PUT", f"/collections/{OTHER}", body)
        loader.fill(OTHER, points(100))
    return world.run(*task, QDRANT_COLLECTION_NAME=OTHER)


def delete_alias(world: ClusterWorld) -> None:
    """An alias is deleted while a snapshot is taken: it is recorded, and the snapshot is good."""

    def act(node: int, exchange: Exchange) -> None:
        with world.loader() as loader:
            action = {"delete_alias": {"alias_name": ALIAS}}
            loader.request("POST", "/collections/aliases", {"actions": [action]})
        exchange.answer(exchange.forward())

    CREATING["the download"].on(world, act)
    judge_run(world.run(*CREATE), 0)
    with world.loader() as loader:
        loader.alias(ALIAS, KEYED)


def fill_disk_in_create(world: ClusterWorld) -> None:
    """A node has no space for the copy that it has to make."""
    filler = fill(world.disk)
    try:
        judge_run(_of_other(world, *CREATE), 15)
    finally:
        filler.unlink()
        with world.loader() as loader:
            loader.delete(OTHER)


def fill_disk_in_restore(world: ClusterWorld) -> None:
    """A node has no space for the shards that are sent to it."""
    filler = fill(world.disk)
    try:
        judge_run(world.run(*RESTORE), 15)
    finally:
        filler.unlink()


def write_meanwhile(*flags: str) -> Fault:
    """Return the fault of writes that go on: of each shard, there is what came up to a moment."""

    def fault(world: ClusterWorld) -> None:
        with world.loader() as loader:
            body = {"vectors": VECTORS, "sharding_method": "custom", "replication_factor": 2}
            loader.request("PUT", "/collections/busy", body)
            for key in KEYS:
                loader.request("PUT", "/collections/busy/shards", {"shard_key": key})
        stop, acknowledged = threading.Event(), dict.fromkeys(KEYS, 0)
        with ThreadPoolExecutor() as pool:
            for node, key in enumerate(KEYS):
                pool.submit(_write, world, node, key, stop, acknowledged)
            try:
                until(lambda: min(acknowledged.values()) > 50)
                before = dict(acknowledged)
                ran = world.run(*CREATE, *flags, QDRANT_COLLECTION_NAME="busy")
            finally:
                stop.set()
        judge_run(ran, 0)
        assert "each shard is as it was at one moment" in ran.stdout
        judge_run(world.run(*RESTORE, QDRANT_COLLECTION_NAME="busy"), 0)
        with world.loader() as loader:
            for key in KEYS:
                page = {"limit": 100_000, "shard_key": key, "with_payload": False}
                found = loader.request("POST", f"/collections/{NEW}/points/scroll", page)
                ids = [point["id"] for point in found["points"]]
                first = _first_id(key)
                assert ids == list(range(first, first + len(ids)))
                assert before[key] <= len(ids) <= acknowledged[key] + 1
            for name in ("busy", NEW):
                loader.delete(name)
        for file in world.folder.glob("busy_*"):
            file.unlink()

    return fault


def _write(
    world: ClusterWorld,
    node: int,
    key: str | int,
    stop: threading.Event,
    acknowledged: dict[str | int, int],
) -> None:
    """Write one point after the other to a key, and count those that a node has acknowledged."""
    with world.loader(node) as loader:
        for point in points(1_000_000, start=_first_id(key)):
            if stop.is_set():
                return
            body = {"points": [point], "shard_key": key}
            loader.request("PUT", "/collections/busy/points", body)
            acknowledged[key] += 1


def _first_id(key: str | int) -> int:
    return 1_000_000 * KEYS.index(key)


def judge_run(ran: Ran, *codes: int) -> None:
    """The run failed as it should: with one error, and what to do about it."""
    assert ran.code in codes, f"{ran.code}\n{ran.stdout}\n{ran.stderr}"
    if ran.code:
        assert_error(ran, ran.code)


def _moments(moments: Mapping[str, Moment], make: Callable[[Moment], Fault]) -> dict[str, Fault]:
    return {name: make(moment) for name, moment in moments.items()}


def _kill_in_restore(moment: Moment) -> Fault:
    return kill_node(moment, 13, 22)


def _kill_in_create(moment: Moment) -> Fault:
    # A copy that cannot be deleted is left to the next run.
    return kill_node(moment, 13, *([0] if moment.method == "DELETE" else []))


# Each kind of fault, with its moments.
FAULTS: dict[str, dict[str, Fault]] = {
    "kill -9 of a node: create": _moments(CREATING, _kill_in_create),
    "kill -9 of a node: restore": _moments(RESTORING, _kill_in_restore),
    "kill -9 of inv: create": _moments(CREATING, lambda m: end_inv(m, signal.SIGKILL)),
    "kill -9 of inv: restore": _moments(RESTORING, lambda m: end_inv(m, signal.SIGKILL)),
    "Ctrl-C: create": _moments(CREATING, lambda m: end_inv(m, signal.SIGINT)),
    "Ctrl-C: restore": _moments(RESTORING, lambda m: end_inv(m, signal.SIGINT)),
    "a node paused: create": _moments(CREATING, pause_node),
    "a node paused: restore": _moments(RESTORING, pause_node),
    "a node Dead, then healed": {"once": leave_dead},
    "a node behind": {"once": fall_behind},
    "a shard moved: create": _moments(CREATING, move_while),
    "a shard begins to move": {"once": start_to_move},
    "collection deleted: create": _moments(CREATING, lambda m: delete_while(m, 10)),
    "collection deleted: restore": _moments(RESTORING, lambda m: delete_while(m, 10, 22)),
    "alias deleted: create": {"once": delete_alias},
    "a node's disk full: create": {"once": fill_disk_in_create},
    "a node's disk full: restore": {"once": fill_disk_in_restore},
    "writes go on: create": {"stored": write_meanwhile(), "streamed": write_meanwhile("--stream")},
}
# What CI runs: what `test_cluster_faults.py` has not, at a moment that takes little time.
QUICK = (
    ("kill -9 of a node: restore", "an upload"),
    ("kill -9 of inv: create", "the download"),
    ("Ctrl-C: create", "the copy of a shard"),
    ("a node paused: create", "a stream"),
    ("a node Dead, then healed", "once"),
    ("a node behind", "once"),
    ("a shard moved: create", "the download"),
    ("collection deleted: create", "the download"),
    ("a node's disk full: create", "once"),
    ("a node's disk full: restore", "once"),
    ("writes go on: create", "stored"),
)


def inject(world: ClusterWorld, kind: str, number: int) -> None:
    """Run one round of a fault: each round at the next of its moments."""
    moments = list(FAULTS[kind].values())
    moments[number % len(moments)](world)
