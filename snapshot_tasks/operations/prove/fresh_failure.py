"""What it means for a snapshot that the throw-away server of its drill failed."""

from __future__ import annotations

import signal
import time

from snapshot_tasks.engines.base import FreshServer, LastWords
from snapshot_tasks.qdrant.errors import is_full_disk
from snapshot_tasks.system.errors import (
    CredentialsRefused,
    Interrupted,
    RestoreIncomplete,
    ServerFailure,
    SettingsError,
    StorageError,
    TaskError,
    Unreachable,
)
from snapshot_tasks.system.untrusted import printable, sentence

AWAY = "Check whether this machine ran out of memory or disk space, then run this again."
NOT_PROVEN_HINT = (
    "Do not rely on it. Take and test a new one with `inv snapshot.test-restore --create`."
)
# What ends a program from outside: the kernel when memory runs out, or somebody.
_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
ENDING_SECONDS, POLL_SECONDS = 3.0, 0.2
MAX_LINES, MAX_CHARACTERS = 3, 600


class Stopped(RestoreIncomplete):
    """The throw-away server was ended from outside, so nothing is known about the snapshot."""


# Errors after which a drill leaves no proof.
SAYS_NOTHING = (
    StorageError,
    Unreachable,
    SettingsError,
    CredentialsRefused,
    Interrupted,
    Stopped,
)


def meaning(error: TaskError, server: FreshServer) -> TaskError:
    """Return what an error on a throw-away server means; its own log ends with the reason.

    A server that crashes or fails on what it has restored says that the snapshot is not good. One
    that had no space, or was ended from outside, says nothing about it.
    """
    if not isinstance(error, Unreachable | ServerFailure | RestoreIncomplete | StorageError):
        return error
    if isinstance(error, StorageError):
        own = any(node.url in error.message for node in server.endpoint.nodes())
        return StorageError(error.message, hint=server.room_hint) if own else error
    words = server.last_words()
    deadline = time.monotonic() + ENDING_SECONDS
    while isinstance(error, Unreachable) and words.exit_code is None:
        # Its connections end before it does.
        if time.monotonic() > deadline:
            break
        time.sleep(POLL_SECONDS)
        words = server.last_words()
    if words.disk_full or is_full_disk(" ".join(words.log)):
        message = f"The disk of the fresh Qdrant is full: {error.message}"
        return StorageError(message, hint=server.room_hint)
    return _judged(error, words)


def _judged(error: TaskError, words: LastWords) -> TaskError:
    said = _said(words.log)
    if words.exit_code is None:
        if isinstance(error, Unreachable):
            message = f"The fresh Qdrant no longer responds: {error.message}{said}"
            return Unreachable(message, hint=AWAY)
        if isinstance(error, RestoreIncomplete) and not isinstance(error.__cause__, ServerFailure):
            return error
        return RestoreIncomplete(
            f"The fresh Qdrant failed. {error.message}{said}", hint=NOT_PROVEN_HINT
        )
    how = f"The fresh Qdrant stopped unexpectedly ({_named(words.exit_code)})"
    if -words.exit_code in _FROM_OUTSIDE:
        return Stopped(f"{how}: {error.message}{said}", hint=AWAY)
    return RestoreIncomplete(f"{how}: {error.message}{said}", hint=NOT_PROVEN_HINT)


def _named(exit_code: int) -> str:
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"


def _said(log: tuple[str, ...]) -> str:
    """Return the last lines of a log that are about an error, or else the last ones."""
    wrong = [line for line in log if "ERROR" in line or "panic" in line.lower()]
    lines = [" ".join(line.split()) for line in (wrong or list(log))[-MAX_LINES:]]
    text = printable(" | ".join(filter(None, lines)))[-MAX_CHARACTERS:]
    return f" Its log ends with: {sentence(text)}" if text else ""
