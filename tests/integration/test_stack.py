"""The live native stack through `inv`: it outlives its starter, is found again, restores, stops."""

from __future__ import annotations

import json
import signal
import socket
import time
from pathlib import Path

import httpx
import psutil
import pytest

from snapshot_tasks.catalog.lock import folder_lock
from tests.conftest import NEWER, OLDER, Inv, Live
from tests.integration.conftest import Samples, managing
from tests.support.collections import Loader
from tests.support.ports import free_ports
from tests.support.world import (
    assert_error,
    end_processes_below,
    ended,
    flip_byte,
    processes_below,
    tree,
    wait_until,
)


def url_of(stack: Inv) -> str:
    """Return the URL of the test's stack."""
    return f"http://localhost:{stack.environment['QDRANT_HTTP_PORT']}"


def collections(stack: Inv) -> dict[str, int]:
    """Return the contents of the stack, read without the code under test."""
    loader = Loader(url_of(stack))
    try:
        return {name: loader.count(name) for name in loader.names()}
    finally:
        loader.close()


def load(stack: Inv, name: str, points: int) -> None:
    """Put a collection into the stack."""
    loader = Loader(url_of(stack))
    try:
        loader.plain(name, points=points)
    finally:
        loader.close()


def test_a_whole_life(samples: Samples, stack: Inv) -> None:
    """Up, found again, status, logs, restart, down with data kept, up again, down without data."""
    samples.put("plain", stack.root / "qdrant_snapshots")
    up = stack.process("stack.up", "--json")
    assert up.code == 0, up.stderr
    assert up.document["result"]["collections"] == [{"name": "sample-plain", "points_count": 300}]
    assert up.document["result"]["aliases"] == {"plain-alias": "sample-plain"}
    [server] = processes_below(stack.root)
    assert server.ppid() != psutil.Process().pid

    again = stack("stack.up", "--json")
    assert again.code == 0, again.stderr
    assert [r["skipped"] for r in again.document["result"]["restored"]] == [True]
    assert processes_below(stack.root) == [server]

    status = stack("stack.status", "--json").document["result"]
    assert (status["engine"], status["running"]) == ("native", True)
    assert status["qdrant_version"] == NEWER
    assert str(server.pid) in status["detail"]
    logs = stack("stack.logs", "--tail", "5", "--json").document["result"]["lines"]
    assert 0 < len(logs) <= 5

    load(stack, "added", 20)
    assert stack("stack.restart").code == 0
    [restarted] = processes_below(stack.root)
    assert restarted.pid != server.pid
    assert collections(stack) == {"added": 20, "sample-plain": 300}

    assert stack("stack.down").code == 0
    assert processes_below(stack.root) == []
    down = stack("stack.status")
    assert_error(down, 13, "Cannot reach")
    assert stack("stack.down").code == 0

    assert stack("stack.up", "--no-restore").code == 0
    assert collections(stack) == {"added": 20, "sample-plain": 300}
    refused = stack("stack.down", "--volumes")
    assert_error(refused, 24, "--yes")
    assert len(processes_below(stack.root)) == 1
    assert stack("stack.down", "--volumes", "--yes").code == 0
    assert processes_below(stack.root) == []
    assert stack("stack.up", "--no-restore").code == 0
    assert collections(stack) == {}


def test_it_listens_on_loopback_only(stack: Inv) -> None:
    """No port can be reached from another machine."""
    assert stack("stack.up").code == 0
    [server] = processes_below(stack.root)
    listening = [c.laddr.ip for c in server.net_connections(kind="tcp") if c.status == "LISTEN"]
    assert len(listening) >= 2
    assert set(listening) == {"127.0.0.1"}


def test_a_server_that_was_killed_is_started_anew(stack: Inv) -> None:
    """A state file of a dead server, or of another process's pid, is not trusted."""
    assert stack("stack.up").code == 0
    load(stack, "kept", 20)
    [server] = processes_below(stack.root)
    server.kill()
    # A process that is ending has no folder any more, but still exists.
    server.wait(timeout=30)
    assert stack("stack.status", "--json").document["result"]["running"] is False
    state_path = stack.root / ".qdrant" / "server.json"
    state = json.loads(state_path.read_text())
    state_path.write_text(json.dumps(state | {"pid": psutil.Process().pid}))
    assert stack("stack.up").code == 0
    assert collections(stack) == {"kept": 20}
    assert psutil.Process().is_running()


@pytest.mark.parametrize("setting", ["QDRANT_HTTP_PORT", "QDRANT_GRPC_PORT"])
def test_a_taken_port_names_holder_and_setting(stack: Inv, setting: str) -> None:
    """A port in use is exit code 14, with the process and the setting; nothing is started."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        ran = stack("stack.up", **{setting: port})
    assert_error(ran, 14, port, f"pid {psutil.Process().pid}", setting)
    assert processes_below(stack.root) == []


def test_a_port_taken_on_all_addresses_is_seen(stack: Inv) -> None:
    """A process that listens on every address is in the way too."""
    with socket.socket() as holder:
        holder.bind(("0.0.0.0", 0))
        holder.listen()
        ran = stack("stack.up", QDRANT_HTTP_PORT=str(holder.getsockname()[1]))
    assert_error(ran, 14, "QDRANT_HTTP_PORT")


def program(folder: Path, text: str) -> str:
    """Make an executable script."""
    path = folder / "program"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def test_a_server_that_never_becomes_ready_is_told_in_time(stack: Inv, tmp_path: Path) -> None:
    """`--timeout 2` ends after two seconds with 13, and `stack.down` ends what was started."""
    sleeper = program(
        tmp_path,
        '#!/bin/sh\n[ "$1" = --version ] && echo qdrant 1.17.0 && exit\nexec sleep 300\n',
    )
    start = time.monotonic()
    ran = stack("stack.up", "--timeout", "2", QDRANT_BINARY=sleeper)
    assert_error(ran, 13, "not ready after 2 s")
    assert time.monotonic() - start < 15
    assert stack("stack.down", QDRANT_BINARY=sleeper).code == 0
    assert processes_below(stack.root) == []


def test_a_program_that_is_no_qdrant_is_told(stack: Inv, tmp_path: Path) -> None:
    """A binary that exits immediately is 13, with its last output."""
    wrong = program(tmp_path, "#!/bin/sh\necho I am no Qdrant\nexit 3\n")
    ran = stack("stack.up", QDRANT_BINARY=wrong)
    assert_error(ran, 13, "I am no Qdrant")
    assert processes_below(stack.root) == []


def test_a_binary_that_cannot_run_is_told(stack: Inv, tmp_path: Path) -> None:
    """An executable file that is not a program is an error in two lines."""
    wrong = program(tmp_path, "\x7fELF and then nothing")
    ran = stack("stack.up", QDRANT_BINARY=wrong)
    assert ran.code in (10, 13, 14), ran.stderr
    assert_error(ran, ran.code)


def test_an_interrupted_start_is_found_again(stack: Inv, tmp_path: Path) -> None:
    """Ctrl-C while waiting: a server that was started is known to `stack.down`."""
    sleeper = program(
        tmp_path,
        '#!/bin/sh\n[ "$1" = --version ] && echo qdrant 1.17.0 && exit\nexec sleep 300\n',
    )
    process = stack.start("stack.up", QDRANT_BINARY=sleeper)
    wait_until(lambda: [p for p in processes_below(stack.root / ".qdrant") if p.name() == "sleep"])
    process.send_signal(signal.SIGINT)
    assert_error(ended(process), 130)
    assert stack("stack.down", QDRANT_BINARY=sleeper).code == 0
    assert processes_below(stack.root) == []


def test_up_restores_the_sound_and_names_the_damaged(samples: Samples, stack: Inv) -> None:
    """One damaged snapshot is 20; every other collection is still restored."""
    folder = stack.root / "qdrant_snapshots"
    flip_byte(samples.put("plain", folder))
    samples.put("rich", folder)
    ran = stack("stack.up", "--json")
    assert ran.code == 20
    assert collections(stack) == {"sample-rich": 298}
    assert "sample-plain" in ran.document["error"]["message"]
    assert [f["collection"] for f in ran.document["result"]["failed"]] == ["sample-plain"]
    assert [r["way"] for r in ran.document["result"]["restored"]] == ["file"]


def test_up_waits_for_the_run_that_holds_the_folder(samples: Samples, stack: Inv) -> None:
    """It says which one, and ends with 11 when its time is over; Qdrant runs then."""
    folder = stack.root / "qdrant_snapshots"
    samples.put("plain", folder)
    holder = folder_lock(folder, task="snapshot.create")
    holder.__enter__()
    late = stack("stack.up", "--timeout=1")
    assert_error(late, 11, "snapshot.create")
    assert collections(stack) == {}
    process = stack.start("stack.up")
    assert process.stderr is not None
    assert any("Waiting up to 60 s" in line for line in iter(process.stderr.readline, ""))
    holder.__exit__(None, None, None)
    assert ended(process).code == 0
    assert collections(stack) == {"sample-plain": 300}


def test_data_is_never_upgraded_unsaid_and_never_taken_back(stack: Inv) -> None:
    """After `down`, another version is said before; an older one, and a skipped one, is 24."""
    assert "Going to" not in stack("stack.up", QDRANT_VERSION=OLDER).stderr
    load(stack, "kept", 20)
    assert stack("stack.down").code == 0
    dry = stack("--dry", "stack.up", "--json").document["result"]["would"]
    assert any(f"from Qdrant {OLDER} to {NEWER}" in line for line in dry)
    up = stack("stack.up")
    assert up.code == 0
    assert f"from Qdrant {OLDER} to {NEWER}" in up.stderr
    for words in (("stack.restart", "--recreate"), ("--dry", "stack.restart", "--recreate")):
        assert_error(stack(*words, QDRANT_VERSION=OLDER), 24, OLDER, NEWER)
        assert collections(stack) == {"kept": 20}
    assert stack("stack.down").code == 0
    for flags in ((), ("--dry",)):
        assert_error(stack(*flags, "stack.up", QDRANT_VERSION=OLDER), 24, OLDER, "--volumes")
    assert processes_below(stack.root) == []
    assert stack("stack.down", "--volumes", "--yes").code == 0
    assert "Going to" not in stack("stack.up", QDRANT_VERSION=OLDER).stderr


def test_up_refuses_to_restore_what_is_newer(samples: Samples, stack: Inv) -> None:
    """An older server is running, but a newer snapshot is not restored into it: 24."""
    samples.put("plain", stack.root / "qdrant_snapshots")
    ran = stack("stack.up", QDRANT_VERSION=OLDER)
    assert_error(ran, 24, OLDER, NEWER)
    assert collections(stack) == {}


def test_dry_starts_and_stops_nothing(stack: Inv) -> None:
    """`inv --dry` before every task of the stack changes nothing."""
    assert stack("--dry", "stack.up").code == 0
    assert processes_below(stack.root) == []
    assert not (stack.root / ".qdrant").exists()
    assert stack("stack.up").code == 0
    running = processes_below(stack.root)
    for words in (("stack.down",), ("stack.down", "--volumes", "--yes"), ("stack.restart",)):
        assert stack("--dry", *words).code == 0
    assert processes_below(stack.root) == running


def test_a_url_elsewhere_is_never_managed(qdrant: Live, stack: Inv) -> None:
    """QDRANT_URL at another server cannot be combined with a managing task: 14."""
    qdrant.loader.plain("bystander", points=5)
    for words in (("stack.up",), ("stack.down", "--volumes", "--yes"), ("stack.restart",)):
        assert_error(stack(*words, QDRANT_URL=qdrant.url), 14, "QDRANT_URL")
    assert processes_below(stack.root) == []
    assert qdrant.loader.count("bystander") == 5


def test_logs_follow_until_interrupted(stack: Inv) -> None:
    """Each line comes at once and without colours; Ctrl-C ends it and everything it started."""
    assert stack("stack.up").code == 0
    log = next((stack.root / ".qdrant").rglob("*.log"))
    process = stack.start("stack.logs", "--follow", "--tail", "3")
    assert process.stdout is not None
    assert process.stdout.readline().strip()
    with log.open("a", encoding="utf-8") as file:
        file.write("\x1b[32mINFO\x1b[0m\tgrown\x08\n")
    lines = iter(process.stdout.readline, "")
    assert next(line for line in lines if "grown" in line) == "INFO grown\\x08\n"
    [tail] = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGINT)
    ran = ended(process)
    assert ran.code in (0, 130)
    assert "Traceback" not in ran.stderr
    wait_until(lambda: not tail.is_running() or tail.status() == psutil.STATUS_ZOMBIE, seconds=3)


def test_a_stack_with_a_key(stack: Inv) -> None:
    """With QDRANT_API_KEY, the server requires it, and every task has it."""
    key = "s3cret-of-the-stack"
    up = stack("stack.up", QDRANT_API_KEY=key)
    assert up.code == 0, up.stderr
    assert httpx.get(f"{url_of(stack)}/collections", trust_env=False).status_code == 401
    status = stack("stack.status", QDRANT_API_KEY=key)
    assert status.code == 0, status.stderr
    assert_error(stack("stack.status"), 12, "QDRANT_API_KEY")
    everything = "".join(p.read_text() for p in (stack.root / ".qdrant").glob("*.json"))
    assert key not in everything + up.stdout + up.stderr + status.stdout
    assert [w for p in processes_below(stack.root) for w in p.cmdline() if key in w] == []


def test_two_projects_do_not_see_each_other(stack: Inv, tmp_path: Path) -> None:
    """The `stack.down` of another checkout does not stop this one's server."""
    import dataclasses
    import shutil

    assert stack("stack.up").code == 0
    other_root = tmp_path / "other"
    shutil.copytree(stack.root, other_root, ignore=shutil.ignore_patterns(".qdrant"))
    http, grpc = free_ports(2)
    ports = {"QDRANT_HTTP_PORT": str(http), "QDRANT_GRPC_PORT": str(grpc)}
    other = dataclasses.replace(stack, root=other_root, environment=stack.environment | ports)
    assert other("stack.down", "--volumes", "--yes").code == 0
    assert len(processes_below(stack.root)) == 1
    assert collections(stack) == {}
    assert tree(stack.root / "qdrant_snapshots") == []


def test_down_spares_a_server_at_another_address(inv: Inv) -> None:
    """It acts on the server that QDRANT_URL names, and stops no other one of the project: 24."""
    stack = managing(inv)
    try:
        assert stack("stack.up").code == 0
        before = processes_below(stack.root)
        [port] = free_ports(1)
        elsewhere = {"QDRANT_HTTP_PORT": str(port), "QDRANT_URL": f"http://localhost:{port}"}
        assert_error(stack("stack.down", "--volumes", "--yes", **elsewhere), 24, str(port))
        assert processes_below(stack.root) == before
        assert stack("stack.down").code == 0
        assert "Nothing to stop" in stack("stack.down").stdout
    finally:
        end_processes_below(stack.root)


def test_logs_have_no_escape_codes(stack: Inv) -> None:
    """Qdrant colours its log; lines for people and JSON are plain, with the text unchanged."""
    assert stack("stack.up").code == 0
    log = next((stack.root / ".qdrant").rglob("*.log"))
    with log.open("a", encoding="utf-8") as file:
        file.write("\x1b[2m2025\x1b[0m \x1b]0;title\x07\x1b[32mINFO\x1b[0m\tready \x08\n")
    [line] = stack("stack.logs", "--tail", "1", "--json").document["result"]["lines"]
    assert line == r"2025 INFO ready \x08"
    assert stack("stack.logs", "--tail", "1").stdout == line + "\n"
    assert "\x1b" not in stack("stack.logs").stdout
