"""The errors that a task can end with, each with its exit code.

An error carries two sentences for the user: what happened (`message`) and what to do now (`hint`).
Nothing outside `cli/` turns an error into a process exit.
"""

from __future__ import annotations

UTF_8 = "Set LC_ALL=C.UTF-8 or PYTHONUTF8=1, then run this again."


class TaskError(Exception):
    """Base class of all expected failures; each subclass has its own exit code."""

    exit_code = 1
    kind = "error"
    # The errors that nobody foresaw, of which a traceback is shown.
    bugs: tuple[Exception, ...] = ()

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class Unforeseen(TaskError):
    """An error of the program itself, of which only a traceback tells more."""

    kind = "bug"

    @classmethod
    def of(cls, error: Exception) -> Unforeseen:
        """Return the error behind an exception that nobody expected."""
        bug = cls(
            f"{type(error).__name__}: {error}",
            hint="This is a bug. Please report it with the lines above.",
        )
        bug.bugs = (error,)
        return bug


class Unparsable(TaskError):
    """The command line names no task or flag, or gives one a value that it cannot have."""

    kind = "command_line"


class NotFound(TaskError):
    """There is no such collection, snapshot or engine."""

    exit_code = 10
    kind = "not_found"


class Locked(TaskError):
    """Another run holds the lock of the snapshot folder."""

    exit_code = 11
    kind = "locked"


class CredentialsRefused(TaskError):
    """Qdrant responded with 401 or 403."""

    exit_code = 12
    kind = "credentials_refused"


class Unreachable(TaskError):
    """Qdrant or Docker cannot be reached, or was not ready in time."""

    exit_code = 13
    kind = "unreachable"


class SettingsError(TaskError):
    """A setting, a task's name, a flag or a file with settings is wrong."""

    exit_code = 14
    kind = "settings"


class StorageError(TaskError):
    """A disk or storage is full, not writable or lost; or the hook after a snapshot failed."""

    exit_code = 15
    kind = "storage"


class Damaged(TaskError):
    """The bytes of a snapshot file are not the ones that were taken."""

    exit_code = 20
    kind = "damaged"


class ContentsDiffer(TaskError):
    """The restored or sealed contents differ from the original ones."""

    exit_code = 21
    kind = "contents_differ"


class RestoreIncomplete(TaskError):
    """Qdrant did not restore the collection."""

    exit_code = 22
    kind = "restore_incomplete"


class BudgetMissed(TaskError):
    """A time limit was missed (`--max-seconds`), or a promise is broken (`snapshot.check`)."""

    exit_code = 23
    kind = "budget_missed"


class Refused(TaskError):
    """Unsafe: it would overwrite or delete without consent, or versions or nodes do not fit."""

    exit_code = 24
    kind = "refused"


class Interrupted(TaskError):
    """Ended by Ctrl-C or a termination signal; the next run removes what is half-done."""

    exit_code = 130
    kind = "interrupted"


class ServerFailure(TaskError):
    """Qdrant responded, but not with the requested result; `status` is that of HTTP, if known."""

    kind = "server_failure"

    def __init__(self, message: str, *, hint: str, status: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status

    @property
    def is_internal(self) -> bool:
        """Whether the server failed, and did not just refuse the request."""
        return self.status is not None and self.status >= 500


def meaning_of(error: Exception) -> TaskError:
    """Return the error behind an exception that nothing has caught."""
    if isinstance(error, UnicodeEncodeError) and error.reason != "surrogates not allowed":
        name = error.object[:100].encode("ascii", "backslashreplace").decode()
        return SettingsError(
            f"The locale of this process cannot write {name} ({error.encoding}).", hint=UTF_8
        )
    return Unforeseen.of(error)
