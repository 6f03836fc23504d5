"""Pings for a dead man's switch, as Healthchecks defines them: a missing ping is the alarm."""

from __future__ import annotations

from urllib.parse import quote, urlsplit, urlunsplit

from snapshot_tasks.alarms.delivery import Message

PLACEHOLDER = "{task}"
# Healthchecks keeps this much of a body by default.
MAX_BODY_BYTES = 10_000


def start_ping(url: str, task: str) -> Message:
    """Return the ping for the start of a task."""
    return _ping(url, task, "/start", "")


def end_ping(url: str, task: str, exit_code: int, text: str) -> Message:
    """Return the ping for the end of a task: the URL, with the exit code after it if it failed."""
    return _ping(url, task, f"/{exit_code}" if exit_code else "", text)


def slug(task: str) -> str:
    """Return a task's name as part of a URL: snapshot.create becomes snapshot-create."""
    return task.replace(".", "-")


def _ping(url: str, task: str, suffix: str, text: str) -> Message:
    parts = urlsplit(url.replace(PLACEHOLDER, quote(slug(task), safe="")))
    path = parts.path.rstrip("/") + suffix if suffix else parts.path
    return Message(
        kind="ping",
        url=urlunsplit(parts._replace(path=path)),
        # The end of the text says what happened; a character that was cut in half is omitted.
        body=text.encode(errors="replace")[-MAX_BODY_BYTES:].decode(errors="ignore").encode(),
        content_type="text/plain; charset=utf-8",
    )
