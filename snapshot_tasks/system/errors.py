"""Every way a task can fail, each with its exit code.

An error carries two sentences for the user: what happened (`message`) and what to do now (`hint`).
Nothing outside `cli/` turns an error into a process exit.
"""

from __future__ import annotations


class TaskError(Exception):
    """The base of all foreseen failures; the subclass says which exit code it means."""

    exit_code = 1
    kind = "error"

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class NotFound(TaskError):
    """No such collection, snapshot or engine."""

    exit_code = 10
    kind = "not_found"


class Locked(TaskError):
    """Another run holds the lock of the snapshot folder."""

    exit_code = 11
    kind = "locked"


class CredentialsRefused(TaskError):
    """Qdrant answered 401 or 403."""

    exit_code = 12
    kind = "credentials_refused"


class Unreachable(TaskError):
    """Qdrant or Docker cannot be reached, or was not ready in time."""

    exit_code = 13
    kind = "unreachable"


class SettingsError(TaskError):
    """A setting, a flag or a file that holds settings is wrong."""

    exit_code = 14
    kind = "settings"


class StorageError(TaskError):
    """A disk or storage is full, not writable or lost."""

    exit_code = 15
    kind = "storage"


class Damaged(TaskError):
    """The bytes of a snapshot file are not the ones that were taken."""

    exit_code = 20
    kind = "damaged"


class ContentsDiffer(TaskError):
    """What came back, or what is sealed, is not what went in."""

    exit_code = 21
    kind = "contents_differ"


class RestoreIncomplete(TaskError):
    """Qdrant did not bring the collection back."""

    exit_code = 22
    kind = "restore_incomplete"


class BudgetMissed(TaskError):
    """Everything is right, but later or slower than was asked for."""

    exit_code = 23
    kind = "budget_missed"


class Refused(TaskError):
    """Unsafe: would overwrite or delete without consent, or versions do not fit."""

    exit_code = 24
    kind = "refused"


class Interrupted(TaskError):
    """Ended by Ctrl-C or a termination signal, after cleaning up."""

    exit_code = 130
    kind = "interrupted"


class ServerFailure(TaskError):
    """Qdrant answered, but not with what was asked for."""

    kind = "server_failure"
