"""All requests for new snapshots are made in one place, so that no task forgets the settings."""

from __future__ import annotations

from snapshot_tasks.engines.base import Engine
from snapshot_tasks.operations.create.request import CreateDefaults
from snapshot_tasks.operations.create.seal import FreshServers


def no_engine() -> Engine:
    """Fail: a request alone starts no server."""
    raise AssertionError


SERVERS = FreshServers(engine=no_engine, operation_timeout_seconds=1)
DEFAULTS = CreateDefaults(fresh_servers=SERVERS, max_drop=0.5)


def test_both_kinds_of_request_honour_the_settings() -> None:
    """A snapshot for a user and one before a restore are judged and sealed in the same way."""
    for request in (DEFAULTS.request("books"), DEFAULTS.safety_request("books")):
        assert (request.collection, request.max_drop) == ("books", 0.5)
        assert request.fresh_servers is SERVERS
        assert request.seal


def test_what_a_restore_replaces_is_marked() -> None:
    """A safety snapshot is never used as the newest of its collection."""
    assert DEFAULTS.safety_request("books").safety
    assert not DEFAULTS.request("books").safety


def test_an_empty_label_is_none() -> None:
    """A missing flag leaves no empty label in the manifest."""
    assert DEFAULTS.request("books").label is None
    assert DEFAULTS.request("books", label="before the upgrade").label == "before the upgrade"
