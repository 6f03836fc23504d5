"""What the next run does with the journal: it never deletes too much, and never gets stuck."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.catalog.lock import Use
from snapshot_tasks.checks.promises import check_left
from snapshot_tasks.operations.create.download import ServerCopy
from snapshot_tasks.operations.create.one import Created
from snapshot_tasks.operations.restore import one
from snapshot_tasks.operations.restore.demands import CustomSharding
from snapshot_tasks.operations.restore.into_empty import bring_back
from snapshot_tasks.operations.restore.one import restore
from snapshot_tasks.operations.restore.plan import RestoreRequest, plan_restore
from snapshot_tasks.operations.restore.unfinished import tidied, tidy
from snapshot_tasks.qdrant.collections import Exists
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.errors import Refused
from snapshot_tasks.system.progress import Silent
from tests.conftest import Live
from tests.integration.conftest import Take, take_from

UPLOAD = f"restore-{'0' * 32}.snapshot"


def write_entry(catalog: Catalog, live: Live, kind: str, collection: str, **facts: Any) -> Path:
    """Leave an entry as a killed run would."""
    path = catalog.folder / ".pending-0123456789abcdef.json"
    entry = {"kind": kind, "url": live.url, "collection": collection, "facts": facts}
    path.write_text(json.dumps(entry), encoding="utf-8")
    return path


def tidy_up(catalog: Catalog, live: Live) -> list[str]:
    """Run what every task runs first, and return its notes."""
    said: list[str] = []

    class Listening(Silent):
        def note(self, message: str) -> None:
            said.append(message)

    with live.server() as server, tidied(catalog, "test", server, Listening(), use=Use.JOURNAL):
        return said


def test_a_collection_that_was_written_to_stays(qdrant: Live, name: str, catalog: Catalog) -> None:
    """What was restored is no longer known: it is reported, and no point is deleted."""
    qdrant.loader.plain(name, points=2)
    entry = write_entry(catalog, qdrant, "restore", name, upload=UPLOAD, snapshot="/gone")
    assert "does not match the snapshot" in tidy_up(catalog, qdrant)[0]
    assert qdrant.loader.count(name) == 2
    assert not entry.exists()


def test_an_empty_one_with_an_alias_stays(qdrant: Live, name: str, catalog: Catalog) -> None:
    """Someone created it again: only a completely empty one counts as half-made."""
    qdrant.loader.plain(name, points=0)
    qdrant.loader.alias(f"{name}-alias", name)
    write_entry(catalog, qdrant, "restore", name, upload=UPLOAD, snapshot="/gone")
    tidy_up(catalog, qdrant)
    assert name in qdrant.loader.names()


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        ("restore", {"upload": ".."}),
        ("trial", {"upload": UPLOAD}),
        ("rehearsal", {"upload": UPLOAD}),
        ("snapshot", {"name": ".."}),
        ("snapshot", {"before": [], "since": "2025-01-01T00:00:00"}),
        ("snapshot", {"before": [], "since": "9999-12-31T23:59:59+00:00"}),
        ("restore", {"upload": UPLOAD, "snapshot": "/" + "x" * 5000}),
        ("of the future", {}),
    ],
)
def test_an_odd_entry_does_nothing(
    qdrant: Live, name: str, catalog: Catalog, kind: str, facts: dict[str, Any]
) -> None:
    """It neither crashes nor deletes: entries only name what our runs generate."""
    qdrant.loader.plain(name, points=5)
    write_entry(catalog, qdrant, kind, name, **facts)
    tidy_up(catalog, qdrant)
    assert qdrant.loader.count(name) == 5


@pytest.mark.parametrize("kind", ["trial", "rehearsal"])
def test_a_killed_trial_is_removed(qdrant: Live, catalog: Catalog, kind: str) -> None:
    """Also one of an earlier version, which called it a rehearsal."""
    collection = f"{kind}-{uuid4().hex}"
    qdrant.loader.plain(collection, points=5)
    entry = write_entry(catalog, qdrant, kind, collection, upload=UPLOAD)
    assert tidy_up(catalog, qdrant) == []
    assert collection not in qdrant.loader.names()
    assert not entry.exists()


def test_an_entry_that_cannot_be_ended_blocks_nothing(
    qdrant: Live, name: str, catalog: Catalog
) -> None:
    """A missing safety snapshot is reported each time; snapshots are still taken."""
    qdrant.loader.plain(name, points=5)
    entry = write_entry(
        catalog, qdrant, "restore", f"{name}-gone", upload=UPLOAD, snapshot="/x", safety="/y"
    )
    assert "/y" in tidy_up(catalog, qdrant)[0]
    assert entry.exists()
    assert take_from(qdrant, name, catalog).path.is_file()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("snapshot", "1 copy on http://gone:6333 could not be deleted: documents: left.snapshot"),
        ("restore", "the restore of documents on http://gone:6333 was neither finished nor undone"),
    ],
)
def test_what_is_left_on_a_server_that_is_not_named_is_shown(
    qdrant: Live, catalog: Catalog, kind: str, said: str
) -> None:
    """A node that was taken off the list would otherwise keep it, and nobody would ever know."""
    entry = write_entry(catalog, qdrant, kind, "documents", name="left.snapshot", upload=UPLOAD)
    entry.write_text(entry.read_text().replace(qdrant.url, "http://gone:6333"))
    assert list(check_left(catalog.journal.left())) == []
    assert tidy_up(catalog, qdrant) == []
    [finding] = check_left(catalog.journal.left())
    assert finding.message.startswith(said)
    assert "QDRANT_CLUSTER_URLS" in finding.message
    assert entry.exists()


def test_somebody_elses_server_snapshot_stays(qdrant: Live, name: str, catalog: Catalog) -> None:
    """Two were created since the mark: which is ours is unknown, so neither is deleted."""
    qdrant.loader.plain(name, points=5)
    with qdrant.server() as server:
        mark = server.snapshots.mark(name)
    qdrant.loader.request("POST", f"/collections/{name}/snapshots")
    # Qdrant names them by the second.
    time.sleep(1.1)
    qdrant.loader.request("POST", f"/collections/{name}/snapshots")
    write_entry(catalog, qdrant, "snapshot", name, **mark.as_json())
    tidy_up(catalog, qdrant)
    assert len(qdrant.loader.server_snapshots(name)) == 2


def test_a_copy_that_was_not_asked_for_is_not_looked_for(
    qdrant: Live, name: str, catalog: Catalog
) -> None:
    """A node that failed before its turn: what another tool made there meanwhile stays."""
    qdrant.loader.plain(name, points=5)
    with (
        qdrant.server() as server,
        ServerCopy(name, server, catalog.journal, Silent(), keep=False, shard=0) as copy,
    ):
        qdrant.loader.request("POST", f"/collections/{name}/shards/0/snapshots")
        before = copy.snapshots.of(name)
    assert server_copies(qdrant, name) == [one.name for one in before]
    assert catalog.journal.pending(qdrant.url) == []


def test_a_copy_is_marked_when_it_is_asked_for(qdrant: Live, name: str, catalog: Catalog) -> None:
    """The last shard's turn may come an hour later; a killed run's copy is looked for then."""
    qdrant.loader.plain(name, points=5)
    with (
        qdrant.server() as server,
        ServerCopy(name, server, catalog.journal, Silent(), keep=False, shard=0) as copy,
    ):
        qdrant.loader.request("POST", f"/collections/{name}/shards/0/snapshots")
        [other] = server_copies(qdrant, name)
        # Qdrant names them by the second.
        time.sleep(1.1)
        copy.create(server.collections.state(name))
        [pending] = catalog.journal.pending(qdrant.url)
        assert pending.facts["before"] == [other]
    assert server_copies(qdrant, name) == [other]


def test_a_shards_copy_is_deleted_on_a_node_that_is_no_longer_listed(
    qdrant: Live, name: str, catalog: Catalog
) -> None:
    """QDRANT_CLUSTER_URLS was changed since: it stops no task, and nothing stays."""
    qdrant.loader.plain(name, points=5)
    qdrant.loader.request("POST", f"/collections/{name}/shards/0/snapshots")
    [made] = server_copies(qdrant, name)
    entry = write_entry(catalog, qdrant, "snapshot", name, shard=0, name=made)
    endpoint = replace(qdrant.fresh.endpoint, cluster_urls=("http://elsewhere.invalid",))
    with Server(endpoint, operation_timeout_seconds=60) as server:
        tidy(catalog, server, Silent())
    assert server_copies(qdrant, name) == []
    assert not entry.exists()


def server_copies(live: Live, name: str) -> list[str]:
    """Return the server snapshots of the first shard."""
    with live.server() as server:
        return [one.name for one in server.shard_snapshots(0).of(name)]


def test_what_is_written_during_a_replace_stops_it(
    qdrant: Live, name: str, take: Take, catalog: Catalog
) -> None:
    """A point acknowledged after the safety snapshot is never deleted."""
    qdrant.loader.plain(name, points=20)
    snapshot = take(qdrant, name)

    def save(collection: str) -> Created:
        safety = take_from(qdrant, collection, catalog)
        qdrant.loader.request("POST", f"/collections/{collection}/points/delete", {"points": [3]})
        return Created(snapshot=safety, findings=())

    request = RestoreRequest(snapshot=snapshot, save_existing=save, journal=catalog.journal)
    with qdrant.server() as server, pytest.raises(Refused, match="does not match the current"):
        restore(request, server, Silent())
    assert qdrant.loader.count(name) == 19


def test_a_collection_made_just_before_ours_stays(qdrant: Live, name: str, take: Take) -> None:
    """The restore that would create it fails, and deletes nothing: it has made nothing."""
    qdrant.loader.plain(name, points=20)
    other = f"{name}-other"
    with qdrant.server() as server:
        plan = plan_restore(RestoreRequest(snapshot=take(qdrant, name), target=other), server)
        plan = replace(plan, sharding=CustomSharding(config={"params": {"vectors": {}}}, steps=()))
        qdrant.loader.plain(other, points=1)
        with pytest.raises(Exists, match="created by somebody else"):
            bring_back(plan, server, "", Silent(), upload_name=UPLOAD)
    assert qdrant.loader.count(other) == 1


def test_a_collection_that_comes_to_be_meanwhile_stays(
    qdrant: Live, name: str, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verifying a large file takes a while: a collection created meanwhile is not overwritten."""
    qdrant.loader.plain(name, points=20)
    snapshot = take(qdrant, name)
    other = f"{name}-other"
    checked = one._checked_sha256

    def slowly(*arguments: Any) -> Any:
        qdrant.loader.plain(other, points=1)
        return checked(*arguments)

    monkeypatch.setattr(one, "_checked_sha256", slowly)
    with qdrant.server() as server, pytest.raises(Refused, match="was created while"):
        restore(RestoreRequest(snapshot=snapshot, target=other), server, Silent())
    assert qdrant.loader.count(other) == 1
