"""Plain `docker compose up -d`, without any of our tasks, restores an empty Qdrant by itself."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator

import httpx
import pytest

from snapshot_tasks.domain.manifest import SCHEMA
from tests.e2e.conftest import Seeds, running
from tests.e2e.stack import (
    BIG,
    BIG_ALIAS,
    BIG_POINTS,
    RESTORE,
    SMALL,
    SMALL_POINTS,
    Stack,
    copy_project,
    edit,
    flip_byte,
    new_stack,
)
from tests.support.world import wait_until

KEY = "k$y-#1 with a {brace}"


@pytest.fixture(scope="module")
def restored(
    docker: None, seeds: Seeds, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A stack that `docker compose up -d` started on empty volumes, with two snapshots."""
    with running(new_stack(copy_project(tmp_path_factory.mktemp("plain")))) as stack:
        seeds.give(stack, SMALL, BIG)
        done = stack.compose("up", "--detach")
        assert done.code == 0, done.stderr
        yield stack


def up(stack: Stack) -> int:
    """Start everything as a user does and return the one-shot's exit code."""
    done = stack.compose("up", "--detach")
    assert done.code == 0, done.stderr
    return stack.restore_exit()


def test_an_empty_volume_is_restored(restored: Stack, seeds: Seeds) -> None:
    """20,000 points are restored, each unchanged, with their alias; the one-shot exits 0."""
    assert restored.restore_exit() == 0, restored.log()
    with restored.loader() as loader:
        assert loader.names() == [BIG, SMALL]
        assert loader.count(BIG) == BIG_POINTS
        assert loader.aliases() == {BIG_ALIAS: BIG}
        assert loader.count(BIG_ALIAS) == BIG_POINTS
    assert restored.content(BIG) == seeds.content[BIG]
    assert restored.content(SMALL) == seeds.content[SMALL]


def test_a_second_up_changes_nothing(restored: Stack, seeds: Seeds) -> None:
    """The same container continues with the same data, and the one-shot exits 0 again."""
    restored.restore_exit()
    before, started = restored.container(), restored.inspect()["State"]["StartedAt"]
    assert up(restored) == 0, restored.log()
    assert (restored.container(), restored.inspect()["State"]["StartedAt"]) == (before, started)
    assert restored.content(BIG) == seeds.content[BIG]
    assert "already exists, left unchanged" in restored.log()


def test_a_change_after_the_restore_survives_the_next_up(restored: Stack) -> None:
    """Points that were written since are not overwritten by the snapshot."""
    restored.restore_exit()
    with restored.loader() as loader:
        loader.request("POST", f"/collections/{SMALL}/points/delete", {"points": [1, 2, 3]})
        assert up(restored) == 0, restored.log()
        assert loader.count(SMALL) == SMALL_POINTS - 3


def test_the_data_outlives_the_containers(restored: Stack, seeds: Seeds) -> None:
    """`down` without `-v`, then `up`, starts a new container on the same data."""
    restored.restore_exit()
    before = restored.container()
    assert restored.compose("down").code == 0
    assert up(restored) == 0, restored.log()
    assert restored.container() != before
    assert restored.content(BIG) == seeds.content[BIG]


def test_the_server_is_healthy(restored: Stack) -> None:
    """The health check works in the official image, which has no curl."""
    assert restored.inspect()["State"]["Health"]["Status"] == "healthy"


def test_ports_are_on_this_machine_only(restored: Stack) -> None:
    """No port is published on an address that other machines reach."""
    ports = restored.inspect()["NetworkSettings"]["Ports"]
    published = {name: bound for name, bound in ports.items() if bound}
    assert set(published) == {"6333/tcp", "6334/tcp"}
    assert {b["HostIp"] for bound in published.values() for b in bound} == {"127.0.0.1"}
    assert not any(restored.inspect(RESTORE)["NetworkSettings"]["Ports"].values())


@pytest.mark.parametrize("service", ["qdrant", RESTORE])
def test_the_snapshot_folder_is_read_only_inside(restored: Stack, service: str) -> None:
    """No service can change the snapshots of the host."""
    mounts = restored.inspect(service)["Mounts"]
    (mine,) = [m for m in mounts if m["Source"] == str(restored.snapshots)]
    assert mine["RW"] is False
    if service == "qdrant":
        target = f"{mine['Destination']}/written"
        assert restored.compose("exec", "-T", "qdrant", "touch", target).code != 0
    assert not (restored.snapshots / "written").exists()


def test_without_a_key_the_server_is_open(restored: Stack) -> None:
    """Without a key, no key is required: an empty one would lock everyone out."""
    answer = httpx.get(f"http://127.0.0.1:{restored.port}/collections", trust_env=False)
    assert answer.status_code == 200
    environment = restored.inspect()["Config"]["Env"]
    assert not [line for line in environment if line.startswith("QDRANT__SERVICE__API_KEY")]


def test_without_a_snapshot_it_says_so(stack: Stack) -> None:
    """An empty folder is not an error on a first start, but is reported; an empty key is no key."""
    (stack.root / ".env").write_text("QDRANT_API_KEY=\n", encoding="utf-8")
    assert up(stack) == 0
    assert "there is nothing to restore" in stack.log()
    answer = httpx.get(f"http://127.0.0.1:{stack.port}/collections", trust_env=False)
    assert answer.status_code == 200


def test_a_damaged_file_is_loud_and_spares_the_others(stack: Stack, seeds: Seeds) -> None:
    """The one-shot exits 20 and names the file; the intact collection is still restored."""
    files = seeds.give(stack, SMALL, BIG)
    flip_byte(files[BIG])
    assert up(stack) == 20
    assert files[BIG].name in stack.log()
    assert "damaged" in stack.log()
    with stack.loader() as loader:
        assert loader.names() == [SMALL]
        assert loader.count(SMALL) == SMALL_POINTS
        assert loader.aliases() == {}
    assert stack.inspect()["State"]["Status"] == "running"


def test_a_manifest_of_the_future_is_refused(stack: Stack, seeds: Seeds) -> None:
    """A newer schema is not guessed: the one-shot fails and restores nothing from it."""
    files = seeds.give(stack, SMALL)
    stack.manifest(files[SMALL], schema=SCHEMA + 1)
    assert up(stack) == 24
    assert f"schema {SCHEMA + 1}" in stack.log()
    with stack.loader() as loader:
        assert loader.names() == []


def test_a_restore_that_fails_is_tried_again(stack: Stack, seeds: Seeds) -> None:
    """A backup holds the folder for longer than the service waits; Qdrant does not stay empty."""
    seeds.give(stack, SMALL)
    edit(stack.compose_file, '"--timeout", "300"', '"--timeout", "3"')
    with (stack.snapshots / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert up(stack) == 11, stack.log()
        with stack.loader() as loader:
            assert loader.names() == []
    wait_until(lambda: stack.exits()[-1] == "0", seconds=60)
    assert stack.content(SMALL) == seeds.content[SMALL]


@pytest.mark.usefixtures("drill_turn")
def test_with_a_key_everything_works_and_nobody_else_gets_in(stack: Stack, seeds: Seeds) -> None:
    """The key of `.env` protects the server, and both the one-shot and the tasks use it."""
    seeds.give(stack, SMALL)
    (stack.root / ".env").write_text(f"QDRANT_API_KEY='{KEY}'\n", encoding="utf-8")
    assert up(stack) == 0, stack.log()
    url = f"http://127.0.0.1:{stack.port}/collections"
    assert httpx.get(url, trust_env=False).status_code == 401
    assert stack.content(SMALL, KEY) == seeds.content[SMALL]
    assert stack.inspect()["State"]["Health"]["Status"] == "healthy"
    before = stack.identity()
    status = stack.inv("stack.up", "--json")
    assert status.code == 0, status.stderr
    assert stack.identity() == before
    drill = stack.inv("snapshot.test-restore", "--json")
    assert drill.code == 0, drill.stderr
    wrong = stack.inv("stack.status", "--json", QDRANT_API_KEY="wrong")
    assert wrong.code == 12
    printed = stack.log() + stack.log("qdrant") + drill.stdout + drill.stderr + status.stdout
    assert KEY not in printed


def asked(stack: Stack, key: str = "") -> int:
    """Return Qdrant's answer to a request with that key; once it is up, if it has to start."""
    url = f"http://127.0.0.1:{stack.port}/collections"
    transport = httpx.HTTPTransport(retries=8)
    with httpx.Client(transport=transport, headers={"api-key": key} if key else {}) as client:
        return client.get(url).status_code


def test_a_key_in_a_file_protects_the_server_for_good(stack: Stack, seeds: Seeds) -> None:
    """It does after a plain `up`, after a restart, and the tasks recreate nothing."""
    seeds.give(stack, SMALL)
    (stack.root / "secret").mkdir()
    (stack.root / "secret/key").write_text(f"\n {KEY} \r\n", encoding="utf-8")
    (stack.root / ".env").write_text("QDRANT_API_KEY_FILE=secret/key\n", encoding="utf-8")
    assert up(stack) == 0, stack.log()
    assert (asked(stack), asked(stack, "wrong"), asked(stack, KEY)) == (401, 401, 200)
    assert stack.content(SMALL, KEY) == seeds.content[SMALL]
    before = stack.identity()
    assert stack.inv("stack.up", "--json").code == 0
    assert stack.identity() == before
    assert stack.compose("restart", "qdrant").code == 0
    stack.up()
    assert (asked(stack), asked(stack, KEY)) == (401, 200)
    assert stack.compose("up", "--detach", "--force-recreate", "--wait", "qdrant").code == 0
    assert (asked(stack), asked(stack, KEY)) == (401, 200)
    assert KEY not in stack.compose("config").stdout + stack.log() + stack.log("qdrant")


@pytest.mark.parametrize("content", ["", " \r\n", None])
def test_a_file_without_a_key_starts_nothing(stack: Stack, content: str | None) -> None:
    """A server that was given a key never runs without one; a missing file is not made a folder."""
    file = stack.root / "key"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    (stack.root / ".env").write_text("QDRANT_API_KEY_FILE=key\n", encoding="utf-8")
    done = stack.compose("up", "--detach", "--wait", "qdrant")
    assert done.code != 0
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{stack.port}/readyz", trust_env=False)
    assert file.exists() == (content is not None)
    assert str(file) in done.stderr or "QDRANT_API_KEY_FILE: expected" in stack.log("qdrant")


def test_a_missing_snapshot_folder_is_named(stack: Stack) -> None:
    """A mistyped folder stops the start and is named, instead of looking like "no snapshots"."""
    stack.snapshots.rmdir()
    done = stack.compose("up", "--detach")
    assert done.code != 0
    assert str(stack.snapshots) in done.stderr
    assert not stack.snapshots.exists()
