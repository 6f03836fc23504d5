"""Errors of several collections become one; endpoints hide the key and know if they expose it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from snapshot_tasks.domain.endpoint import Endpoint, Tls
from snapshot_tasks.domain.failure import Failure, joined
from snapshot_tasks.domain.findings import Finding, Status, failed
from snapshot_tasks.system.errors import Damaged, NotFound
from snapshot_tasks.system.progress import Silent


def test_no_error_is_none() -> None:
    """If nothing failed, there is no error."""
    assert joined([]) is None


def test_one_error_is_itself() -> None:
    """A single failure keeps its message."""
    error = NotFound("Gone.", hint="Look.")
    assert joined([Failure(name="books", error=error)]) is error


def test_several_errors_are_one() -> None:
    """The message lists all failures; hint and exit code come from the first one."""
    error = joined(
        [
            Failure(name="books", error=Damaged("Cut.", hint="Take anew.")),
            Failure(name="films", error=NotFound("Gone.", hint="Look.")),
        ]
    )
    assert error is not None
    assert (error.exit_code, error.kind) == (20, "damaged")
    assert (str(error), error.hint) == ("books: Cut. films: Gone.", "Take anew.")


def test_only_failures_have_failed() -> None:
    """A warning is not a failure."""
    findings = tuple(Finding(check=s.value, status=s, message="") for s in Status)
    assert [f.check for f in failed(findings)] == ["FAIL"]


def test_an_endpoint_hides_its_key() -> None:
    """Logging an endpoint does not reveal its key."""
    assert "hunter2" not in repr(Endpoint(url="http://localhost:6333", api_key="hunter2"))


@pytest.mark.parametrize(
    ("url", "exposes"),
    [
        ("http://localhost:6333", False),
        ("http://127.0.0.1", False),
        ("http://127.8.7.6:1", False),
        ("http://[::1]:6333", False),
        ("http://allowed:6333", False),
        ("http://ALLOWED", False),
        ("https://qdrant.example", False),
        ("http://qdrant.example", True),
        ("http://qdrant", True),
        ("http://10.0.0.1", True),
        ("http://localhost.example", True),
        ("http://127.0.0.1.example", True),
        ("http://not-allowed", True),
        ("http://0.0.0.0:6333", True),
    ],
)
def test_only_an_allowed_host_sees_the_key_in_plain(url: str, exposes: bool) -> None:
    """The key is sent over plain HTTP only on this machine or to a host that is allowed by name."""
    endpoint = Endpoint(url=url, api_key="hunter2", plaintext_hosts=("allowed",))
    assert endpoint.exposes_key is exposes
    assert not Endpoint(url=url).exposes_key


def test_the_files_for_tls_travel_as_paths() -> None:
    """A child process gets exactly the same files."""
    for tls in (Tls(), Tls(ca_file=Path("/ca"), cert_file=Path("/c"), key_file=Path("/k"))):
        assert Tls.from_json(json.loads(json.dumps(tls.as_json()))) == tls


def test_silence_is_silent(capsys: object) -> None:
    """Callers that want no progress reports need no special case."""
    silent = Silent()
    with silent.phase("x", total_bytes=3) as advance:
        advance(3)
    silent.note("x")
