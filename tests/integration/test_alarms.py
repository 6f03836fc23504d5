"""Pings and webhooks of real tasks, to real receivers: good ones, and ones that hang."""

from __future__ import annotations

import dataclasses
import json
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from snapshot_tasks.alarms.delivery import Delivery, Message, settle
from snapshot_tasks.catalog.folder import Catalog
from tests.conftest import Inv, Live
from tests.integration.conftest import Samples
from tests.support.listener import (
    Behaviour,
    Listener,
    drip_for_ever,
    hang_up,
    listening,
    misbehaving,
    never_answer,
    talk_nonsense,
)
from tests.support.ports import free_ports
from tests.support.proxy import Hold, faulty
from tests.support.world import assert_error, ended, flip_byte, read_manifest

SNAPSHOTS = r"/collections/[^/]+/snapshots"
KEY = "unmistakable-key"


@pytest.fixture
def listener() -> Iterator[Listener]:
    """A receiver that accepts everything."""
    with listening() as listener:
        yield listener


@pytest.fixture
def sample(samples: Samples, inv: Inv) -> Path:
    """The plain sample in the project's own folder."""
    return samples.put("plain", inv.root / "qdrant_snapshots")


@pytest.fixture
def watched(inv: Inv, sample: Path, listener: Listener) -> Inv:
    """`inv` that pings, calls a webhook on every end, and has a snapshot."""
    environment = {
        "QDRANT_COLLECTION_NAME": "sample-plain",
        "QDRANT_PING_URL": f"{listener.url}/{{task}}?create=1",
        "QDRANT_WEBHOOK_URL": f"{listener.url}/hook",
        "QDRANT_WEBHOOK_ON": "always",
    }
    return dataclasses.replace(inv, environment=inv.environment | environment)


def pings(listener: Listener) -> list[str]:
    """Return the paths of the pings, in order."""
    return [path for path in listener.paths() if path != "/hook"]


def test_a_success_is_told(watched: Inv, listener: Listener, sample: Path) -> None:
    """A start ping, then success with the printed text; the webhook has the result and the time."""
    ran = watched("snapshot.verify")
    assert ran.code == 0
    assert ran.stderr.count("note:") == 0
    assert pings(listener) == ["/snapshot-verify/start?create=1", "/snapshot-verify?create=1"]
    [end] = [post for post in listener.posts if post.path == pings(listener)[-1]]
    assert ran.stdout in end.text
    [hook] = [post.document for post in listener.posts if post.path == "/hook"]
    assert (hook["ok"], hook["task"], hook["exit_code"]) == (True, "snapshot.verify", 0)
    assert hook["result"]["snapshots"][0]["snapshot"] == sample.name
    assert hook["host"] == socket.gethostname()
    assert hook["seconds"] > 0


def test_a_failure_is_told_with_its_code(watched: Inv, listener: Listener, sample: Path) -> None:
    """The exit code is in the path of the ping; its text ends with the error and its remedy."""
    flip_byte(sample)
    ran = watched("snapshot.verify", "--json", QDRANT_WEBHOOK_ON="failure")
    assert ran.code == 20
    assert pings(listener)[-1] == "/snapshot-verify/20?create=1"
    [end] = [post for post in listener.posts if post.path == pings(listener)[-1]]
    assert end.text.endswith("\n".join(ran.stderr.splitlines()[-2:]) + "\n")
    [hook] = [post.document for post in listener.posts if post.path == "/hook"]
    assert {key: hook[key] for key in ran.document} == ran.document


def test_by_default_a_webhook_hears_of_failures_only(watched: Inv, listener: Listener) -> None:
    """Silence means success there; only the ping notices that nothing runs."""
    assert watched("snapshot.verify", QDRANT_WEBHOOK_ON="").code == 0
    assert "/hook" not in listener.paths()


def test_a_dry_run_tells_nothing(watched: Inv, listener: Listener) -> None:
    """Neither `inv --dry` nor `--dry-run` may look like a success to the receiver."""
    folder = watched.root / "qdrant_snapshots"
    assert watched("--dry", "snapshot.verify").code == 0
    assert watched("--dry", "snapshot.create").code == 0
    assert watched("snapshot.restore", "--dry-run", QDRANT_HTTP_PORT=str(free_ports(1)[0])).code
    assert listener.posts == []
    assert not (folder / ".runs.json").exists()


def test_other_tasks_are_not_watched(watched: Inv, listener: Listener) -> None:
    """Listing snapshots is not a backup."""
    assert watched("snapshot.list").code == 0
    assert listener.posts == []


def test_a_wrong_setting_is_told_too(watched: Inv, listener: Listener) -> None:
    """A wrong setting stops every run, so it needs an alarm most; only the ping's URL is needed."""
    assert_error(watched("snapshot.verify", QDRANT_ENGINE="podman"), 14, "QDRANT_ENGINE")
    assert pings(listener)[-1] == "/snapshot-verify/14?create=1"


@pytest.mark.parametrize("url", ["nonsense://secret", "http://", "http://a b/secret", "secret"])
def test_a_wrong_url_is_told_without_showing_it(watched: Inv, url: str) -> None:
    """It may contain a token, so only its name is in the error."""
    ran = watched("snapshot.verify", QDRANT_PING_URL=url)
    assert_error(ran, 14, "QDRANT_PING_URL")
    assert "secret" not in ran.stderr


def test_a_bug_is_told(watched: Inv, listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected error is exit code 1 for the receiver as well."""
    monkeypatch.setattr(Catalog, "newest", lambda *arguments: 1 / 0)
    assert watched("snapshot.verify").code == 1
    assert pings(listener)[-1] == "/snapshot-verify/1?create=1"
    assert "ZeroDivisionError" in listener.posts[-1].body.decode()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_task_is_told_as_130(
    qdrant: Live, name: str, watched: Inv, listener: Listener, number: signal.Signals
) -> None:
    """If a CI system or a person ends a job, there is an alarm and nothing half-made."""
    qdrant.loader.plain(name, points=300)
    hold = Hold()
    with faulty(qdrant.url) as proxy:
        proxy.on("POST", SNAPSHOTS, hold.before, times=1)
        process = watched.start(
            "snapshot.create",
            *("--collection", name),
            QDRANT_URL=proxy.url,
            QDRANT_ENGINE="external",
        )
        hold.wait()
        process.send_signal(number)
        hold.release.set()
        ran = ended(process)
    assert_error(ran, 130)
    assert pings(listener)[-1] == "/snapshot-create/130?create=1"
    assert "Interrupted." in next(p for p in listener.posts if "130" in p.path).text


def test_the_key_is_in_no_alarm(watched: Inv, listener: Listener) -> None:
    """A task that fails because of its key reports everything except the key."""
    with listening(401) as qdrant:
        ran = watched(
            "snapshot.create",
            QDRANT_URL=qdrant.url,
            QDRANT_ENGINE="external",
            QDRANT_API_KEY=KEY,
        )
    assert ran.code != 0
    assert len(listener.posts) == 3
    assert KEY not in "".join(f"{p.path}{p.headers}{p.body!r}" for p in listener.posts)


def test_credentials_of_a_url_are_used_and_not_shown(watched: Inv, listener: Listener) -> None:
    """They are sent in their header, and are in no message."""
    url = listener.url.replace("//", "//user:hunter2@")
    ran = watched("snapshot.verify", QDRANT_PING_URL=url)
    assert ran.code == 0
    pings = [post for post in listener.posts if post.path != "/hook"]
    assert pings
    assert all(post.headers["Authorization"].startswith("Basic ") for post in pings)
    gone = url.replace(listener.url.rpartition(":")[2], str(free_ports(1)[0]))
    refused = watched("snapshot.verify", QDRANT_PING_URL=gone)
    assert refused.code == 0
    assert "note: The ping to 127.0.0.1 was not delivered" in refused.stderr
    assert "hunter2" not in refused.stdout + refused.stderr


BEHAVIOURS = (never_answer, drip_for_ever, hang_up, talk_nonsense)


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_no_listener_holds_a_task_up(
    watched: Inv, behaviour: Behaviour, listener: Listener
) -> None:
    """The task ends with its own code while the receiver still keeps its connection open.

    Without a limit, the task would wait for the receiver, which waits for the task to end.
    """
    with misbehaving(behaviour) as url:
        process = watched.start(
            "snapshot.verify", QDRANT_PING_URL=url, QDRANT_WEBHOOK_URL=f"{url}/hook"
        )
        ran = ended(process)
    assert ran.code == 0
    assert "The ping to 127.0.0.1 was not delivered" in ran.stderr
    assert "The webhook to 127.0.0.1 was not delivered" in ran.stderr
    assert "\x1b" not in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_second_ctrl_c_ends_the_telling(watched: Inv, sample: Path) -> None:
    """An impatient user ends the alarms, and gets the task's own exit code immediately."""
    flip_byte(sample)
    heard = threading.Semaphore(0)

    def silent(connection: socket.socket, over: threading.Event) -> None:
        heard.release()
        over.wait()

    with misbehaving(silent) as url:
        process = watched.start("snapshot.verify", QDRANT_PING_URL="", QDRANT_WEBHOOK_URL=url)
        assert heard.acquire(timeout=60)
        process.send_signal(signal.SIGINT)
        ran = ended(process)
    assert_error(ran, 20)
    assert "was not delivered" not in ran.stderr


@pytest.mark.parametrize("status", [302, 404, 500])
def test_an_answer_that_is_no_yes_is_a_note(watched: Inv, status: int, listener: Listener) -> None:
    """A redirect is not followed: only the configured URL receives what a task printed."""
    with listening(status, Location=f"{listener.url}/elsewhere") as other:
        ran = watched("snapshot.verify", QDRANT_PING_URL=other.url, QDRANT_WEBHOOK_URL="")
    assert ran.code == 0
    assert f"not delivered: the server responded {status}." in ran.stderr
    assert listener.posts == []
    assert len(other.posts) == 2


def test_a_check_that_healthchecks_does_not_know(watched: Inv) -> None:
    """It responds with 200 to a mistyped UUID; only the text says that nobody is watching."""
    with listening(body=b"OK (not found)") as other:
        ran = watched("snapshot.verify", QDRANT_PING_URL=other.url, QDRANT_WEBHOOK_URL="")
    assert ran.code == 0
    assert "not delivered: the server responded OK (not found)." in ran.stderr


def test_a_name_that_resolves_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline also applies before there is a connection.

    The resolver belongs to the system; it cannot be made to hang for a single process.
    """
    over = threading.Event()

    def hang(*arguments: object, **options: object) -> list[object]:
        over.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    message = Message(kind="ping", url="http://slow.example/x", body=b"", content_type="t")
    try:
        assert settle([Delivery(message)], seconds=0.2) == [
            "The ping to slow.example was not delivered: no response in time."
        ]
    finally:
        over.set()


def test_a_listener_that_is_about_to_listen_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A proxy that restarts at the wrong moment must not cause a false alarm.

    It returns in the pause between two attempts, so the test replaces the clock there.
    """
    [port] = free_ports(1)
    with ExitStack() as stack:
        monkeypatch.setattr(
            "tenacity.nap.time.sleep", lambda seconds: stack.enter_context(listening(port=port))
        )
        delivery = Delivery(
            Message(kind="ping", url=f"http://127.0.0.1:{port}/", body=b"x", content_type="t")
        )
        assert settle([delivery], seconds=60) == []


def test_the_end_does_not_overtake_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that measures how long a task takes must receive its start first."""
    monkeypatch.setattr("snapshot_tasks.alarms.delivery.FIRST_SECONDS", 60)
    arrived: list[bytes] = []

    def slow_to_begin(connection: socket.socket, over: threading.Event) -> None:
        request = connection.recv(65536)
        if b"/start" in request:
            over.wait(0.3)
        arrived.append(request.split()[1])
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with misbehaving(slow_to_begin) as url:
        start = Delivery(Message(kind="ping", url=f"{url}/start", body=b"", content_type="t"))
        end = Delivery(
            Message(kind="ping", url=f"{url}/0", body=b"", content_type="t"), after=start
        )
        assert settle([start, end], seconds=60) == []
    assert arrived == [b"/start", b"/0"]


def test_metrics_of_several_tasks_share_one_file(watched: Inv, sample: Path) -> None:
    """A task that ends writes the results of the others too; a failure changes no success time."""
    path = watched.root / "qdrant.prom"
    assert watched("snapshot.verify", QDRANT_METRICS_FILE="qdrant.prom").code == 0
    flip_byte(sample)
    assert watched("snapshot.verify", QDRANT_METRICS_FILE=str(path)).code == 20
    assert watched("snapshot.check", QDRANT_METRICS_FILE=str(path)).code == 23
    samples = {
        (s.name.removeprefix("qdrant_snapshot_"), *s.labels.values()): s.value
        for family in text_string_to_metric_families(path.read_text(encoding="utf-8"))
        for s in family.samples
    }
    assert samples["newest_points", "sample-plain"] == read_manifest(sample)["points_count"]
    assert samples["task_last_run_exit_code", "snapshot.verify"] == 20
    assert samples["task_last_run_exit_code", "snapshot.check"] == 23
    runs = json.loads((sample.parent / ".runs.json").read_text(encoding="utf-8"))
    assert runs["snapshot.verify"]["succeeded_at"] < runs["snapshot.verify"]["ended_at"]
    assert ("task_last_success_timestamp_seconds", "snapshot.check") not in samples


def test_metrics_that_cannot_be_written_are_a_note(watched: Inv) -> None:
    """The backup is more important."""
    ran = watched("snapshot.verify", QDRANT_METRICS_FILE="/proc/qdrant.prom")
    assert ran.code == 0
    assert "note: Could not write the metrics" in ran.stderr
