"""The content and the targets of alarms, before anything is sent."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from snapshot_tasks.alarms.delivery import Delivery, Message, settle
from snapshot_tasks.alarms.ping import MAX_BODY_BYTES, end_ping, start_ping
from snapshot_tasks.alarms.webhook import MAX_RESULT_BYTES, webhook
from snapshot_tasks.cli.console import Recorder

UUID_URL = "https://hc-ping.com/7d0c"
SLUG_URL = "https://hc-ping.com/key/{task}?create=1"
AT = datetime(2026, 1, 1, 2, 17, tzinfo=UTC)


@pytest.mark.parametrize(
    ("url", "start", "success", "failure"),
    [
        (UUID_URL, f"{UUID_URL}/start", UUID_URL, f"{UUID_URL}/23"),
        (f"{UUID_URL}/", f"{UUID_URL}/start", f"{UUID_URL}/", f"{UUID_URL}/23"),
        (
            SLUG_URL,
            "https://hc-ping.com/key/snapshot-create/start?create=1",
            "https://hc-ping.com/key/snapshot-create?create=1",
            "https://hc-ping.com/key/snapshot-create/23?create=1",
        ),
        (
            "http://u:p@host:8000",
            "http://u:p@host:8000/start",
            "http://u:p@host:8000",
            "http://u:p@host:8000/23",
        ),
    ],
)
def test_where_a_ping_goes(url: str, start: str, success: str, failure: str) -> None:
    """The path gets the suffix, the query stays, the placeholder becomes the task's slug."""
    task = "snapshot.create"
    assert start_ping(url, task).url == start
    assert end_ping(url, task, 0, "").url == success
    assert end_ping(url, task, 23, "").url == failure


def test_a_ping_holds_the_end_of_what_was_printed() -> None:
    """At most what Healthchecks keeps, cut at a whole character, with the last words in it."""
    body = end_ping(UUID_URL, "snapshot.create", 1, "ü" * MAX_BODY_BYTES + "error: x\n").body
    assert len(body) <= MAX_BODY_BYTES
    assert body.decode().endswith("üerror: x\n")
    assert body.decode().startswith("ü")


def test_text_that_is_no_utf8_is_sent_all_the_same() -> None:
    """A name with a lone surrogate does not prevent an alarm."""
    assert end_ping(UUID_URL, "snapshot.create", 1, "\udcff.snapshot").body == b"?.snapshot"


def hook(result: dict[str, Any]) -> dict[str, Any]:
    """Return what a webhook reports about a failure with this result."""
    document = {
        "ok": False,
        "task": "snapshot.create",
        "exit_code": 15,
        "result": result,
        "error": {"kind": "storage", "message": "Full.", "hint": "Free space."},
    }
    message = webhook("http://h/", document, started_at=AT, seconds=1.23456, host="db1")
    body: dict[str, Any] = json.loads(message.body)
    return body


def test_a_webhook_is_the_json_of_the_task_with_when_and_where() -> None:
    """Everything that a receiver needs to say what happened and what to do."""
    assert hook({"snapshots": [], "ratio": float("nan")}) == {
        "ok": False,
        "task": "snapshot.create",
        "exit_code": 15,
        "result": {"snapshots": [], "ratio": None},
        "result_bytes": 32,
        "error": {"kind": "storage", "message": "Full.", "hint": "Free space."},
        "started_at": "2026-01-01T02:17:00+00:00",
        "seconds": 1.235,
        "host": "db1",
    }


def test_a_result_too_long_for_a_message_is_left_out() -> None:
    """The length of a result that is too long stays, so that it does not look empty."""
    said = hook({"findings": ["x" * MAX_RESULT_BYTES]})
    assert said["result"] is None
    assert said["result_bytes"] > MAX_RESULT_BYTES
    assert said["error"]["message"] == "Full."


def test_a_url_is_shown_nowhere() -> None:
    """A message contains neither the path, which is as good as a key, nor the credentials."""
    message = Message(kind="ping", url="http://u:pw@[::1]:1/secret", body=b"x", content_type="t")
    assert "secret" not in repr(message)
    [problem] = settle([Delivery(message)])
    assert problem.startswith("The ping to ::1 was not delivered: ")
    assert "secret" not in problem
    assert "pw" not in problem


def test_the_recorder_keeps_the_end() -> None:
    """Whole lines, with the oldest removed first; of a line that is too long, its end."""
    recorder = Recorder(max_characters=10)
    for line in ("one", "two", "three"):
        recorder.add(line)
    assert recorder.text == "two\nthree\n"
    recorder.add("x" * 20 + "end")
    assert recorder.text == "x" * 7 + "end\n"
    recorder.clear()
    assert recorder.text == ""
