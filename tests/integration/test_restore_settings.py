"""Settings that a version forgets: data is never removed over one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.domain.findings import Status
from snapshot_tasks.operations.create.one import create, safety_saver
from snapshot_tasks.operations.create.request import CreateDefaults, CreateRequest
from snapshot_tasks.operations.restore.one import restore
from snapshot_tasks.operations.restore.plan import RestoreRequest
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.progress import Silent
from tests.conftest import Live, now
from tests.support.pretend import changes, pretending

FORGOTTEN = {"max_disk_usage_percent": 90}


def _with_forgotten(described: dict[str, Any]) -> None:
    strict = described["config"].setdefault("strict_mode_config", None) or {}
    described["config"]["strict_mode_config"] = strict | FORGOTTEN


@contextmanager
def speaking(live: Live, version: str, name: str = "") -> Iterator[Server]:
    """Connect to the server as to another version; with a name, it knows the setting."""
    with pretending(live.url, version) as proxy:
        if name:
            proxy.on("GET", f"/collections/{name}", changes(_with_forgotten))
        with Server(Endpoint(url=proxy.url), operation_timeout_seconds=60) as server:
            yield server


@pytest.mark.parametrize("replaced", [False, True])
def test_a_setting_that_the_next_minor_forgets_is_a_warning(
    qdrant: Live, name: str, catalog: Catalog, replaced: bool
) -> None:
    """1.19.0 forgets `max_disk_usage_percent` of 1.18.3 (measured; this server is a stand-in)."""
    qdrant.loader.plain(name, points=50)
    with speaking(qdrant, "1.18.3", name) as server:
        request = CreateRequest(collection=name)
        snapshot = create(request, server, catalog, Silent(), clock=now).snapshot
    assert snapshot.manifest is not None
    assert snapshot.manifest.config["strict_mode_config"] == FORGOTTEN
    if not replaced:
        qdrant.loader.delete(name)
    with speaking(qdrant, "1.19.0") as server:
        save = safety_saver(CreateDefaults(), server, catalog, Silent(), clock=now)
        what = RestoreRequest(
            snapshot=snapshot,
            save_existing=save if replaced else None,
            journal=catalog.journal,
        )
        result = restore(what, server, Silent())
    [config] = [f for f in result.findings if f.check == "config"]
    assert (result.error, config.status) == (None, Status.WARN)
    assert "max_disk_usage_percent" in config.message
    assert "found nothing" in config.message
    assert qdrant.loader.count(name) == 50
