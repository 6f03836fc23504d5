"""One place makes every request to create, so that no task forgets what the settings say."""

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
    """What a user asked for and what a restore saves are judged and sealed alike."""
    for request in (DEFAULTS.request("books"), DEFAULTS.safety_request("books")):
        assert (request.collection, request.max_drop) == ("books", 0.5)
        assert request.fresh_servers is SERVERS
        assert request.seal


def test_what_a_restore_replaces_is_marked() -> None:
    """A safety snapshot is never taken for the newest of its collection."""
    assert DEFAULTS.safety_request("books").safety
    assert not DEFAULTS.request("books").safety


def test_an_empty_label_is_none() -> None:
    """A flag that was not given leaves no empty label in the manifest."""
    assert DEFAULTS.request("books").label is None
    assert DEFAULTS.request("books", label="before the upgrade").label == "before the upgrade"
