"""`inv stack.…` and `inv doctor` on a real Compose stack."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ran
from tests.e2e.conftest import Seeds
from tests.e2e.stack import (
    BIG,
    BIG_ALIAS,
    RESTORE,
    SMALL,
    SMALL_POINTS,
    Stack,
    edit,
    no_host_folder,
    ok,
)
from tests.support.world import ended

LOADED = {"name": SMALL, "points_count": SMALL_POINTS}


def findings(ran: Ran) -> dict[str, str]:
    """Return the doctor's findings: the status of each check, or the worst of several."""
    order = ["OK", "WARN", "FAIL"]
    found: dict[str, str] = {}
    for finding in ran.document["result"]["findings"]:
        worst = max(found.get(finding["check"], "OK"), finding["status"], key=order.index)
        found[finding["check"]] = worst
    return found


def test_the_life_of_a_stack(stack: Stack, seeds: Seeds) -> None:
    """Up restores, a second up changes nothing, restart and down keep the data."""
    seeds.give(stack, SMALL)
    first = ok(stack.inv("stack.up", "--json")).document["result"]
    assert first["engine"] == "compose"
    assert first["collections"] == [LOADED]
    assert [(r["collection"], r["way"]) for r in first["restored"]] == [(SMALL, "file")]
    before = stack.identity()
    second = ok(stack.inv("stack.up", "--json")).document["result"]
    assert [r["skipped"] for r in second["restored"]] == [True]
    assert stack.identity() == before

    container = stack.container()
    ok(stack.inv("stack.restart"))
    assert stack.container() == container
    assert stack.identity() != before
    assert stack.content(SMALL) == seeds.content[SMALL]

    ok(stack.inv("stack.down"))
    assert stack.container() == ""
    assert stack.inv("stack.status").code == 13
    again = ok(stack.inv("stack.up", "--no-restore", "--json")).document["result"]
    assert again["collections"] == [LOADED]
    assert stack.content(SMALL) == seeds.content[SMALL]


def test_down_with_volumes_needs_consent(stack: Stack, seeds: Seeds) -> None:
    """Without `--yes` nothing is touched; with it, the data is deleted and the snapshots stay."""
    files = seeds.give(stack, SMALL)
    ok(stack.inv("stack.up"))
    before = stack.identity()
    refused = stack.inv("stack.down", "--volumes", "--json")
    assert refused.code == 24
    assert stack.identity() == before
    assert stack.content(SMALL) == seeds.content[SMALL]
    ok(stack.inv("--dry", "stack.down", "--volumes", "--yes"))
    assert stack.identity() == before
    ok(stack.inv("stack.down", "--volumes", "--yes"))
    assert set(stack.identity().values()) == {"network"}
    assert files[SMALL].is_file()


def test_tasks_and_plain_compose_share_one_stack(stack: Stack, seeds: Seeds) -> None:
    """`inv stack.up` adopts what `docker compose up -d` started, and sees its one-shot's log."""
    seeds.give(stack, SMALL)
    assert stack.compose("up", "--detach").code == 0
    assert stack.restore_exit() == 0
    before = stack.identity()
    ok(stack.inv("stack.up"))
    assert stack.identity() == before
    lines = ok(stack.inv("stack.logs", "--service", RESTORE, "--json")).document["result"]["lines"]
    assert any("Restored 500 points" in line for line in lines)
    assert not any("actix" in line for line in lines)
    both = ok(stack.inv("stack.logs", "--tail", "5000")).stdout
    assert "Restored 500 points" in both
    assert "actix" in both
    ok(stack.inv("stack.down"))
    assert set(stack.identity().values()) == {"network", "volume"}, "a container is left"


def test_status_tells_engine_container_and_counts(live: Stack) -> None:
    """Status shows which engine, why, that the container runs, and the exact counts."""
    result = ok(live.inv("stack.status", "--json")).document["result"]
    assert (result["engine"], result["reason"]) == ("compose", "QDRANT_ENGINE=compose")
    assert result["running"] is True
    assert result["detail"].startswith("qdrant: Up")
    assert result["collections"] == [LOADED]
    shown = ok(live.inv("stack.status")).stdout
    assert SMALL in shown
    assert f"{SMALL_POINTS:,}" in shown


def test_logs_of_an_unknown_service_are_an_error(live: Stack) -> None:
    """A mistyped service is reported, instead of printing nothing."""
    done = live.inv("stack.logs", "--service", "nonesuch", "--json")
    assert done.code != 0
    assert "nonesuch" in done.document["error"]["message"]


def test_a_followed_log_is_plain(live: Stack) -> None:
    """Compose and Qdrant colour it; through a pipe each line comes at once, until Ctrl-C."""
    process = live.inv.start("stack.logs", "--follow", "--tail", "3")
    assert process.stdout is not None
    line = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert "Traceback" not in ended(process).stderr
    assert "| " in line
    assert "\x1b" not in line


def test_auto_chooses_compose_and_says_why(live: Stack) -> None:
    """If a daemon responds, `auto` is Compose, and the reason is shown."""
    result = ok(live.inv("stack.status", "--json", QDRANT_ENGINE="auto")).document["result"]
    assert result["engine"] == "compose"
    assert "Docker" in result["reason"]


def test_auto_without_a_daemon_says_so(live: Stack) -> None:
    """If no daemon responds, `auto` is native, and the reason names Docker."""
    nowhere = {"DOCKER_HOST": "unix:///nonexistent.sock", "QDRANT_ENGINE": "auto"}
    result = ok(live.inv("stack.status", "--json", **nowhere)).document["result"]
    assert result["engine"] == "native"
    assert "Docker" in result["reason"]


@pytest.mark.parametrize("running", [False, True], ids=["stopped", "running"])
def test_compose_without_a_daemon_is_unreachable(stack: Stack, live: Stack, running: bool) -> None:
    """No daemon for `compose`: 13, with the remedy, even if the stack holds its port."""
    done = (live if running else stack).inv(
        "stack.up", "--json", DOCKER_HOST="unix:///nonexistent.sock"
    )
    assert done.code == 13
    assert "Docker" in done.document["error"]["message"]
    assert "native" in done.document["error"]["hint"]


def test_a_port_taken_by_a_process_is_named(stack: Stack) -> None:
    """14, with the process that holds it; nothing is started."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", stack.port))
        holder.listen()
        done = stack.inv("stack.up", "--json")
    assert done.code == 14
    assert "python" in done.document["error"]["message"] or "pytest" in str(done.document["error"])
    assert "QDRANT_HTTP_PORT" in done.document["error"]["hint"]
    assert stack.identity() == {}


def test_a_port_taken_by_a_container_is_named(stack: Stack, live: Stack) -> None:
    """14, with the container that holds it; nothing is started."""
    done = stack.inv("stack.up", "--json", QDRANT_HTTP_PORT=str(live.port))
    assert done.code == 14
    assert f"{live.name}-qdrant-1" in done.document["error"]["message"]
    assert stack.identity() == {}


def test_a_missing_image_is_told(stack: Stack) -> None:
    """A version that cannot be pulled is an error, and leaves no container."""
    done = stack.inv("stack.up", "--json", QDRANT_VERSION="1.16.9")
    assert done.code in (10, 13)
    assert done.document["error"]["kind"] != "bug"
    assert stack.container() == ""


def test_a_server_that_does_not_start_is_told(stack: Stack) -> None:
    """A Qdrant that fails on its read-only snapshots path is 13 within the timeout, never ready."""
    read_only_snapshots(stack.compose_file)
    done = stack.inv("stack.up", "--timeout", "4", "--json")
    assert done.code == 13
    assert "stack.logs" in done.document["error"]["hint"]


@pytest.mark.usefixtures("drill_turn")
def test_the_doctor_finds_a_healthy_stack_healthy(stack: Stack, seeds: Seeds) -> None:
    """All OK, except for the missing proof."""
    seeds.give(stack, SMALL)
    ok(stack.inv("stack.up"))
    ok(stack.inv("snapshot.create"))
    found = findings(ok(stack.inv("doctor", "--json")))
    assert found.pop("proof") == "WARN"
    # It speaks of the drills of the whole machine, and other tests keep some for a while.
    found.pop("drills", None)
    assert set(found.values()) == {"OK"}
    assert {"engine", "compose", "server", "credentials", "compose file"} <= set(found)


def latest_image(compose_file: Path) -> None:
    """Unpin the image."""
    edit(compose_file, "qdrant/qdrant:v${QDRANT_VERSION:-1.17.0}", "qdrant/qdrant:latest")


def read_only_snapshots(compose_file: Path) -> None:
    """Mount the snapshots path read-only, as widely copied recipes do."""
    edit(compose_file, "qdrant_server_snapshots:/qdrant/snapshots", "./x:/qdrant/snapshots:ro")


def no_storage(compose_file: Path) -> None:
    """Remove the volume of the data."""
    edit(compose_file, "      - qdrant_storage:/qdrant/storage\n", "")


def published_everywhere(compose_file: Path) -> None:
    """Publish the port as most examples do, on every address of this machine."""
    edit(compose_file, "127.0.0.1:${QDRANT_HTTP_PORT", "${QDRANT_HTTP_PORT")


@pytest.mark.parametrize(
    ("trap", "check", "status"),
    [
        (published_everywhere, "access", "FAIL"),
        (latest_image, "image", "FAIL"),
        (read_only_snapshots, "snapshots path", "FAIL"),
        (no_storage, "storage", "FAIL"),
        (no_host_folder, "snapshot mount", "WARN"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_doctor_finds_the_traps_of_a_compose_file(
    live: Stack, trap: Callable[[Path], None], check: str, status: str
) -> None:
    """Each trap is one line with a remedy, and a FAIL makes the doctor fail."""
    original = live.compose_file.read_text(encoding="utf-8")
    try:
        trap(live.compose_file)
        ran = live.inv("doctor", "--json")
    finally:
        live.compose_file.write_text(original, encoding="utf-8")
    assert findings(ran)[check] == status
    assert ran.code == (14 if status == "FAIL" else 0)
    (finding,) = [f for f in ran.document["result"]["findings"] if f["check"] == check]
    assert finding["remedy"]


def test_a_server_on_a_network_needs_a_key(live: Stack) -> None:
    """At another address than this machine's own: a FAIL, or a WARN if the settings trust it."""
    [network] = live.inspect()["NetworkSettings"]["Networks"].values()
    address = network["IPAddress"]
    where = {"QDRANT_ENGINE": "external", "QDRANT_URL": f"http://{address}:6333"}
    ran = live.inv("doctor", "--json", **where)
    assert (findings(ran)["access"], ran.code) == ("FAIL", 14)
    ran = live.inv("doctor", "--json", QDRANT_ALLOW_PLAINTEXT_KEY=address, **where)
    assert (findings(ran)["access"], ran.code) == ("WARN", 0)


def test_a_project_without_a_compose_file_gets_the_packages(live: Stack) -> None:
    """The doctor says so, and the running stack is found, because it is the same project."""
    aside = live.compose_file.rename(live.root / "aside.yml")
    try:
        found = {f["check"]: f for f in live.inv("doctor", "--json").document["result"]["findings"]}
        status = live.inv("stack.status", "--json")
    finally:
        aside.rename(live.compose_file)
    assert found["compose file"]["status"] == "OK"
    assert "the one of this package" in found["compose file"]["message"]
    assert status.document["result"]["running"] is True


@pytest.mark.parametrize("task", ["doctor", "stack.up", "stack.down", "snapshot.test-restore"])
def test_a_compose_file_setting_that_names_nothing(live: Stack, task: str) -> None:
    """`COMPOSE_FILE` naming a file that does not exist: 14, with that name."""
    ran = live.inv(task, "--json", COMPOSE_FILE="docker-compose.yml:nonesuch.yml")
    assert ran.code == 14
    assert "nonesuch.yml" in ran.document["error"]["message"]


def test_a_compose_file_with_an_error_is_a_wrong_setting(live: Stack) -> None:
    """A file that Compose rejects: 14, in Compose's own words."""
    broken = live.root / "broken.yml"
    broken.write_text("services:\n  qdrant:\n    imagine: x\n", encoding="utf-8")
    ran = live.inv("stack.up", "--json", COMPOSE_FILE="docker-compose.yml:broken.yml")
    assert ran.code == 14
    assert "imagine" in ran.document["error"]["message"]


def test_an_override_file_is_taken_in(stack: Stack, seeds: Seeds) -> None:
    """`COMPOSE_FILE` in `.env` with an override applies to the live stack and to the drill."""
    seeds.give(stack, BIG)
    (stack.root / "override.yml").write_text(
        "services:\n  qdrant:\n    environment:\n      QDRANT__LOG_LEVEL: WARN\n", encoding="utf-8"
    )
    (stack.root / ".env").write_text(
        "COMPOSE_FILE=docker-compose.yml:override.yml\n", encoding="utf-8"
    )
    result = ok(stack.inv("stack.up", "--json")).document["result"]
    assert result["aliases"] == {BIG_ALIAS: BIG}
    assert "QDRANT__LOG_LEVEL=WARN" in stack.inspect()["Config"]["Env"]


def test_upgrading_the_image_keeps_the_data(stack: Stack, older_seeds: Seeds) -> None:
    """Another QDRANT_VERSION and `stack.restart --recreate`: it has the old one's data."""
    older_seeds.give(stack, SMALL)
    ok(stack.inv("stack.up", QDRANT_VERSION="1.16.3"))
    assert stack.content(SMALL) == older_seeds.content[SMALL]
    ok(stack.inv("stack.restart", "--recreate", QDRANT_VERSION="1.17.0"))
    result = ok(stack.inv("stack.status", "--json")).document["result"]
    assert result["qdrant_version"] == "1.17.0"
    assert stack.inspect()["Config"]["Image"].endswith(":v1.17.0")
    assert stack.content(SMALL) == older_seeds.content[SMALL]
