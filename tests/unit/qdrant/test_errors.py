"""The meaning of Qdrant's error responses."""

from __future__ import annotations

import httpx
import pytest

from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.qdrant.errors import is_not_visible, is_wrong_checksum, refusal
from snapshot_tasks.qdrant.http import Http
from snapshot_tasks.system.errors import (
    CredentialsRefused,
    NotFound,
    ServerFailure,
    StorageError,
    TaskError,
)

ENDPOINT = Endpoint(url="http://localhost:6333", api_key="hush-hush")


def refused(status: int, reason: str) -> TaskError:
    """Return the error for one of Qdrant's error responses."""
    return refusal(httpx.Response(status, json={"status": {"error": reason}}), ENDPOINT)


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (401, "Must provide an API key", CredentialsRefused),
        (403, "Global manage access is required", CredentialsRefused),
        (404, "Collection `x` doesn't exist!", NotFound),
        (500, "No space left on device (os error 28)", StorageError),
        (500, "Not enough disk space for the snapshot", StorageError),
        (500, "An error occurred processing field: snapshot", StorageError),
        (507, "whatever", StorageError),
        (507, "Disk usage quota exceeded", StorageError),
        (500, "a panic", ServerFailure),
    ],
)
def test_an_answer_is_taken_for_what_it_means(
    status: int, reason: str, kind: type[TaskError]
) -> None:
    """The message repeats the reason, and there is a remedy."""
    error = refused(status, reason)
    assert type(error) is kind
    assert reason.rstrip("!") in error.message
    assert error.hint


def test_a_quota_is_no_full_disk() -> None:
    """The remedy is another: there is still space."""
    assert "PUT /quotas" in refused(507, "Disk usage quota exceeded").hint
    assert "disk" in refused(507, "No space").message


def test_a_missing_right_on_the_server_has_a_remedy_of_its_own() -> None:
    """Another key for only the collection would not help."""
    assert "right to manage" in refused(403, "Global manage access is required").hint
    assert "right to manage" not in refused(403, "Write access to x is required").hint


def test_the_key_is_in_no_message() -> None:
    """A proxy may repeat the whole request."""
    assert "hush-hush" not in refused(500, "api-key: hush-hush").message


@pytest.mark.parametrize(
    "reason",
    [
        'Bad request: Snapshot file "/x.snapshot" does not exist',
        "Permission denied (os error 13)",
        'Forbidden: Snapshot file "/etc/x" must be inside snapshots directory',
    ],
)
def test_a_file_that_the_server_cannot_see(reason: str) -> None:
    """The file is then uploaded instead."""
    assert is_not_visible(refused(400, reason))
    assert not is_wrong_checksum(refused(400, reason))


def test_a_wrong_checksum() -> None:
    """Neither the local file nor the server is at fault."""
    error = refused(400, "Bad request: Snapshot checksum mismatch: expected a, got b")
    assert is_wrong_checksum(error)
    assert not is_not_visible(error)


@pytest.mark.parametrize(("host", "starts"), [("localhost", True), ("qdrant.example", False)])
def test_no_task_is_said_to_start_a_server_on_another_machine(
    host: str, starts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`stack.up` would refuse it, or start another one here."""
    monkeypatch.setenv("NO_PROXY", "*")
    http = Http(Endpoint(url=f"http://{host}:6333"), operation_timeout_seconds=1)
    hint = http.unreachable(httpx.ConnectError("refused")).hint
    http.close()
    assert ("stack.up" in hint) is starts
    assert "QDRANT_URL" in hint
